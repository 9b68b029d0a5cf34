"""Sealing and proving replication in processes of their own: they take minutes of a core.

A worker lives as long as the pool, ends with its parent however that ends, and is killed when
the task that waits for it is cancelled: sealing goes on from what is whole on the disk.
"""

import asyncio
import contextlib
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from multiprocessing import connection
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from chain.units import SectorNumber
from proofs import registry
from proofs.parameters import ProofParameters
from proofs.porep import PorepStatement
from proofs.seal import seal, write_sector_data
from proofs.sealed import SealedCommitments, find_manifest
from provider.disk import StagedSector

_SPAWN: Final = multiprocessing.get_context("spawn")
"""Not fork: the parent has threads, and a fork of them may hold their locks for ever."""


class SealingFailed(Exception):
    """A sector could not be sealed or its replication proven; what is on the disk stays."""

    code = "sealing-failed"


@dataclass(frozen=True, slots=True)
class SealingProgress:
    """How far one sector is, and how fast its present stage goes."""

    stage: str
    done_nodes: int
    total_nodes: int
    nodes_per_second: int = 0
    """Of the stage so far; 0 while it has only begun."""

    @property
    def seconds_left(self) -> int | None:
        """Return how long the stage will still take, None while nobody knows."""
        if not self.nodes_per_second:
            return None
        return (self.total_nodes - self.done_nodes) // self.nodes_per_second


@dataclass(frozen=True, slots=True)
class SealJob:
    """Seal what is staged."""

    parameters: ProofParameters
    replica_id: bytes
    staged: StagedSector

    def run(self, report: Callable[[str, int, int], None]) -> SealedCommitments:
        """Do it, in a worker."""
        staged = self.staged
        if find_manifest(staged.folder) is None:
            write_sector_data(
                staged.pieces, self.parameters.sector_size_bytes, target=staged.data_path
            )
        # One finds parents while labels are made, the other writes the layer before to the disk.
        with ThreadPoolExecutor(2) as pool:
            return seal(
                self.parameters, self.replica_id, staged.data_path, staged.folder, report, pool
            )


@dataclass(frozen=True, slots=True)
class ProveJob:
    """Prove the replication of a sealed sector."""

    statement: PorepStatement
    folder: Path

    def run(self, _: Callable[[str, int, int], None]) -> bytes:
        """Do it, in a worker."""
        return registry.prove_replication(self.statement, self.folder)


Job = SealJob | ProveJob


class SealingPool:
    """Runs a bounded number of jobs at a time. Entered with `async with`, which ends its workers.

    progress:  of the sectors that are being sealed now
    """

    def __init__(self, *, workers_max: int) -> None:
        self.progress: dict[SectorNumber, SealingProgress] = {}
        self._places = asyncio.Semaphore(workers_max)
        self._idle: list[_Worker] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        while self._idle:
            self._idle.pop().kill()

    async def seal(
        self,
        number: SectorNumber,
        parameters: ProofParameters,
        replica_id: bytes,
        staged: StagedSector,
    ) -> SealedCommitments:
        """Seal what is staged; at once if it was sealed before. Raises `SealingFailed`."""
        began = ("", 0, 0.0)

        def report(stage: str, done_nodes: int, total_nodes: int) -> None:
            nonlocal began
            now_seconds = time.monotonic()
            if began[0] != stage:
                began = (stage, done_nodes, now_seconds)
            _, first_nodes, first_seconds = began
            taken_seconds = now_seconds - first_seconds
            rate = int((done_nodes - first_nodes) / taken_seconds) if taken_seconds else 0
            self.progress[number] = SealingProgress(stage, done_nodes, total_nodes, rate)

        try:
            outcome = await self._run(SealJob(parameters, replica_id, staged), report)
        finally:
            self.progress.pop(number, None)
        assert isinstance(outcome, SealedCommitments), "sealing gives commitments"
        return outcome

    async def prove_replication(self, statement: PorepStatement, folder: Path) -> bytes:
        """Return the proof of replication of a sealed sector. Raises `SealingFailed`."""
        outcome = await self._run(ProveJob(statement, folder), lambda *_: None)
        assert isinstance(outcome, bytes), "proving gives a proof"
        return outcome

    async def _run(
        self, job: Job, report: Callable[[str, int, int], None]
    ) -> SealedCommitments | bytes:
        async with self._places:
            worker = self._idle.pop() if self._idle else _Worker()
            try:
                outcome = await asyncio.to_thread(worker.run, job, report)
            except BaseException:
                worker.kill()
                raise
            self._idle.append(worker)
        if isinstance(outcome, SealingFailed):
            raise outcome
        return outcome


class _Worker:
    """One process, and our end of the pipe to it."""

    def __init__(self) -> None:
        self._pipe, theirs = _SPAWN.Pipe()
        self._process = _SPAWN.Process(target=_work, args=(theirs,), daemon=True)
        self._process.start()
        # With their end open here too, their death would not end our reading.
        theirs.close()

    def run(
        self, job: Job, report: Callable[[str, int, int], None]
    ) -> SealedCommitments | bytes | SealingFailed:
        """Hand over a job and wait for what comes of it."""
        try:
            self._pipe.send(job)
            while isinstance(answer := self._pipe.recv(), tuple):
                report(*answer)
        except (EOFError, OSError) as error:
            raise SealingFailed("the sealing process died") from error
        assert isinstance(answer, SealedCommitments | bytes | SealingFailed), "no other outcome"
        return answer

    def kill(self) -> None:
        """End the process, whatever it does."""
        self._process.kill()
        self._process.join()


def _work(pipe: "connection.Connection[object, object]") -> None:
    """Be a worker: do one job after the other until the pipe closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    with contextlib.suppress(EOFError):
        while True:
            job = pipe.recv()
            assert isinstance(job, SealJob | ProveJob), "only jobs come"
            try:
                pipe.send(job.run(lambda *progress: pipe.send(progress)))
            except (OSError, ValueError) as error:
                pipe.send(SealingFailed(f"{type(error).__name__}: {error}"))


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None, "a worker has a parent"
    connection.wait([parent.sentinel])
    os._exit(1)
