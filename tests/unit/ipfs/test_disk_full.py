"""A full disk: puts are refused by name, everything else goes on, and room heals it."""

import errno
import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from ipfs.block import Block
from ipfs.blockstore import BlockstoreFull
from ipfs.cid import Codec
from ipfs.disk import DiskBlockstore
from tests.support.disks import DISK_BYTES, filled, small_disk

BLOCK_BYTES = 256 << 10


def block(number: int) -> Block:
    return Block.of(Codec.RAW, random.Random(number).randbytes(BLOCK_BYTES))


@pytest.fixture(name="disk")
def _disk(tmp_path: Path) -> Iterator[Path]:
    with small_disk(tmp_path / "disk") as disk:
        yield disk


def fill(store: DiskBlockstore, start: int) -> list[Block]:
    """Put blocks until the store refuses one; return those that it took."""
    taken: list[Block] = []
    while True:
        try:
            store.put([block(start + len(taken))])
        except BlockstoreFull:
            return taken
        taken.append(block(start + len(taken)))


def test_a_full_disk_refuses_serves_and_recovers(disk: Path) -> None:
    with DiskBlockstore(disk / "store") as store:
        taken = fill(store, 0)
        assert len(taken) * BLOCK_BYTES > 0.8 * DISK_BYTES
        with pytest.raises(BlockstoreFull, match="has no room") as caught:
            store.put([block(9_999)])
        assert (caught.value.errno, caught.value.code) == (errno.ENOSPC, "store-full")
        assert not store.has(block(9_999).cid)
        assert all(store.get(each.cid) == each for each in taken)

        store.delete(each.cid for each in taken[::2])
        more = fill(store, 1_000)
        assert len(more) > 0.4 * len(taken), "the room came back"
        kept = taken[1::2] + more
        assert all(store.get(each.cid) == each for each in kept)
        assert store.scrub().is_clean
    with DiskBlockstore(disk / "store") as store:
        assert set(store) == {each.cid for each in kept}


def test_a_disk_that_others_fill_to_the_last_byte(disk: Path) -> None:
    with DiskBlockstore(disk / "store") as store:
        store.put(map(block, range(20)))
        with filled(disk):
            for _ in range(3):
                with pytest.raises(BlockstoreFull):
                    store.put([block(99)])
            with pytest.raises(BlockstoreFull):
                store.delete(block(number).cid for number in range(20))
            assert all(store.get(block(number).cid) == block(number) for number in range(20))
        store.put([block(99)])
        store.delete([block(0).cid])
        assert store.scrub().is_clean
    with DiskBlockstore(disk / "store") as store:
        assert set(store) == {block(number).cid for number in (*range(1, 20), 99)}


def test_running_out_in_the_middle_takes_everything_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def half(fd: int, buffers: list[bytes]) -> int:
        os.write(fd, b"".join(buffers)[: BLOCK_BYTES // 2])
        raise OSError(errno.ENOSPC, "No space left on device")

    with DiskBlockstore(tmp_path) as store:
        store.put([block(1)])
        with monkeypatch.context() as patched:
            patched.setattr(os, "writev", half)
            for _ in range(2):
                with pytest.raises(BlockstoreFull):
                    store.put([block(2)])
        [segment] = tmp_path.glob("*.segment")
        assert segment.stat().st_size < 1.1 * BLOCK_BYTES
        store.put([block(3)])
        assert store.scrub().is_clean
        assert set(store) == {block(1).cid, block(3).cid}
