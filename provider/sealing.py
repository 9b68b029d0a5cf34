"""Sealing and proving replication in processes of their own: they take minutes of a core.

A worker lives as long as the pool, ends with its parent however that ends, and is killed when
the task that waits for it is cancelled: sealing goes on from what is whole on the disk. Two sectors
that wait for the same worker are sealed together, which takes less time than one after the other.
"""

import asyncio
import contextlib
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from multiprocessing import connection
from pathlib import Path
from types import TracebackType
from typing import Final, NamedTuple, Self

from chain.units import SectorNumber
from proofs import registry
from proofs.labelling import Progress
from proofs.parameters import ProofParameters
from proofs.piece import CommPHasher, PieceCommitment
from proofs.porep import PorepStatement
from proofs.seal import SectorToSeal, seal_together, write_sector_data
from proofs.sealed import SealedCommitments, WrongSector, find_manifest, read_manifest
from proofs.unseal import NodeRange, read_piece, unseal
from provider.disk import StagedSector
from provider.sealing_plan import SealingPlan

_SPAWN: Final = multiprocessing.get_context("spawn")
"""Not fork: the parent has threads, and a fork of them may hold their locks for ever."""

_READ_BYTES: Final = 1 << 20


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


Report = Callable[[int, str, int, int], None]
"""Told which of a job's sectors is how far: its index, then as `labelling.Progress`."""


@dataclass(frozen=True, slots=True)
class SealJob:
    """Seal what is staged of some sectors, by their replica ids."""

    parameters: ProofParameters
    sectors: tuple[tuple[bytes, StagedSector], ...]

    def run(self, report: Report) -> tuple[SealedCommitments, ...]:
        """Do it, in a worker."""
        size_bytes = self.parameters.sector_size_bytes
        for _, staged in self.sectors:
            if find_manifest(staged.folder) is None:
                write_sector_data(staged.pieces, size_bytes, target=staged.data_path)
        sectors = [
            SectorToSeal(replica_id, staged.data_path, staged.folder, partial(report, index))
            for index, (replica_id, staged) in enumerate(self.sectors)
        ]
        # One finds parents while labels are made, others write the layers before to the disk.
        with ThreadPoolExecutor(1 + len(sectors)) as pool:
            return tuple(seal_together(self.parameters, sectors, pool))


@dataclass(frozen=True, slots=True)
class ProveJob:
    """Prove the replication of a sealed sector."""

    statement: PorepStatement
    folder: Path

    def run(self, _: Report) -> bytes:
        """Do it, in a worker."""
        return registry.prove_replication(self.statement, self.folder)


@dataclass(frozen=True, slots=True)
class UnsealJob:
    """Get a payload back out of a sealed sector.

    nodes:   that hold it
    padded:  where the padded data lies meanwhile
    """

    parameters: ProofParameters
    folder: Path
    nodes: NodeRange
    payload_bytes: int
    target: Path
    padded: Path

    def run(self, report: Report) -> PieceCommitment:
        """Do it, in a worker; return what the payload is."""
        manifest = read_manifest(self.folder)
        if manifest is None:
            raise WrongSector(f"{self.folder} holds no sector")
        with ThreadPoolExecutor(1) as pool:
            unseal(
                self.parameters, manifest.replica_id, self.folder, self.padded, self.nodes,
                partial(report, 0), pool,
            )  # fmt: skip
        read_piece(self.padded, 0, self.payload_bytes, self.target)
        hasher = CommPHasher()
        with self.target.open("rb") as payload:
            while chunk := payload.read(_READ_BYTES):
                hasher.update(chunk)
        return hasher.finish()


Job = SealJob | ProveJob | UnsealJob
Outcome = tuple[SealedCommitments, ...] | bytes | PieceCommitment


@dataclass(eq=False)
class _Batch:
    """Sectors that one worker is to seal together, and the task in which it does."""

    parameters: ProofParameters
    members: dict[SectorNumber, tuple[bytes, StagedSector]]
    task: "asyncio.Task[tuple[SealedCommitments, ...]]" = field(init=False)


class SealingPool:
    """Runs a bounded number of jobs at a time. Entered with `async with`, which ends its workers.

    plan:      how many workers seal, and how many sectors at once; one worker more proves, since
               proofs are due in time and take seconds
    progress:  of the sectors that are being sealed now
    """

    def __init__(self, plan: SealingPlan) -> None:
        self.progress: dict[SectorNumber, SealingProgress] = {}
        self.plan = plan
        self._places = asyncio.Semaphore(plan.workers)
        self._proving = asyncio.Semaphore(1)
        self._waiting: list[_Batch] = []
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
        """Seal what is staged; at once if it was sealed before. Raises `SealingFailed`.

        If what it was sealed together with fails or is given up, it goes on alone from what is
        whole on the disk; so its failures are its own.
        """
        may_pair = self.plan.together > 1 and parameters.proof_type is self.plan.proof_type
        while True:
            batch = self._joined(number, parameters, (replica_id, staged), may_pair=may_pair)
            try:
                await asyncio.wait([batch.task])
            except asyncio.CancelledError:
                batch.task.cancel()
                await asyncio.wait([batch.task])
                raise
            finally:
                self.progress.pop(number, None)
            is_broken = batch.task.cancelled() or batch.task.exception() is not None
            if not is_broken or len(batch.members) == 1:
                return batch.task.result()[list(batch.members).index(number)]
            may_pair = False

    async def prove_replication(self, statement: PorepStatement, folder: Path) -> bytes:
        """Return the proof of replication of a sealed sector. Raises `SealingFailed`."""
        async with self._proving:
            outcome = await self._run(ProveJob(statement, folder), lambda *_: None)
        assert isinstance(outcome, bytes), "proving gives a proof"
        return outcome

    async def unseal(
        self,
        parameters: ProofParameters,
        folder: Path,
        nodes: NodeRange,
        payload_bytes: int,
        target: Path,
        progress: Progress,
    ) -> PieceCommitment:
        """Write the payload in some nodes of a sealed sector to a file; return what it is.

        Raises `SealingFailed`.
        """
        padded = target.with_name(f"{target.name}.padded")
        job = UnsealJob(parameters, folder, nodes, payload_bytes, target, padded)
        async with self._places:
            try:
                outcome = await self._run(job, lambda _, *told: progress(*told))
            finally:
                padded.unlink(missing_ok=True)
        assert isinstance(outcome, PieceCommitment), "unsealing gives a piece"
        return outcome

    def _joined(
        self,
        number: SectorNumber,
        parameters: ProofParameters,
        sector: tuple[bytes, StagedSector],
        *,
        may_pair: bool,
    ) -> _Batch:
        """Return the batch a sector is sealed with: one that waits for company, or its own."""
        for batch in self._waiting:
            if may_pair and batch.parameters == parameters:
                batch.members[number] = sector
                self._waiting.remove(batch)
                return batch
        batch = _Batch(parameters, {number: sector})
        batch.task = asyncio.create_task(self._seal(batch))
        if may_pair:
            self._waiting.append(batch)
        return batch

    async def _seal(self, batch: _Batch) -> tuple[SealedCommitments, ...]:
        try:
            await self._places.acquire()
        finally:
            if batch in self._waiting:
                self._waiting.remove(batch)
        try:
            reports = [_Reporter(number, self.progress) for number in batch.members]
            job = SealJob(batch.parameters, tuple(batch.members.values()))
            outcome = await self._run(job, lambda index, *progress: reports[index](*progress))
        finally:
            self._places.release()
        assert isinstance(outcome, tuple), "sealing gives commitments"
        return outcome

    async def _run(self, job: Job, report: Report) -> Outcome:
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


class _Reporter:
    """Keeps one sector's progress, with the rate of its present stage."""

    def __init__(
        self, number: SectorNumber, progress: MutableMapping[SectorNumber, SealingProgress]
    ) -> None:
        self._number, self._progress = number, progress
        self._began = ("", 0, 0.0)

    def __call__(self, stage: str, done_nodes: int, total_nodes: int) -> None:
        now_seconds = time.monotonic()
        if self._began[0] != stage:
            self._began = (stage, done_nodes, now_seconds)
        _, first_nodes, first_seconds = self._began
        taken_seconds = now_seconds - first_seconds
        rate = int((done_nodes - first_nodes) / taken_seconds) if taken_seconds else 0
        self._progress[self._number] = SealingProgress(stage, done_nodes, total_nodes, rate)


class _Reported(NamedTuple):
    """What a worker says on the way; see `Report`."""

    sector: int
    stage: str
    done_nodes: int
    total_nodes: int


class _Worker:
    """One process, and our end of the pipe to it."""

    def __init__(self) -> None:
        self._pipe, theirs = _SPAWN.Pipe()
        self._process = _SPAWN.Process(target=_work, args=(theirs,), daemon=True)
        self._process.start()
        # With their end open here too, their death would not end our reading.
        theirs.close()

    def run(self, job: Job, report: Report) -> Outcome | SealingFailed:
        """Hand over a job and wait for what comes of it."""
        try:
            self._pipe.send(job)
            while isinstance(answer := self._pipe.recv(), _Reported):
                report(*answer)
        except (EOFError, OSError) as error:
            raise SealingFailed("the sealing process died") from error
        assert isinstance(answer, tuple | bytes | PieceCommitment | SealingFailed), "no other"
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
            assert isinstance(job, Job), "only jobs come"
            try:
                pipe.send(job.run(lambda *progress: pipe.send(_Reported(*progress))))
            except (OSError, ValueError) as error:
                pipe.send(SealingFailed(f"{type(error).__name__}: {error}"))


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None, "a worker has a parent"
    connection.wait([parent.sentinel])
    os._exit(1)
