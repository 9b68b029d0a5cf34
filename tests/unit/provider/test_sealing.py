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
from proofs.parameters import ProofType
from proofs.piece import comm_d, comm_p
from proofs.registry import parameters_of
from provider.disk import SectorDisk, StagedSector, commitment_of, free_dag
from provider.sealing import SealingFailed, SealingPool

SMALL = parameters_of(ProofType.SDR_2KIB)
LARGE = parameters_of(ProofType.SDR_8MIB)
NUMBER = SectorNumber(3)
REPLICA = b"\7" * 31 + b"\1"


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
    async with SealingPool(workers_max=1) as pool:

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
    async with SealingPool(workers_max=1) as pool:
        for _ in range(2):
            with pytest.raises(SealingFailed, match="FileNotFoundError"):
                await pool.seal(NUMBER, SMALL, REPLICA, staged_nowhere(tmp_path))
        [worker] = multiprocessing.active_children()
        assert worker.is_alive()
    assert not multiprocessing.active_children()
    assert not pool.progress


async def sealing_under_way(pool: SealingPool) -> None:
    while NUMBER not in pool.progress:  # noqa: ASYNC110 - a thread tells it
        await asyncio.sleep(0)


async def stage_much(tmp_path: Path) -> StagedSector:
    store, [root] = blocks_with(b"much")
    return await SectorDisk(tmp_path).stage(
        NUMBER, REPLICA, [(root, 128)], blocks=store, sector_size_bytes=LARGE.sector_size_bytes
    )


async def test_a_killed_worker_is_a_failure_and_the_next_one_is_new(tmp_path: Path) -> None:
    staged = await stage_much(tmp_path)
    async with SealingPool(workers_max=1) as pool:
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
    async with SealingPool(workers_max=1) as pool:
        sealing = asyncio.create_task(pool.seal(NUMBER, LARGE, REPLICA, staged))
        await sealing_under_way(pool)
        sealing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sealing
        assert not multiprocessing.active_children()


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
