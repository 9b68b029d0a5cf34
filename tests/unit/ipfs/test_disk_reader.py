"""Readers beside a writer, and after one that crashed."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ipfs.blockstore import BlockCorrupt, BlockNotFound
from ipfs.disk import DiskBlockstore, StoreLocked
from ipfs.disk_reader import DiskReader
from tests.support import writes_until_killed
from tests.support.writes_until_killed import block

ROOT = Path(__file__).parents[3]


@contextmanager
def writer(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """Run a process that puts, deletes and so rewrites segments, until it is killed."""
    command = [sys.executable, "-m", writes_until_killed.__name__, str(folder), "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        try:
            yield process
        finally:
            process.kill()


def test_what_another_process_has_put_is_read_while_it_puts_deletes_and_moves(
    tmp_path: Path,
) -> None:
    kept: list[int] = []
    with writer(tmp_path) as process:
        assert process.stdout is not None
        reader: DiskReader | None = None
        for line in process.stdout:
            what, *numbers = line.split()
            if reader is None:
                # Made while somebody writes: the store is not closed and nobody else may open it.
                reader = DiskReader(tmp_path)
            if what == "put":
                kept.append(int(numbers[2]))
                assert reader.get(block(kept[-1]).cid) == block(kept[-1])
            if what == "deleted":
                with pytest.raises(BlockNotFound):
                    reader.get(block(int(numbers[0])).cid)
            if len(kept) == 150:
                break
        assert reader is not None
        assert "00000001-" not in "".join(path.name for path in tmp_path.iterdir()), "moved"
        for number in kept:
            assert reader.size_bytes(block(number).cid) == len(block(number).data)
            assert reader.get(block(number).cid) == block(number)
        assert {block(number).cid for number in kept} <= set(reader)

        with pytest.raises(StoreLocked, match=f"process {process.pid}") as caught:
            DiskBlockstore(tmp_path)
        assert caught.value.holder_pid == process.pid
    reader.close()
    with DiskReader(tmp_path) as after_the_crash:
        for number in kept:
            assert after_the_crash.get(block(number).cid) == block(number)


def test_acknowledged_blocks_that_a_crash_left_out_of_the_index_are_found(tmp_path: Path) -> None:
    with DiskBlockstore(tmp_path) as store:
        store.put([block(1)])
    (tmp_path / "index.sqlite").unlink()
    (tmp_path / "index.sha256").unlink()
    with DiskReader(tmp_path) as reader:
        assert reader.get(block(1).cid) == block(1)


def test_a_reader_of_nothing_finds_what_is_put_later(tmp_path: Path) -> None:
    with DiskReader(tmp_path / "new") as reader:
        assert (list(reader), reader.has(block(1).cid)) == ([], False)
        with DiskBlockstore(tmp_path / "new") as store:
            store.put([block(1)])
            assert reader.get(block(1).cid) == block(1)


def test_a_reader_goes_over_to_an_index_that_is_made_anew(tmp_path: Path) -> None:
    with DiskBlockstore(tmp_path) as store:
        store.put([block(1)])
    with DiskReader(tmp_path) as reader:
        data = bytearray((tmp_path / "index.sqlite").read_bytes())
        data[-1] ^= 1
        (tmp_path / "index.sqlite").write_bytes(data)
        with DiskBlockstore(tmp_path) as store:
            store.put([block(2)])
            assert reader.get(block(2).cid) == block(2)
            assert set(reader) == {block(1).cid, block(2).cid}


def test_a_flipped_bit_is_corrupt_until_a_writer_has_met_it(tmp_path: Path) -> None:
    with DiskBlockstore(tmp_path) as store:
        store.put([block(5)])
        [segment] = tmp_path.glob("*.segment")
        data = bytearray(segment.read_bytes())
        data[-1] ^= 1
        segment.write_bytes(data)
        with DiskReader(tmp_path) as reader:
            with pytest.raises(BlockCorrupt):
                reader.get(block(5).cid)
            assert store.scrub().lost == (block(5).cid,)
            assert not reader.has(block(5).cid)
            store.put([block(5)])
            assert reader.get(block(5).cid) == block(5)


def test_a_reader_changes_nothing(tmp_path: Path) -> None:
    with DiskBlockstore(tmp_path) as store:
        store.put([block(1)])
    with DiskReader(tmp_path) as reader:
        with pytest.raises(OSError, match="opened to be read"):
            reader.put([block(2)])
        with pytest.raises(OSError, match="opened to be read"):
            reader.delete([block(1).cid])
        assert list(reader) == [block(1).cid]
