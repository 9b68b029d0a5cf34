"""What the exporter writes, and what it never does."""

import errno
import io
import os
import stat
import tracemalloc
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ipfs import protobuf
from ipfs.block import Block
from ipfs.blockstore import BlockNotFound, MemoryBlockstore
from ipfs.cid import CID, Codec, HashCode
from ipfs.dag_pb import PBLink, PBNode
from ipfs.errors import LimitExceeded, MalformedBytes, PeerError
from ipfs.unixfs.chunker import FixedSize, Gear
from ipfs.unixfs.disk import import_path
from ipfs.unixfs.errors import NotAFile, UnsafeEntry
from ipfs.unixfs.exporter import (
    DEFAULT_LIMITS,
    ExportLimits,
    TargetExists,
    _ReadAhead,
    _Writer,
    export,
)
from ipfs.unixfs.header import Header, Metadata, NodeType
from ipfs.unixfs.importer import import_file
from ipfs.unixfs.layout import Layout
from ipfs.unixfs.node import read_node
from ipfs.unixfs.profiles import UNIXFS_V0_2015, UNIXFS_V1_2025, ImportSettings
from ipfs.unixfs.ranges import read_range
from tests.support.unixfs_vectors import content

SMALL = ImportSettings(chunker=FixedSize(100), links_per_node_max=3)


@pytest.fixture
def store() -> MemoryBlockstore:
    return MemoryBlockstore()


@pytest.fixture
def out(tmp_path: Path) -> Iterator[Path]:
    """Return a target in an otherwise empty folder, where nothing may be left beside it."""
    folder = tmp_path / "out"
    folder.mkdir()
    yield folder / "target"
    assert {path.name for path in folder.iterdir()} <= {"target"}


def put(store: MemoryBlockstore, header: Header, *links: PBLink) -> CID:
    block = Block.of(Codec.DAG_PB, PBNode(links, header.encode()).encode())
    store.put([block])
    return block.cid


def directory(store: MemoryBlockstore, **entries: CID) -> CID:
    links = sorted(
        (PBLink(cid, name, 0) for name, cid in entries.items()), key=lambda link: link.name or ""
    )
    return put(store, Header(NodeType.DIRECTORY), *links)


def file(store: MemoryBlockstore, data: bytes = b"x") -> CID:
    block = Block.of(Codec.RAW, data)
    store.put([block])
    return block.cid


def symlink(store: MemoryBlockstore, target: str) -> CID:
    return put(store, Header(NodeType.SYMLINK, target.encode()))


def contents(folder: Path) -> dict[str, bytes | str | None]:
    """Return everything below a folder: bytes of files, targets of links, None for folders."""
    found: dict[str, bytes | str | None] = {}
    for path in folder.rglob("*"):
        name = str(path.relative_to(folder))
        if path.is_symlink():
            found[name] = os.readlink(path)  # noqa: PTH115 - as it is stored, not tidied
        else:
            found[name] = None if path.is_dir() else path.read_bytes()
    return found


EVERY_KNOB = ImportSettings(
    cid_version=0,
    chunker=Gear(1 << 10),
    links_per_node_max=3,
    layout=Layout.TRICKLE,
    directory_bytes_max=0,
    keep_mode=True,
    keep_mtime=True,
)


@pytest.mark.parametrize("settings", [UNIXFS_V1_2025, UNIXFS_V0_2015, SMALL, EVERY_KNOB])
def test_a_folder_comes_back_as_it_was(
    settings: ImportSettings, store: MemoryBlockstore, tmp_path: Path, out: Path
) -> None:
    tree = tmp_path / "tree"
    (tree / "sub" / "deeper").mkdir(parents=True)
    (tree / "empty").mkdir()
    (tree / ".hidden").write_bytes(b"")
    (tree / "sub" / "big").write_bytes(content(70_001))
    (tree / "sub" / "deeper" / "é あ").write_bytes(b"\0" * 1000)
    (tree / "sub" / "deeper" / "up").symlink_to("../../.hidden")
    (tree / "sub" / "odd").symlink_to(".//deeper/./up")
    root = import_path(tree, store, settings).cid
    export(store, root, out)
    assert contents(out) == contents(tree)
    assert import_path(out, MemoryBlockstore(), settings).cid == root


@pytest.mark.parametrize("size_bytes", [0, 1, 100, 101, 300, 301, 5_000])
def test_a_file_comes_back_as_it_was(size_bytes: int, store: MemoryBlockstore, out: Path) -> None:
    data = content(size_bytes)
    root = import_file(io.BytesIO(data), store, SMALL).cid
    written: list[int] = []
    export(store, root, out, on_progress=written.append)
    assert out.read_bytes() == data
    assert b"".join(read_range(store, root)) == data
    assert written[-1:] == ([size_bytes] if size_bytes else [])


def test_an_empty_folder_is_filled_and_nothing_else_is_replaced(
    store: MemoryBlockstore, out: Path
) -> None:
    root = directory(store, a=file(store))
    out.mkdir()
    export(store, root, out)
    assert [path.name for path in out.iterdir()] == ["a"]
    with pytest.raises(TargetExists):
        export(store, root, out)
    assert (out / "a").read_bytes() == b"x"


def test_a_link_at_the_target_is_not_followed(
    store: MemoryBlockstore, tmp_path: Path, out: Path
) -> None:
    (tmp_path / "elsewhere").mkdir()
    out.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(TargetExists):
        export(store, directory(store, a=file(store)), out)
    assert not list((tmp_path / "elsewhere").iterdir())


@pytest.mark.parametrize("target", ["", ".", "..", "/"])
def test_a_target_without_a_name_is_refused(target: str, store: MemoryBlockstore) -> None:
    with pytest.raises(TargetExists):
        export(store, file(store), Path(target))


@pytest.mark.parametrize(
    "name", ["..", ".", "", "a/b", "/etc/x", "nul\0", "\x1b[2J", "\x9b", "n" * 256, "é" * 128]
)
def test_a_name_that_could_leave_the_folder_is_refused(
    name: str, store: MemoryBlockstore, out: Path
) -> None:
    root = directory(store, sub=directory(store, **{name: file(store)}))
    with pytest.raises(UnsafeEntry, match="sub/"):
        export(store, root, out)
    assert not out.exists()


def test_two_entries_of_one_name_are_no_directory(store: MemoryBlockstore) -> None:
    links = [PBLink(symlink(store, "sub"), "a"), PBLink(file(store), "a")]
    root = put(store, Header(NodeType.DIRECTORY), *links)
    with pytest.raises(UnsafeEntry, match="two entries"):
        read_node(store.get(root))


def test_what_is_at_an_entrys_place_is_not_written_through(
    store: MemoryBlockstore, tmp_path: Path
) -> None:
    """A disk that takes "a" and "A" for one name lets two entries meet."""
    (tmp_path / "victim").write_bytes(b"kept")
    (tmp_path / "file").symlink_to("victim")
    (tmp_path / "folder").symlink_to(tmp_path)
    folder_fd = os.open(tmp_path, os.O_RDONLY)
    readers = ThreadPoolExecutor(1)
    writer = _Writer(_ReadAhead(store, readers), DEFAULT_LIMITS, lambda _: None)
    for cid, name in (
        (file(store), "file"),
        (directory(store, victim=file(store)), "folder"),
        (symlink(store, "elsewhere"), "file"),
    ):
        with pytest.raises(UnsafeEntry, match="same name"):
            writer.write(cid, folder_fd, name, ("root", name))
    os.close(folder_fd)
    readers.shutdown()
    assert (tmp_path / "victim").read_bytes() == b"kept"
    assert (tmp_path / "file").readlink() == Path("victim")


@pytest.mark.parametrize(
    "target", ["/etc/passwd", "../../x", "sub/../../x", "", "a\0b", "x" * 5000]
)
def test_a_link_out_of_the_folder_is_refused(
    target: str, store: MemoryBlockstore, out: Path
) -> None:
    root = directory(store, sub=directory(store, link=symlink(store, target)))
    with pytest.raises(UnsafeEntry, match="sub/link"):
        export(store, root, out)
    assert not out.exists()


def test_the_root_is_no_link(store: MemoryBlockstore, out: Path) -> None:
    with pytest.raises(UnsafeEntry, match="'a': a symbolic link by itself"):
        export(store, symlink(store, "a"), out)


@pytest.mark.parametrize("mode", [0o7777, 0o4755, 0o2644, 0o1600, 0o444])
def test_permissions_come_back_without_setuid_setgid_and_sticky(
    mode: int, store: MemoryBlockstore, out: Path
) -> None:
    kept = Metadata(mode=mode)
    tree = directory(store, f=put(store, Header(NodeType.FILE, b"x", 1, metadata=kept)))
    links = PBNode.decode(store.get(tree).data).links
    export(store, put(store, Header(NodeType.DIRECTORY, metadata=kept), *links), out)
    assert stat.S_IMODE(out.stat().st_mode) == mode & 0o777
    assert stat.S_IMODE((out / "f").stat().st_mode) == mode & 0o777
    out.chmod(0o700)


@pytest.mark.parametrize("mtime_ns", [0, -1, 1_700_000_000_123_456_789, 1 << 70])
def test_times_come_back(mtime_ns: int, store: MemoryBlockstore, out: Path) -> None:
    kept = Metadata(mtime_ns=mtime_ns)
    links = [
        PBLink(put(store, Header(NodeType.FILE, b"x", 1, metadata=kept)), "f"),
        PBLink(put(store, Header(NodeType.SYMLINK, b"f", metadata=kept)), "l"),
    ]
    export(store, put(store, Header(NodeType.DIRECTORY, metadata=kept), *links), out)
    for path in (out, out / "f", out / "l"):
        # A time that no system call takes is left as it is.
        restored = path.lstat().st_mtime_ns == mtime_ns
        assert restored == (mtime_ns < 1 << 63), path


def test_a_read_only_folder_leaves_nothing_either(store: MemoryBlockstore, out: Path) -> None:
    inner = directory(store, f=file(store))
    links = PBNode.decode(store.get(inner).data).links
    locked = put(store, Header(NodeType.DIRECTORY, metadata=Metadata(mode=0)), *links)
    with pytest.raises(BlockNotFound):
        export(store, directory(store, a=locked, b=Block.of(Codec.RAW, b"missing").cid), out)
    assert not out.exists()


def test_a_dag_with_a_hole_leaves_nothing(store: MemoryBlockstore, out: Path) -> None:
    present, missing = file(store), Block.of(Codec.RAW, b"missing").cid
    with pytest.raises(BlockNotFound):
        export(store, directory(store, a=present, b=missing), out)
    assert not out.exists()


def test_an_error_while_writing_leaves_nothing(store: MemoryBlockstore, out: Path) -> None:
    def fail(_: int) -> None:
        raise OSError(errno.ENOSPC, "no space left")

    with pytest.raises(OSError, match="no space"):
        export(store, directory(store, a=file(store)), out, on_progress=fail)
    assert not out.exists()


def test_a_path_longer_than_any_call_takes_leaves_nothing_either(
    store: MemoryBlockstore, out: Path
) -> None:
    root = directory(store, missing=Block.of(Codec.RAW, b"missing").cid)
    for _ in range(20):
        link = PBLink(root, "n" * 255, 0)
        root = put(store, Header(NodeType.DIRECTORY, metadata=Metadata(mode=0o500)), link)
    with pytest.raises(BlockNotFound):
        export(store, root, out)


def test_what_came_to_be_at_the_target_meanwhile_stays(store: MemoryBlockstore, out: Path) -> None:
    def somebody_writes(_: int) -> None:
        out.write_bytes(b"mine")

    with pytest.raises(TargetExists):
        export(store, file(store), out, on_progress=somebody_writes)
    assert out.read_bytes() == b"mine"


def test_no_more_is_read_ahead_however_deep_a_file_is(store: MemoryBlockstore, out: Path) -> None:
    """Each node leads on first, and then to leaves that are due after all that is below it."""

    class Fresh(MemoryBlockstore):
        """A store that reads as a disk does: into memory of its own."""

        def get(self, cid: CID) -> Block:
            return Block(cid, bytes(bytearray(store.get(cid).data)))

    leaf_bytes, siblings = 100_000, 7
    root, size_bytes = file(store, bytes(leaf_bytes)), leaf_bytes
    for level in range(50):
        leaves = [
            file(store, bytes([level, number]) * (leaf_bytes // 2)) for number in range(siblings)
        ]
        root = file_node(store, (size_bytes, *[leaf_bytes] * siblings), root, *leaves)
        size_bytes += siblings * leaf_bytes
    held_bytes: list[int] = []
    tracemalloc.start()
    export(
        Fresh(),
        root,
        out,
        on_progress=lambda _: held_bytes.append(tracemalloc.get_traced_memory()[0]),
    )
    tracemalloc.stop()
    assert len(held_bytes) == 1 + 50 * siblings
    assert max(held_bytes) < 4_000_000, "a few windows of 8 leaves"


def file_node(
    store: MemoryBlockstore, sizes: tuple[int, ...], *parts: CID, total: int | None = None
) -> CID:
    header = Header(NodeType.FILE, None, sum(sizes) if total is None else total, sizes)
    return put(store, header, *(PBLink(part, "", 0) for part in parts))


def test_sizes_that_do_not_add_up_are_refused(store: MemoryBlockstore, out: Path) -> None:
    five = file(store, b"12345")
    for root in (
        file_node(store, (4,), five),
        file_node(store, (6,), five),
        file_node(store, (5,), five, five),
        file_node(store, (5,), five, total=6),
        file_node(store, (9,), file_node(store, (5, 5), five, five)),
        file_node(store, (1,), directory(store)),
    ):
        with pytest.raises(MalformedBytes):
            export(store, root, out)


def test_a_file_is_64_nodes_deep_at_most(store: MemoryBlockstore, out: Path) -> None:
    root = file(store, b"deep")
    for _ in range(64):
        root = file_node(store, (4,), root)
    export(store, root, out)
    assert out.read_bytes() == b"deep"
    with pytest.raises(LimitExceeded, match="depth"):
        list(read_range(store, file_node(store, (4,), root)))


def test_a_bomb_of_bytes_is_refused_before_it_is_written(
    store: MemoryBlockstore, out: Path
) -> None:
    root, size_bytes = file(store, bytes(1 << 20)), 1 << 20
    for _ in range(40):
        root = file_node(store, (size_bytes, size_bytes), root, root)
        size_bytes *= 2
    with pytest.raises(LimitExceeded, match="bytes of content"):
        export(store, root, out)


def test_a_bomb_of_folders_is_refused(store: MemoryBlockstore, out: Path) -> None:
    root = directory(store)
    for _ in range(40):
        root = directory(store, a=root, b=root)
    with pytest.raises(LimitExceeded, match="entries"):
        export(store, root, out, limits=ExportLimits(entries_max=500))


def test_folders_are_128_deep_at_most(store: MemoryBlockstore, out: Path) -> None:
    root = directory(store)
    for _ in range(127):
        root = directory(store, a=root)
    export(store, root, out)
    with pytest.raises(LimitExceeded, match="depth"):
        export(store, directory(store, a=root), out.with_name("target2"))


def test_small_blocks_may_travel_inside_their_cids(store: MemoryBlockstore, out: Path) -> None:
    inline = CID.from_digest(Codec.RAW, HashCode.IDENTITY, b"inline")
    export(store, directory(store, a=inline), out)
    assert (out / "a").read_bytes() == b"inline"


def test_a_directory_is_no_file(store: MemoryBlockstore) -> None:
    with pytest.raises(NotAFile):
        list(read_range(store, directory(store)))


@pytest.mark.parametrize("codec", [Codec.DAG_CBOR, Codec.LIBP2P_KEY])
def test_other_codecs_are_no_files(codec: Codec, store: MemoryBlockstore, out: Path) -> None:
    block = Block.of(codec, b"\xa0")
    store.put([block])
    with pytest.raises(PeerError):
        export(store, block.cid, out)


@pytest.mark.parametrize(
    "mtime",
    [
        protobuf.encode_fixed32_field(2, 10**9),
        protobuf.encode_varint_field(2, 1),
        protobuf.encode_bytes_field(1, b""),
        protobuf.encode_varint_field(3, 1),
    ],
)
def test_a_time_that_is_none_is_refused(mtime: bytes) -> None:
    with pytest.raises(MalformedBytes):
        Header.decode(Header(NodeType.FILE).encode() + protobuf.encode_bytes_field(8, mtime))
