"""The block store on a disk: what it promises, through crashes, torn files and bit rot."""

import errno
import os
import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ipfs.block import Block
from ipfs.blockstore import BlockCorrupt, BlockNotFound
from ipfs.cid import CID, Codec, HashCode
from ipfs.disk import DiskBlockstore, StoreLocked
from tests.support import writes_until_killed
from tests.support.writes_until_killed import block

ROOT = Path(__file__).parents[3]
BIG_BYTES = 1 << 20


def big(number: int) -> Block:
    return Block.of(Codec.RAW, random.Random(number).randbytes(BIG_BYTES))


def segments(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.segment"))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[DiskBlockstore]:
    with DiskBlockstore(tmp_path / "store") as store:
        yield store


def test_blocks_outlive_the_process(tmp_path: Path) -> None:
    blocks = [block(number) for number in range(100)]
    with DiskBlockstore(tmp_path) as store:
        store.put(blocks[:50])
    with DiskBlockstore(tmp_path) as store:
        store.put(blocks[50:])
    with DiskBlockstore(tmp_path) as store:
        assert [store.get(each.cid) for each in blocks] == blocks
        assert set(store) == {each.cid for each in blocks}
        assert [store.size_bytes(each.cid) for each in blocks] == [len(b.data) for b in blocks]
    assert len(segments(tmp_path)) == 1, "a whole segment is gone on with"


def test_a_folder_is_open_once(tmp_path: Path) -> None:
    with DiskBlockstore(tmp_path), pytest.raises(StoreLocked, match=str(tmp_path)):
        DiskBlockstore(tmp_path)
    DiskBlockstore(tmp_path).close()


def test_closed_again_it_closes_nothing_that_is_not_its_own(tmp_path: Path) -> None:
    store = DiskBlockstore(tmp_path / "store")
    store.close()
    with (tmp_path / "another's").open("wb") as file:
        store.close()
        os.fstat(file.fileno())


def test_an_opening_that_fails_leaves_nothing_open(tmp_path: Path) -> None:
    folder = tmp_path / "store"
    with DiskBlockstore(folder) as store:
        store.put([block(1)])
    lose_index(folder)
    [segment] = segments(folder)
    segment.rename(tmp_path / "away")
    segment.mkdir()
    before = set(Path("/proc/self/fd").iterdir())
    with pytest.raises(IsADirectoryError):
        DiskBlockstore(folder)
    assert set(Path("/proc/self/fd").iterdir()) <= before, "others may close theirs"
    segment.rmdir()
    (tmp_path / "away").rename(segment)
    with DiskBlockstore(folder) as store:
        assert store.get(block(1).cid) == block(1)


def test_a_block_put_twice_is_stored_once(store: DiskBlockstore, tmp_path: Path) -> None:
    store.put([big(1), big(1)])
    store.put([big(1)])
    [segment] = segments(tmp_path / "store")
    assert segment.stat().st_size < 1.1 * BIG_BYTES


def test_deleted_blocks_stay_away(tmp_path: Path) -> None:
    with DiskBlockstore(tmp_path) as store:
        store.put(map(block, range(9)))
        store.delete([block(3).cid, block(3).cid, block(77).cid])
        store.put([block(3)])
        store.delete([block(4).cid])
    for index_lost in (False, True):
        if index_lost:
            lose_index(tmp_path)
        with DiskBlockstore(tmp_path) as store:
            assert set(store) == {block(number).cid for number in range(9) if number != 4}
            with pytest.raises(BlockNotFound):
                store.get(block(4).cid)


def test_space_comes_back(tmp_path: Path) -> None:
    blocks = [big(number) for number in range(24)]
    with DiskBlockstore(tmp_path, segment_bytes_max=8 * BIG_BYTES) as store:
        for each in blocks:
            store.put([each])
        assert len(segments(tmp_path)) == 3
        store.delete(each.cid for each in blocks[:22])
        assert sum(path.stat().st_size for path in segments(tmp_path)) < 4 * BIG_BYTES
        assert [store.get(each.cid) for each in blocks[22:]] == blocks[22:]
    with DiskBlockstore(tmp_path) as store:
        assert set(store) == {each.cid for each in blocks[22:]}


def test_bit_rot_is_noticed_and_mended_by_putting_again(
    store: DiskBlockstore, tmp_path: Path
) -> None:
    store.put([big(1), big(2)])
    [segment] = segments(tmp_path / "store")
    flip_bit(segment, BIG_BYTES // 2)
    with pytest.raises(BlockCorrupt):
        store.get(big(1).cid)
    assert not store.has(big(1).cid)
    assert store.get(big(2).cid) == big(2)
    store.put([big(1)])
    assert store.get(big(1).cid) == big(1)


def test_bit_rot_is_noticed_in_a_block_inside_its_cid(tmp_path: Path) -> None:
    data = bytes(20)
    zeros = Block(CID.of(Codec.RAW, data, hash_code=HashCode.IDENTITY), data)
    with DiskBlockstore(tmp_path) as store:
        store.put([zeros])
        assert store.get(zeros.cid) == zeros
        [segment] = segments(tmp_path)
        flip_bit(segment, segment.stat().st_size - 1)
        with pytest.raises(BlockCorrupt):
            store.get(zeros.cid)


def test_what_is_read_at_once_is_what_is_read(store: DiskBlockstore, tmp_path: Path) -> None:
    assert store.get_at_once(big(1).cid) is None
    store.put([big(1), big(2)])
    # Not every system tells what is in the page cache, and it may not be any more.
    assert store.get_at_once(big(1).cid) in {big(1), None}
    [segment] = segments(tmp_path / "store")
    flip_bit(segment, BIG_BYTES // 2)
    assert store.get_at_once(big(1).cid) is None
    with pytest.raises(BlockCorrupt):
        store.get(big(1).cid)
    assert store.get(big(2).cid) == big(2)


def test_reading_at_once_waits_for_nobody(store: DiskBlockstore) -> None:
    store.put([big(1)])
    with ThreadPoolExecutor(1) as other, store._mutex:
        assert other.submit(store.get_at_once, big(1).cid).result() is None


def test_a_segment_that_does_not_open_is_no_error_of_reading_at_once(
    store: DiskBlockstore, tmp_path: Path
) -> None:
    store.put([big(1)])
    [segment] = segments(tmp_path / "store")
    segment.unlink()
    assert store.get_at_once(big(1).cid) is None
    with pytest.raises(FileNotFoundError):
        store.get(big(1).cid)


def flip_bit(path: Path, position: int) -> None:
    data = bytearray(path.read_bytes())
    data[position] ^= 2
    path.write_bytes(data)


def lose_index(folder: Path) -> None:
    for path in folder.glob("index.*"):
        path.unlink()


def test_a_rotten_block_is_not_carried_into_another_segment(tmp_path: Path) -> None:
    blocks = [big(number) for number in range(8)]
    with DiskBlockstore(tmp_path, segment_bytes_max=4 * BIG_BYTES) as store:
        store.put(blocks)
        [segment] = segments(tmp_path)
        flip_bit(segment, BIG_BYTES // 2)
        store.delete(each.cid for each in blocks[2:])
        assert not segment.exists()
        assert set(store) == {blocks[1].cid}
        assert store.get(blocks[1].cid) == blocks[1]


def test_a_rebuilt_index_names_no_rotten_block(tmp_path: Path) -> None:
    with DiskBlockstore(tmp_path) as store:
        store.put([big(1), big(2)])
    flip_bit(segments(tmp_path)[0], BIG_BYTES // 2)
    lose_index(tmp_path)
    with DiskBlockstore(tmp_path) as store:
        assert set(store) == {big(2).cid}


def test_a_rebuild_goes_on_behind_a_damaged_head(tmp_path: Path) -> None:
    with DiskBlockstore(tmp_path / "whole") as store:
        store.put([block(1)])
        head_at = segments(tmp_path / "whole")[0].stat().st_size
        store.put([block(2), block(3)])
    for position in range(head_at, head_at + 18 + len(block(2).cid.encode())):
        folder = tmp_path / str(position)
        shutil.copytree(tmp_path / "whole", folder)
        flip_bit(segments(folder)[0], position)
        lose_index(folder)
        with DiskBlockstore(folder) as store:
            assert set(store) == {block(1).cid, block(3).cid}
            assert store.get(block(3).cid) == block(3)


def test_a_block_that_reads_like_a_record_is_none(tmp_path: Path) -> None:
    """A stranger's block can't bury another, even where reading has to find its way again."""
    with DiskBlockstore(tmp_path / "his") as store:
        store.put([block(1)])
        store.delete([block(1).cid])
        record_bytes = 18 + len(block(1).cid.encode())
        tombstone = segments(tmp_path / "his")[0].read_bytes()[-record_bytes:]
        store.put([block(1)])
    ours = tmp_path / "ours"
    with DiskBlockstore(ours) as store:
        store.put([block(1)])
        head_at = segments(ours)[0].stat().st_size
        store.put([Block.of(Codec.RAW, b"x" + tombstone * 3)])
    flip_bit(segments(ours)[0], head_at + 9)
    lose_index(ours)
    with DiskBlockstore(ours) as store:
        assert set(store) == {block(1).cid}


def test_a_failed_fsync_acknowledges_nothing_and_its_segment_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: int) -> None:
        raise OSError(errno.EIO, "input/output error")

    with DiskBlockstore(tmp_path) as store:
        store.put([block(1)])
        with monkeypatch.context() as patched:
            patched.setattr(os, "fdatasync", fail)
            with pytest.raises(OSError, match="input/output"):
                store.put([block(2)])
            with pytest.raises(OSError, match="input/output"):
                store.delete([block(1).cid])
        assert set(store) == {block(1).cid}
        failed = segments(tmp_path)
        store.put([block(3)])
        assert len(segments(tmp_path)) == len(failed) + 1
    with DiskBlockstore(tmp_path) as store:
        assert store.get(block(3).cid) == block(3)


@pytest.mark.parametrize("call", ["open", "fsync"])
def test_a_segment_that_could_not_be_made_is_none(
    call: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = getattr(os, call)

    def fail(what: object, *rest: int) -> int:
        if isinstance(what, Path) and what.suffix != ".segment":
            return int(made(what, *rest))
        raise OSError(errno.EMFILE, "too many open files")

    with DiskBlockstore(tmp_path) as store:
        with monkeypatch.context() as patched:
            patched.setattr(os, call, fail)
            with pytest.raises(OSError, match="too many"):
                store.put([block(1)])
        store.put([block(2)])
        assert store.scrub().is_clean
    numbers = [path.name.partition("-")[0] for path in segments(tmp_path)]
    assert len(set(numbers)) == len(numbers), "else only one of two is read again"
    lose_index(tmp_path)
    with DiskBlockstore(tmp_path) as store:
        assert set(store) == {block(2).cid}


@pytest.mark.parametrize("index_lost", [False, True])
def test_a_tail_torn_anywhere_costs_only_what_was_torn(index_lost: bool, tmp_path: Path) -> None:
    blocks = [block(number) for number in range(12)]
    ends: list[int] = []
    with DiskBlockstore(tmp_path / "whole") as store:
        for each in blocks:
            store.put([each])
            ends.append(segments(tmp_path / "whole")[0].stat().st_size)
    for cut in sorted({*range(0, ends[-1], 1999), *ends, *(end - 1 for end in ends)}):
        folder = tmp_path / f"cut-{cut}"
        shutil.copytree(tmp_path / "whole", folder)
        os.truncate(segments(folder)[0], cut)
        if index_lost:
            (folder / "index.sqlite").write_bytes(b"not a database at all" * 100)
        kept = [each for each, end in zip(blocks, ends, strict=True) if end <= cut]
        for _ in range(2):
            with DiskBlockstore(folder) as store:
                assert set(store) >= {each.cid for each in kept}
                assert [store.get(each.cid) for each in kept] == kept
                store.put(blocks)
                assert [store.get(each.cid) for each in blocks] == blocks
                kept = blocks
        shutil.rmtree(folder)


def test_garbage_after_the_last_record_hides_nothing(tmp_path: Path) -> None:
    with DiskBlockstore(tmp_path) as store:
        store.put([block(1)])
    with segments(tmp_path)[0].open("ab") as file:
        file.write(bytes(5000))
    with DiskBlockstore(tmp_path) as store:
        store.put([block(2)])
    lose_index(tmp_path)
    with DiskBlockstore(tmp_path) as store:
        assert set(store) == {block(1).cid, block(2).cid}


def test_a_put_that_fails_acknowledges_nothing_and_harms_nothing(store: DiskBlockstore) -> None:
    def failing() -> Iterator[Block]:
        yield block(2)
        raise OSError("no such luck")

    store.put([block(1)])
    with pytest.raises(OSError, match="no such luck"):
        store.put(failing())
    store.put([block(3)])
    assert set(store) == {block(1).cid, block(3).cid}


def test_many_threads_share_a_store(store: DiskBlockstore) -> None:
    def work(worker: int) -> bool:
        blocks = [block(worker * 10 + number) for number in range(15)]
        for each in blocks:
            store.put([each])
        return [store.get(each.cid) for each in blocks] == blocks

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(work, range(16)))
    assert len(set(store)) == 165


def test_what_was_acknowledged_outlives_sigkill(tmp_path: Path) -> None:
    luck = random.Random(1)
    present: set[int] = set()
    for round_number in range(8):
        said = lines_until_killed(tmp_path, round_number * 10_000, lines=luck.randrange(1, 120))
        unsure: set[int] = set()
        for verb, *words in said:
            numbers = set(map(int, words))
            if verb == "put":
                present |= numbers
            elif verb == "deleting":
                unsure = numbers & present
                present -= numbers
            else:
                unsure = set()
        with DiskBlockstore(tmp_path, segment_bytes_max=200_000) as store:
            stored = {int.from_bytes(store.get(cid).data[:4]) for cid in store}
            # At most the batch that nobody heard about, and the deletion under way.
            assert present <= stored
            assert len(stored - present - unsure) <= 3
            present = stored


def lines_until_killed(folder: Path, start: int, *, lines: int) -> list[list[str]]:
    """Run the writer, kill it after it said so many lines, and return all that it said."""
    writer = subprocess.Popen(
        [sys.executable, writes_until_killed.__file__, str(folder), str(start)],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert writer.stdout is not None
    said = b"".join(writer.stdout.readline() for _ in range(lines))
    writer.send_signal(signal.SIGKILL)
    said += writer.communicate()[0]
    assert writer.returncode == -signal.SIGKILL
    return [line.decode().split() for line in said.split(b"\n")[:-1]]
