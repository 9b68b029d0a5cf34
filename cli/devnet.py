"""A network of processes on this machine: started, watched, killed and cleaned up."""

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Final, Self

from cli.render import ENDS_WITH_STDIN

READY_SECONDS: Final = 60.0
STOP_SECONDS: Final = 10.0
_LOG_TAIL_BYTES: Final = 2_000


class CommandFailed(Exception):
    """A `holdfast` process of the network ended with an error; says what it said."""

    def __init__(self, name: str, code: str, detail: str) -> None:
        super().__init__(f"{name}: {detail}")
        self.name = name
        self.code = code
        self.detail = detail


@dataclass(slots=True)
class Member:
    """One process that runs on: a ledger or a provider."""

    name: str
    process: asyncio.subprocess.Process
    ready: Mapping[str, Any]
    drain: asyncio.Task[None]

    async def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """Ask it to end, or kill it; returns when it is gone."""
        if self.process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self.process.send_signal(how)
            try:
                async with asyncio.timeout(STOP_SECONDS):
                    await self.process.wait()
            except TimeoutError:
                self.process.kill()
                await self.process.wait()
        self.drain.cancel()


class Devnet:
    """Processes of one network, each with its folder; none of them outlives the context, or us.

    folder:  of all data; each member's log is beside it
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.members: dict[str, Member] = {}
        self._processes: list[asyncio.subprocess.Process] = []
        self._interrupt_before = signal.getsignal(signal.SIGINT)
        self._interrupts = 0

    async def __aenter__(self) -> Self:
        self._interrupt_before = signal.signal(signal.SIGINT, self._interrupt)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            # Providers before the ledger, so that none of them logs that its ledger is gone.
            for member in reversed(self.members.values()):
                await member.stop()
        finally:
            self._kill_all()
            signal.signal(signal.SIGINT, self._interrupt_before)

    async def start(
        self, name: str, *arguments: str, env: Mapping[str, str] | None = None
    ) -> Member:
        """Start a process that runs on; return once it says that it is ready."""
        log = (self.folder / f"{name}.log").open("ab")
        try:
            process = await self._spawn(name, arguments, env, stderr=log)
        finally:
            log.close()
        try:
            async with asyncio.timeout(READY_SECONDS):
                async for event in _events(process):
                    if event["type"] == "error":
                        raise CommandFailed(name, event["code"], event["detail"])
                    if event["type"] == "ready":
                        drain = asyncio.create_task(_drain(process))
                        self.members[name] = Member(name, process, event, drain)
                        return self.members[name]
            raise CommandFailed(name, "ended", self._log_tail(name) or "it ended at once")
        except BaseException:
            await _end(process)
            raise

    async def run(
        self, name: str, *arguments: str, env: Mapping[str, str] | None = None
    ) -> AsyncGenerator[dict[str, Any], None]:
        """Run a command to its end, yielding what it tells; the last object is its result.

        Raises `CommandFailed`.
        """
        log = (self.folder / f"{name}.log").open("ab")
        try:
            process = await self._spawn(name, arguments, env, stderr=log)
        finally:
            log.close()
        try:
            async for event in _events(process):
                if event["type"] == "error":
                    raise CommandFailed(name, event["code"], event["detail"])
                yield event
            if await process.wait():
                raise CommandFailed(name, "failed", self._log_tail(name))
        finally:
            await _end(process)

    async def result(
        self, name: str, *arguments: str, env: Mapping[str, str] | None = None
    ) -> dict[str, Any]:
        """Run a command to its end; return its result. Raises `CommandFailed`."""
        last: dict[str, Any] = {}
        async for event in self.run(name, *arguments, env=env):
            last = event
        return last

    async def _spawn(
        self, name: str, arguments: tuple[str, ...], env: Mapping[str, str] | None, stderr: Any
    ) -> asyncio.subprocess.Process:
        home = self.folder / name
        home.mkdir(parents=True, exist_ok=True)
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-P",
            "-m",
            "cli.main",
            *arguments,
            "--json",
            env={**os.environ, "HOLDFAST_HOME": str(home), ENDS_WITH_STDIN: "1", **(env or {})},
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=stderr,
            # Ctrl-C is for us: we end the others in order.
            start_new_session=True,
        )
        self._processes.append(process)
        return process

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        self._interrupts += 1
        if self._interrupts == 2:
            # Who is killed is not waited for, so that we still end in order, and at once.
            self._kill_all()
        elif callable(self._interrupt_before):
            self._interrupt_before(number, frame)

    def _kill_all(self) -> None:
        for process in self._processes:
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    # With the processes that seal for it.
                    os.killpg(process.pid, signal.SIGKILL)

    def _log_tail(self, name: str) -> str:
        path = self.folder / f"{name}.log"
        return path.read_bytes()[-_LOG_TAIL_BYTES:].decode(errors="replace").strip()


async def _events(process: asyncio.subprocess.Process) -> AsyncIterator[dict[str, Any]]:
    assert process.stdout is not None, "its output is a pipe"
    async for line in process.stdout:
        yield json.loads(line)


async def _drain(process: asyncio.subprocess.Process) -> None:
    assert process.stdout is not None, "its output is a pipe"
    while await process.stdout.readline():
        continue


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
    await process.wait()
