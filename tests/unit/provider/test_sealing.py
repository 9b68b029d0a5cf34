"""The sealing pool: it seals, it bounds, and a killed worker is a failure, not a hang."""

import asyncio
import multiprocessing
import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from chain.units import SectorNumber
from ipfs import dag_cbor
from ipfs.block import Block
from ipfs.blockstore import MemoryBlockstore
from ipfs.car import car_of
from ipfs.cid import CID, Codec
from proofs.parameters import ProofParameters, ProofType
from proofs.piece import comm_d, comm_p
from proofs.registry import parameters_of
from proofs.seal import seal
from proofs.sealed import SealedCommitments
from proofs.unseal import NodeRange
from provider.disk import SectorDisk, StagedSector, commitment_of, free_dag
from provider.sealing import SealingFailed, SealingPool, SealingProgress
from provider.sealing_plan import SealingPlan
from tests.support.bitswap import until

SMALL = parameters_of(ProofType.SDR_2KIB)
LARGE = parameters_of(ProofType.SDR_8MIB)
NUMBER = SectorNumber(3)
ALONE = SealingPlan(ProofType.SDR_2KIB, workers=1, together=1)
PAIRS = SealingPlan(ProofType.SDR_8MIB, workers=1, together=2)
REPLICA = b"\7" * 31 + b"\1"

Sealing = asyncio.Task[SealedCommitments]


def blocks_with(*texts: bytes) -> tuple[MemoryBlockstore, list[CID]]:
    blocks = [Block.of(Codec.RAW, text) for text in texts]
    store = MemoryBlockstore()
    store.put(blocks)
    return store, [block.cid for block in blocks]


async def test_what_is_staged_is_sealed_and_cleared(tmp_path: Path) -> None:
    store, roots = blocks_with(b"a" * 800, b"b" * 100)
    pieces = [await commitment_of(store, root) for root in roots]
    assert pieces == [comm_p(b"".join(car_of(store, root))) for root in roots]
    disk = SectorDisk(tmp_path)
    sized = [(root, piece.padded_size_bytes) for root, piece in zip(roots, pieces, strict=True)]
    async with SealingPool(ALONE) as pool:

        async def seal(replica_id: bytes) -> bytes:
            staged = await disk.stage(
                NUMBER, replica_id, sized, blocks=store, sector_size_bytes=SMALL.sector_size_bytes
            )
            found = await pool.seal(NUMBER, SMALL, replica_id, staged)
            assert found.comm_d == comm_d(pieces, SMALL.sector_size_bytes)
            return found.comm_r

        first = await seal(REPLICA)
        assert await seal(REPLICA) == first, "sealed before: nothing is made again"
        assert await seal(REPLICA[::-1]) != first, "another ticket: begun again"
    await disk.trim(NUMBER, SMALL)
    left = {path.name for path in disk.replica_folder(NUMBER).iterdir()}
    assert left == {"manifest.json", "replica", "tree_r_last"}
    await disk.clear(NUMBER)
    await disk.clear(NUMBER)
    assert not disk.replica_folder(NUMBER).exists()


def staged_nowhere(folder: Path) -> StagedSector:
    return StagedSector(((folder / "absent.car", 0),), folder / "data", folder / "replica")


async def test_what_can_not_be_sealed_is_a_failure_and_the_worker_lives_on(tmp_path: Path) -> None:
    async with SealingPool(ALONE) as pool:
        for _ in range(2):
            with pytest.raises(SealingFailed, match="FileNotFoundError"):
                await pool.seal(NUMBER, SMALL, REPLICA, staged_nowhere(tmp_path))
        [worker] = multiprocessing.active_children()
        assert worker.is_alive()
    assert not multiprocessing.active_children()
    assert not pool.progress


async def sealing_under_way(pool: SealingPool) -> None:
    await until(lambda: NUMBER in pool.progress)


async def stage_much(tmp_path: Path) -> StagedSector:
    store, [root] = blocks_with(b"much")
    return await SectorDisk(tmp_path).stage(
        NUMBER, REPLICA, [(root, 128)], blocks=store, sector_size_bytes=LARGE.sector_size_bytes
    )


async def test_a_killed_worker_is_a_failure_and_the_next_one_is_new(tmp_path: Path) -> None:
    staged = await stage_much(tmp_path)
    async with SealingPool(ALONE) as pool:
        sealing = asyncio.create_task(pool.seal(NUMBER, LARGE, REPLICA, staged))
        await sealing_under_way(pool)
        [worker] = multiprocessing.active_children()
        assert worker.pid is not None
        os.kill(worker.pid, signal.SIGKILL)
        with pytest.raises(SealingFailed, match="died"):
            await sealing
        with pytest.raises(SealingFailed, match="FileNotFoundError"):
            await pool.seal(NUMBER, SMALL, REPLICA, staged_nowhere(tmp_path / "other"))


async def test_cancelling_ends_the_work_and_its_process(tmp_path: Path) -> None:
    staged = await stage_much(tmp_path)
    async with SealingPool(ALONE) as pool:
        sealing = asyncio.create_task(pool.seal(NUMBER, LARGE, REPLICA, staged))
        await sealing_under_way(pool)
        sealing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sealing
        assert not multiprocessing.active_children()


class Watched(dict[SectorNumber, SealingProgress]):
    """Remembers which sectors were ever under way together, however short."""

    def __init__(self) -> None:
        super().__init__()
        self.together: set[frozenset[SectorNumber]] = set()

    def __setitem__(self, number: SectorNumber, progress: SealingProgress) -> None:
        super().__setitem__(number, progress)
        self.together.add(frozenset(self))


class Queue:
    """Sectors that are handed to a pool of one worker."""

    def __init__(self, pool: SealingPool, folder: Path) -> None:
        self.pool = pool
        self.folder = folder
        pool.progress = self.progress = Watched()

    async def sealing(self, *numbers: int, size: ProofParameters = LARGE) -> list[Sealing]:
        """Hand in sectors at once, and return what each is sealed in."""
        staged = [await self._stage(number, size) for number in numbers]
        return [
            asyncio.create_task(self.pool.seal(SectorNumber(number), size, replica, place))
            for number, (replica, place) in zip(numbers, staged, strict=True)
        ]

    async def _stage(self, number: int, size: ProofParameters) -> tuple[bytes, StagedSector]:
        store, [root] = blocks_with(b"piece %d" % number)
        replica = replica_of(number)
        return replica, await SectorDisk(self.folder).stage(
            SectorNumber(number), replica, [(root, 128)],
            blocks=store, sector_size_bytes=size.sector_size_bytes,
        )  # fmt: skip

    async def begun(self, *numbers: int) -> None:
        """Wait until these and no others were being sealed."""
        await until(lambda: frozenset(map(SectorNumber, numbers)) in self.progress.together)


def replica_of(number: int) -> bytes:
    return bytes([number]) * 31 + b"\1"


def sealed_alone(folder: Path, number: int) -> SealedCommitments:
    """Return what a sector of the queue's commits to."""
    staged = folder / f"sectors/{number}/staging"
    return seal(LARGE, replica_of(number), staged / "data", folder / f"alone-{number}")


def names_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


async def test_two_that_wait_are_sealed_together(tmp_path: Path) -> None:
    async with SealingPool(PAIRS) as pool:
        queue = Queue(pool, tmp_path)
        [first] = await queue.sealing(1)
        await queue.begun(1)
        waiting = await queue.sealing(2, 3)
        assert pool.progress.keys() == {1}, "there is one worker"
        await first
        await queue.begun(2, 3)
        found = await asyncio.gather(first, *waiting)
    assert found == [sealed_alone(tmp_path, number) for number in (1, 2, 3)]
    assert len({commitments.comm_r for commitments in found}) == 3


async def test_two_of_different_sizes_are_sealed_one_after_the_other(tmp_path: Path) -> None:
    async with SealingPool(PAIRS) as pool:
        queue = Queue(pool, tmp_path)
        [large], [small] = await queue.sealing(1), await queue.sealing(2, size=SMALL)
        await queue.begun(1)
        await asyncio.gather(large, small)


async def test_one_that_is_given_up_leaves_the_other_to_go_on(tmp_path: Path) -> None:
    async with SealingPool(PAIRS) as pool:
        queue = Queue(pool, tmp_path)
        given_up, kept = await queue.sealing(1, 2)
        await queue.begun(1, 2)
        given_up.cancel()
        with pytest.raises(asyncio.CancelledError):
            await given_up
        await queue.begun(2)
        assert await kept == sealed_alone(tmp_path, 2)


async def test_a_worker_killed_with_two_costs_neither_its_sector(tmp_path: Path) -> None:
    async with SealingPool(PAIRS) as pool:
        queue = Queue(pool, tmp_path)
        both = await queue.sealing(1, 2)
        await queue.begun(1, 2)
        [worker] = multiprocessing.active_children()
        assert worker.pid is not None
        os.kill(worker.pid, signal.SIGKILL)
        found = await asyncio.gather(*both)
    assert found == [sealed_alone(tmp_path, number) for number in (1, 2)]


async def test_what_fails_in_a_pair_is_its_own_failure(tmp_path: Path) -> None:
    async with SealingPool(PAIRS) as pool:
        [good] = await Queue(pool, tmp_path).sealing(1)
        nowhere = staged_nowhere(tmp_path / "absent")
        with pytest.raises(SealingFailed, match="FileNotFoundError"):
            await pool.seal(NUMBER, LARGE, REPLICA, nowhere)
        assert await good == sealed_alone(tmp_path, 1)


async def test_unsealing_that_is_given_up_ends_and_leaves_nothing(tmp_path: Path) -> None:
    async with SealingPool(ALONE) as pool:
        [sealing] = await Queue(pool, tmp_path).sealing(1)
        await sealing
        folder = SectorDisk(tmp_path).replica_folder(SectorNumber(1))
        begun, loop = asyncio.Event(), asyncio.get_running_loop()

        def report(*_: object) -> None:
            loop.call_soon_threadsafe(begun.set)

        nodes, target = NodeRange(0, LARGE.node_count), tmp_path / "unsealed"
        unsealing = asyncio.create_task(
            pool.unseal(LARGE, folder, nodes, LARGE.payload_bytes, target, report)
        )
        await begun.wait()
        unsealing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await unsealing
        assert not multiprocessing.active_children()
    assert names_in(tmp_path) == {"sectors"}


async def test_freed_blocks_are_those_that_no_other_dag_shares() -> None:
    store, [shared, own] = blocks_with(b"shared", b"own")

    def root_of(*cids: CID) -> CID:
        root = Block.of(Codec.DAG_CBOR, dag_cbor.encode(list(cids)))
        store.put([root])
        return root.cid

    absent = CID.of(Codec.RAW, b"never came")
    dropped, kept = root_of(shared, own, absent), root_of(shared)
    await free_dag(store, dropped, kept_roots=[kept])
    assert set(store) == {kept, shared}


def test_a_worker_ends_with_a_parent_that_was_killed(tmp_path: Path) -> None:
    root = Path(__file__).parents[3]
    command = [sys.executable, "-m", "tests.support.seals_until_killed"]
    environment = {**os.environ, "PYTHONPATH": str(root)}
    with subprocess.Popen(
        command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        worker = os.pidfd_open(int(parent.stdout.readline()))
        parent.kill()
    ended, _, _ = select.select([worker], [], [], 30)
    os.close(worker)
    assert ended, "the worker outlived its parent"
