"""The importer against the CIDs that the JavaScript reference gave."""

import errno
import io
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ipfs.blockstore import MemoryBlockstore
from ipfs.cid import CID, Codec
from ipfs.dag import walk
from ipfs.dag_pb import PBNode
from ipfs.unixfs.chunker import FixedSize, Gear
from ipfs.unixfs.disk import import_path, import_stream
from ipfs.unixfs.errors import EntryUnsupported
from ipfs.unixfs.exporter import export
from ipfs.unixfs.header import Header, Metadata, NodeType
from ipfs.unixfs.importer import Forgotten, Imported, Importer, import_file
from ipfs.unixfs.profiles import PROFILES, UNIXFS_V0_2015, UNIXFS_V1_2025, ImportSettings
from tests.support.later import split
from tests.support.unixfs_vectors import SETTINGS, cids_sha256, content, make_directory, settings_of
from tests.support.vectors import own

VECTORS = own("unixfs.json")
FILES, FILES_LATER = split("unixfs.json", VECTORS["files"])
DIRECTORIES, DIRECTORIES_LATER = split("unixfs.json", VECTORS["directories"])


def assert_as_vector(row: Mapping[str, Any], root: Imported, store: MemoryBlockstore) -> None:
    cids = list(store)
    assert str(root.cid) == row["cid"]
    assert root.tsize == row["tsize"]
    if leaves_blocks_unused(row):
        assert set(map(str, cids)) < set(row["cids"])
        return
    assert len(cids) == row["blocks"]
    assert sum(map(store.size_bytes, cids)) == row["block_bytes"]
    assert cids_sha256(cids) == row["cids_sha256"]
    assert sorted(map(str, cids)) == row.get("cids", sorted(map(str, cids)))
    assert set(walk(store, root.cid)) == set(cids)


def leaves_blocks_unused(row: Mapping[str, Any]) -> bool:
    """Whether the reference also stored nodes that it then replaced and the root does not reach."""
    return row.get("name") == "mode-mtime" or (row.get("size") == 0 and "trickle" in row["config"])


def row_id(row: Mapping[str, Any]) -> str:
    return f"{row['config']}-{row.get('name') or row['input'] + str(row['size'])}"


@pytest.mark.parametrize("row", FILES, ids=row_id)
def test_a_file_gets_the_cid_that_others_give_it(row: Mapping[str, Any]) -> None:
    store = MemoryBlockstore()
    source = io.BytesIO(content(row["size"], row["input"]))
    root = import_file(source, store, SETTINGS[row["config"]])
    assert root.file_bytes == row["size"]
    assert_as_vector(row, root, store)


@pytest.mark.parametrize("row", DIRECTORIES, ids=row_id)
def test_a_folder_gets_the_cid_that_others_give_it(row: Mapping[str, Any], tmp_path: Path) -> None:
    make_directory(row, tmp_path / "d")
    store = MemoryBlockstore()
    assert_as_vector(row, import_path(tmp_path / "d", store, settings_of(row)), store)


def test_no_row_is_passed_over_without_a_name() -> None:
    assert {reason: len(rows) for reason, rows in FILES_LATER.items()} == {
        "rabin chunker": 5,
        "the reference's file holds its leaf's protobuf as content": 0,
    }
    assert {reason: len(rows) for reason, rows in DIRECTORIES_LATER.items()} == {
        "rabin chunker": 0,
        "the reference's file holds its leaf's protobuf as content": 1,
    }


def test_the_row_that_is_wrong_is_wrong_as_we_say() -> None:
    [row] = DIRECTORIES_LATER["the reference's file holds its leaf's protobuf as content"]
    leaf = PBNode(data=Header(NodeType.FILE, b"x", 1).encode()).encode()
    kept = Metadata(mode=0o644, mtime_ns=1_700_000_000 * 10**9 + 5)
    wrong = PBNode(data=Header(NodeType.FILE, leaf, len(leaf), metadata=kept).encode()).encode()
    assert str(CID.of(Codec.DAG_PB, wrong, version=0)) in row["cids"]


class Trickle(io.RawIOBase):
    """Gives a few bytes at a time, as a pipe may."""

    def __init__(self, data: bytes) -> None:
        self._source = io.BytesIO(data)

    def read(self, size: int = -1, /) -> bytes:
        return self._source.read(min(size, 70_001))


def test_how_a_stream_arrives_does_not_change_the_cid() -> None:
    data = content(3_000_000)
    whole = import_file(io.BytesIO(data), MemoryBlockstore())
    assert import_file(Trickle(data), MemoryBlockstore()) == whole


def test_progress_counts_to_the_last_byte() -> None:
    seen: list[int] = []
    import_file(io.BytesIO(content(2_500_000)), MemoryBlockstore(), on_progress=seen.append)
    assert seen == [1 << 20, 2 << 20, 2_500_000]


class EndlessZeros:
    def __init__(self, size_bytes: int) -> None:
        self.left_bytes = size_bytes

    def read(self, size: int, /) -> bytes:
        count = min(size, self.left_bytes)
        self.left_bytes -= count
        return bytes(count)


class Sink(MemoryBlockstore):
    """Remembers how much was put at once."""

    batch_bytes_max = 0

    def put(self, blocks: Any) -> None:
        blocks = list(blocks)
        self.batch_bytes_max = max(self.batch_bytes_max, sum(len(block.data) for block in blocks))
        super().put(blocks)


def test_a_large_file_is_handed_on_in_batches() -> None:
    store = Sink()
    root = import_file(EndlessZeros(200 << 20), store)
    assert root.file_bytes == 200 << 20
    assert len(list(store)) == 2
    assert store.batch_bytes_max <= 17 << 20


def test_profiles_are_known_by_name() -> None:
    assert PROFILES == {"unixfs-v1-2025": UNIXFS_V1_2025, "unixfs-v0-2015": UNIXFS_V0_2015}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("cid_version", 2),
        ("chunker", FixedSize(0)),
        ("chunker", FixedSize(2 << 20)),
        ("chunker", Gear(1 << 19)),
        ("links_per_node_max", 1),
    ],
)
def test_numbers_that_make_no_dag_are_refused(name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=str(value)):
        ImportSettings(**{name: value})


def test_what_unixfs_cannot_hold_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    os.mkfifo(tmp_path / "d" / "pipe")
    with pytest.raises(EntryUnsupported, match="d/pipe"):
        import_path(tmp_path / "d", MemoryBlockstore())


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        (b"new\nline", "control character: rename"),
        (b"\x1b[2J", "control character: rename"),
        (b"latin-\xe9", "not UTF-8: rename"),
    ],
)
def test_a_name_that_could_not_be_brought_back_is_refused(
    name: bytes, reason: str, tmp_path: Path
) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / os.fsdecode(name)).touch()
    with pytest.raises(EntryUnsupported, match=reason):
        import_path(tmp_path / "d", MemoryBlockstore())


@pytest.mark.parametrize("target", ["/etc/passwd", "../../x", "a/../../../x", "..", "b/.."])
def test_a_link_out_of_the_folder_is_refused(target: str, tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "l").symlink_to(target)
    with pytest.raises(EntryUnsupported, match=r"d/l'.* leaves the folder: move"):
        import_path(tmp_path / "d", MemoryBlockstore())


def test_a_link_to_what_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "l").symlink_to(os.fsdecode(b"latin-\xe9"))
    with pytest.raises(EntryUnsupported, match=r"d/l'.* not UTF-8"):
        import_path(tmp_path / "d", MemoryBlockstore())


def test_folders_that_nobody_could_read_back_are_refused_before_what_is_in_them(
    tmp_path: Path,
) -> None:
    names = "d/" * 100
    (tmp_path / names).mkdir(parents=True)
    (tmp_path / names / "f").write_bytes(bytes(10_000))
    store = MemoryBlockstore()
    narrow = ImportSettings(chunker=FixedSize(1), links_per_node_max=2)
    root = import_path(tmp_path / "d", store, narrow).cid
    export(store, root, tmp_path / "out")
    (tmp_path / names / "d").mkdir()
    with pytest.raises(EntryUnsupported, match="d/d': more than 100 folders"):
        import_path(tmp_path / "d", store, narrow)


def test_a_link_is_no_root(tmp_path: Path) -> None:
    (tmp_path / "f").touch()
    (tmp_path / "l").symlink_to("f")
    with pytest.raises(EntryUnsupported, match="/l': a symbolic link by itself"):
        import_path(tmp_path / "l", MemoryBlockstore())


def test_a_missing_path_is_an_error_of_the_system(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        import_path(tmp_path / "nowhere", MemoryBlockstore())


def test_what_was_flushed_is_not_put_again() -> None:
    store = Sink()
    importer = Importer(store)
    importer.add_file(io.BytesIO(b"once"))
    importer.flush()
    store.batch_bytes_max = 0
    importer.flush()
    assert store.batch_bytes_max == 0


class Full(MemoryBlockstore):
    """Takes no block, as a disk that is full."""

    def put(self, blocks: Any) -> None:
        raise OSError(errno.ENOSPC, "no space left")


@pytest.mark.parametrize("size_bytes", [1, 40 << 20])
def test_what_the_store_refuses_is_not_imported(size_bytes: int, tmp_path: Path) -> None:
    with (tmp_path / "file").open("wb") as file:
        file.truncate(size_bytes)
    with pytest.raises(OSError, match="no space"):
        import_path(tmp_path / "file", Full())


class FullAtFirst(MemoryBlockstore):
    """Fails one put only, as a disk does where room is made a moment later."""

    has_failed = False

    def put(self, blocks: Any) -> None:
        if not self.has_failed:
            self.has_failed = True
            raise OSError(errno.ENOSPC, "no space left")
        super().put(blocks)


def test_a_put_that_fails_beside_the_import_fails_it(tmp_path: Path) -> None:
    with (tmp_path / "file").open("wb") as file:
        file.truncate(60 << 20)
    with pytest.raises(OSError, match="no space"):
        import_path(tmp_path / "file", FullAtFirst())


COLLIDING = ("a name of exactly thirty-two b..", "3=68B_jj^OPLtF9X_;75Lu65;WuEgFG;")


def test_names_that_no_shard_tells_apart_are_refused() -> None:
    importer = Importer(Forgotten(), ImportSettings(directory_bytes_max=0))
    child = importer.add_file(io.BytesIO(b""))
    importer.add_directory([(COLLIDING[0], child), ("another", child)])
    with pytest.raises(EntryUnsupported, match="its hash"):
        importer.add_directory((name, child) for name in COLLIDING)


def test_an_import_that_keeps_nothing_tells_the_cid(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(content(3_000_000))
    kept = import_path(tmp_path / "file", MemoryBlockstore())
    assert import_path(tmp_path / "file", Forgotten()) == kept
    assert import_stream(Trickle(content(3_000_000)), Forgotten()) == kept


def test_modes_and_times_are_kept_only_if_asked_for(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "f").write_bytes(b"x")
    (tmp_path / "d" / "l").symlink_to("f")
    plain = import_path(tmp_path / "d", Forgotten())
    (tmp_path / "d" / "f").chmod(0o600)
    assert import_path(tmp_path / "d", Forgotten()) == plain
    mode, mtime = replace(UNIXFS_V1_2025, keep_mode=True), replace(UNIXFS_V1_2025, keep_mtime=True)
    with_mode = import_path(tmp_path / "d", Forgotten(), mode)
    os.utime(tmp_path / "d" / "l", ns=(0, 1), follow_symlinks=False)
    assert import_path(tmp_path / "d", Forgotten(), mode) == with_mode
    with_mtime = import_path(tmp_path / "d", Forgotten(), mtime)
    os.utime(tmp_path / "d" / "l", ns=(0, 2), follow_symlinks=False)
    assert len({plain, with_mode, with_mtime, import_path(tmp_path / "d", Forgotten(), mtime)}) == 4
