"""The command `holdfast` as a user has it: real processes, each in a folder of its own."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

COMMAND_SECONDS = 600
STOP_SECONDS = 120

NO_LEDGER = "http://127.0.0.1:9"
"""For who must not meet the ledger that may happen to run where the settings say."""


@dataclass(frozen=True)
class Done:
    """A command that ended."""

    exit_code: int
    objects: tuple[dict[str, Any], ...]
    stderr: str

    @property
    def result(self) -> dict[str, Any]:
        assert self.exit_code == 0, (self.objects, self.stderr)
        return self.objects[-1]

    @property
    def error_code(self) -> str:
        assert self.objects[-1]["type"] == "error", self.objects
        return str(self.objects[-1]["code"])


@dataclass
class Running:
    """A process that runs on, and what it told when it was ready."""

    process: subprocess.Popen[str]
    ready: dict[str, Any]

    def end(self, how: signal.Signals) -> int:
        self.process.send_signal(how)
        return self.process.wait(STOP_SECONDS)


@dataclass
class User:
    """Somebody with a home folder and a ledger to talk to."""

    home: Path
    ledger_url: str | None = None

    @property
    def environment(self) -> Mapping[str, str]:
        ledger = {} if self.ledger_url is None else {"HOLDFAST_LEDGER_URL": self.ledger_url}
        return {**os.environ, "HOLDFAST_HOME": str(self.home), **ledger}

    def sets(self, role: str, *lines: str) -> None:
        """Write the settings file of a role."""
        self.home.mkdir(parents=True, exist_ok=True)
        (self.home / f"{role}.toml").write_text("".join(f"{line}\n" for line in lines))

    def says(self, *arguments: str) -> Done:
        """Run a command with --json to its end."""
        done = subprocess.run(
            [*_HOLDFAST, *arguments, "--json"],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=COMMAND_SECONDS,
            check=False,
        )
        return Done(done.returncode, tuple(map(json.loads, done.stdout.splitlines())), done.stderr)

    @contextmanager
    def talks(
        self, *arguments: str, stdout: int = subprocess.PIPE
    ) -> Iterator[subprocess.Popen[str]]:
        """Run a command in words for people; it is gone when the context is."""
        with subprocess.Popen(
            [*_HOLDFAST, *arguments],
            env=self.environment,
            stdin=subprocess.PIPE,
            stdout=stdout,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            try:
                yield process
            finally:
                process.kill()

    @contextmanager
    def runs(self, *arguments: str, until: str = '"ready"') -> Iterator[Running]:
        """Run a command that runs on, once it told this; it is gone when the context is."""
        log = self.home / "stderr.log"
        self.home.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as stderr:
            process = subprocess.Popen(
                [*_HOLDFAST, *arguments, "--json"],
                env=self.environment,
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
                start_new_session=True,
            )
        try:
            yield Running(process, _first(process, until, log))
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGINT)
            process.communicate(timeout=STOP_SECONDS)


def _first(process: subprocess.Popen[str], text: str, log: Path) -> dict[str, Any]:
    assert process.stdout is not None, "its output is a pipe"
    for line in process.stdout:
        told: dict[str, Any] = json.loads(line)
        assert told["type"] != "error", told
        if text in line:
            return told
    raise AssertionError(f"it ended without {text}: {log.read_text()}")


_HOLDFAST = (sys.executable, "-P", "-m", "cli.main")
