"""DAGs that are small to send and endless to read: each stops at a stated bound."""

import io
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from ipfs import protobuf
from ipfs.block import Block
from ipfs.blockstore import MemoryBlockstore
from ipfs.cid import CID, Codec
from ipfs.dag import DEPTH_MAX, walk
from ipfs.dag_pb import PBLink, PBNode
from ipfs.errors import LimitExceeded, MalformedBytes, PeerError
from ipfs.exchange import DagLimits, fetch_dag
from ipfs.p2p.memory import MemoryNetwork
from ipfs.plan import run
from ipfs.unixfs.exporter import ExportLimits, export
from ipfs.unixfs.hamt import HASH_MURMUR3_X64_64, place_of
from ipfs.unixfs.header import Header, NodeType
from ipfs.unixfs.importer import import_file
from ipfs.unixfs.node import Shard, read_node
from ipfs.unixfs.ranges import read_range
from ipfs.unixfs.tree import entries_of, resolve
from tests.support.bitswap import node, where

QUOTE_BYTES = 4 << 20
LIMITS = ExportLimits(content_bytes_max=QUOTE_BYTES, entries_max=300)

store = MemoryBlockstore()


def put(header: Header, *links: PBLink) -> CID:
    block = Block.of(Codec.DAG_PB, PBNode(links, header.encode()).encode())
    store.put([block])
    return block.cid


def leaf(size_bytes: int) -> CID:
    block = Block.of(Codec.RAW, bytes(size_bytes))
    store.put([block])
    return block.cid


def file(size_bytes: int, *parts: CID) -> CID:
    header = Header(NodeType.FILE, None, size_bytes * len(parts), (size_bytes,) * len(parts))
    return put(header, *(PBLink(part, "", 1) for part in parts))


def repeated(levels: int, links: int, leaf_bytes: int) -> CID:
    root, size_bytes = leaf(leaf_bytes), leaf_bytes
    for _ in range(levels):
        root = file(size_bytes, *[root] * links)
        size_bytes *= links
    return root


def shard(children: dict[int, tuple[str, CID]]) -> CID:
    bits = sum(1 << index for index in children)
    header = Header(
        NodeType.HAMT_SHARD,
        bits.to_bytes((bits.bit_length() + 7) // 8),
        hash_type=HASH_MURMUR3_X64_64,
        fanout=256,
    )
    links = (PBLink(cid, f"{index:02X}{name}", 1) for index, (name, cid) in children.items())
    return put(header, *links)


def hamt_chain(levels: int) -> CID:
    """Return shards that lead down along the hash of a name, and on after the hash has ended."""
    way = [place_of("a", level=level, fanout=256) % 256 for level in range(8)]
    root = shard({way[7]: ("a", leaf(1))})
    for level in reversed(range(levels - 1)):
        root = shard({way[level % 8]: ("", root)})
    return root


def file_chain(levels: int) -> CID:
    root = leaf(1)
    for _ in range(levels):
        root = file(1, root)
    return root


def folder_chain(levels: int) -> CID:
    root = put(Header(NodeType.DIRECTORY))
    for _ in range(levels):
        root = put(Header(NodeType.DIRECTORY), PBLink(root, "a", 1))
    return root


def folders(levels: int) -> CID:
    root = put(Header(NodeType.DIRECTORY))
    for _ in range(levels):
        root = put(Header(NodeType.DIRECTORY), *(PBLink(root, name, 1) for name in "abc"))
    return root


BOMBS: dict[str, Callable[[], CID]] = {
    "a KiB that becomes a pebibyte": lambda: repeated(40, 2, 1 << 10),
    "1 MiB that becomes a pebibyte": lambda: repeated(30, 2, 1 << 20),
    "174 links, six levels": lambda: repeated(6, 174, 1 << 10),
    "a chain of 10,000 nodes": lambda: file_chain(10_000),
    "a chain of 10,000 folders": lambda: folder_chain(10_000),
    "folders that share everything": lambda: folders(40),
    "shards 64 levels deep": lambda: hamt_chain(64),
    "2 GiB of zeros in three blocks": lambda: repeated(2, 1024, 2 << 10),
}


@pytest.fixture
def out(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "out"
    assert list(tmp_path.iterdir()) == [], "nothing is left on the disk"


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_stops_at_a_bound_and_leaves_nothing(name: str, out: Path) -> None:
    root = BOMBS[name]()
    tracemalloc.start()
    with pytest.raises(LimitExceeded):
        export(store, root, out, limits=LIMITS)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak_bytes < 64 << 20


@pytest.mark.parametrize("name", BOMBS)
async def test_of_a_bomb_that_is_fetched_no_more_is_stored_than_was_quoted(name: str) -> None:
    root = BOMBS[name]()
    limits = DagLimits(blocks_max=100, bytes_max=QUOTE_BYTES)
    async with (
        MemoryNetwork() as network,
        node(network, [store.get(cid) for cid in store]) as (provider, _, _),
        node(network) as (_, bitswap, stored),
    ):
        tracemalloc.start()
        with suppress(LimitExceeded):
            await fetch_dag(
                bitswap, root, limits=limits, idle_timeout_s=10, peers=[where(provider)]
            )
        _, peak_bytes = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    sizes_bytes = [stored.size_bytes(cid) for cid in stored]
    assert len(sizes_bytes) <= limits.blocks_max
    assert sum(sizes_bytes) <= limits.bytes_max
    assert peak_bytes < 64 << 20


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_in_the_store_is_walked_within_bounds(name: str) -> None:
    """What refs, pins, garbage collection and the export of a CAR do."""
    root = BOMBS[name]()
    tracemalloc.start()
    count = 0
    with suppress(LimitExceeded):
        for _ in walk(store, root):
            count += 1
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert 0 < count <= DEPTH_MAX + 1
    assert peak_bytes < 64 << 20


def test_wide_nodes_one_below_another_are_read_only_so_far() -> None:
    """A file whose every node has 35,000 parts, of which the first is such a node."""
    root, size_bytes = leaf(1), 1
    for _ in range(3):
        sizes = (size_bytes, *[1] * 34_999)
        links = (PBLink(root, "", 1), *[PBLink(leaf(1), "", 1)] * 34_999)
        root, size_bytes = put(Header(NodeType.FILE, None, sum(sizes), sizes), *links), sum(sizes)
    tracemalloc.start()
    with pytest.raises(LimitExceeded, match="parts of a file ahead"):
        next(read_range(store, root))
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak_bytes < 64 << 20


def test_folders_one_below_another_are_held_only_with_so_many_entries(tmp_path: Path) -> None:
    root = put(Header(NodeType.DIRECTORY))
    for _ in range(3):
        names = [f"{at:02}" for at in range(40)]
        root = put(Header(NodeType.DIRECTORY), *(PBLink(root, name, 1) for name in names))
    with pytest.raises(LimitExceeded, match="on the way down"):
        export(store, root, tmp_path / "a", limits=ExportLimits(held_entries_max=119))
    with pytest.raises(LimitExceeded, match="entries of a folder"):
        export(
            store, root, tmp_path / "b", limits=ExportLimits(entries_max=200, held_entries_max=120)
        )


@pytest.mark.parametrize(
    "field",
    [
        protobuf.encode_varint_field(4, 0) * 1_000_000,
        protobuf.encode_bytes_field(8, protobuf.encode_varint_field(1, 0) * 1_000_000),
    ],
    ids=["sizes of parts", "seconds of a time"],
)
def test_a_header_has_only_so_many_fields(field: bytes) -> None:
    header = protobuf.encode_varint_field(1, NodeType.FILE) + field
    with pytest.raises(PeerError) as caught:
        Header.decode(header)
    assert caught.value.code in {LimitExceeded.code, MalformedBytes.code}
    tracemalloc.start()
    with pytest.raises(PeerError):
        Header.decode(header)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak_bytes < 8 << 20


def test_a_bomb_is_found_out_before_much_of_it_is_written(tmp_path: Path) -> None:
    """A folder of files that are each within the quote, and together are not."""
    part = file(1 << 20, *[leaf(1 << 20)] * 3)
    root = put(Header(NodeType.DIRECTORY), *(PBLink(part, f"{at:03}", 1) for at in range(100)))
    written: list[int] = []
    with pytest.raises(LimitExceeded, match="bytes of content"):
        export(store, root, tmp_path / "out", limits=LIMITS, on_progress=written.append)
    assert max(written) <= QUOTE_BYTES


def test_what_does_not_fit_is_refused_before_the_disk_is_full(out: Path) -> None:
    written: list[int] = []
    with pytest.raises(OSError, match="do not fit"):
        export(store, repeated(29, 2, 1 << 20), out, on_progress=written.append)
    assert written == []


def test_parts_without_bytes_are_not_followed() -> None:
    assert list(read_range(store, repeated(60, 2, 0))) == []
    empty = PBLink(repeated(60, 2, 0), "", 1)
    header = Header(NodeType.FILE, b"x", 1, (0, 0))
    assert list(read_range(store, put(header, empty, empty))) == [b"x"]


def test_a_dag_is_walked_once_and_only_so_deep() -> None:
    assert len(list(walk(store, repeated(40, 2, 1 << 10)))) == 41
    with pytest.raises(LimitExceeded):
        list(walk(store, file_chain(10_000)))
    with pytest.raises(LimitExceeded):
        list(walk(store, leaf_sprayed(200), blocks_max=100))


def leaf_sprayed(count: int) -> CID:
    return put(
        Header(NodeType.FILE, None, sum(range(count)), tuple(range(count))),
        *(PBLink(leaf(size_bytes), "", 1) for size_bytes in range(count)),
    )


def test_a_shard_cannot_be_linked_twice() -> None:
    """Its entries would be where their hashes say only once: no bomb is made of shards."""
    way = [place_of("a", level=level, fanout=256) % 256 for level in range(2)]
    below = shard({way[1]: ("a", leaf(1))})
    right = read_node(store.get(shard({way[0]: ("", below)})))
    assert isinstance(right, Shard)
    assert [entry.name for entry in run(entries_of(right), store.get)] == ["a"]
    twice = read_node(
        store.get(shard(dict(sorted({way[0]: ("", below), way[0] ^ 1: ("", below)}.items()))))
    )
    assert isinstance(twice, Shard)
    with pytest.raises(MalformedBytes, match="wrong bucket"):
        run(entries_of(twice), store.get)


def test_a_bucket_is_taken_once() -> None:
    header = Header(NodeType.HAMT_SHARD, b"\1", hash_type=HASH_MURMUR3_X64_64, fanout=256)
    with pytest.raises(MalformedBytes, match="not those of the bits"):
        read_node(store.get(put(header, PBLink(leaf(1), "00a", 1), PBLink(leaf(1), "00b", 1))))


@pytest.mark.parametrize("below", ["an empty shard", "a folder", "a file", "another fanout"])
def test_what_is_below_a_shard_is_a_shard_of_its_kind(below: str) -> None:
    way = place_of("a", level=0, fanout=256) % 256
    other = Header(NodeType.HAMT_SHARD, b"\1", hash_type=HASH_MURMUR3_X64_64, fanout=8)
    cid = {
        "an empty shard": lambda: shard({}),
        "a folder": lambda: folder_chain(0),
        "a file": lambda: leaf(1),
        "another fanout": lambda: put(other, PBLink(leaf(1), "0a", 1)),
    }[below]()
    root = shard({way: ("", cid)})
    folder = read_node(store.get(root))
    assert isinstance(folder, Shard)
    with pytest.raises(MalformedBytes, match="no shard"):
        run(entries_of(folder), store.get)
    with pytest.raises(MalformedBytes, match="no shard"):
        run(resolve(root, ["a"]), store.get)


def test_a_sharded_folder_of_too_many_entries_is_not_listed() -> None:
    places = {place_of(name, level=0, fanout=256): name for name in map(str, range(100))}
    root = shard({place: (name, leaf(1)) for place, name in sorted(places.items())})
    folder = read_node(store.get(root))
    assert isinstance(folder, Shard)
    assert len(run(entries_of(folder, entries_max=len(places)), store.get)) == len(places)
    with pytest.raises(LimitExceeded):
        run(entries_of(folder, entries_max=len(places) - 1), store.get)


def test_import_and_export_hold_no_file_in_memory(tmp_path: Path) -> None:
    tracemalloc.start()
    root = import_file(io.BytesIO(b""), store).cid
    export(store, root, tmp_path / "empty")
    export(store, repeated(1, 64, 1 << 20), tmp_path / "out")
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (tmp_path / "out").stat().st_size == 64 << 20
    assert peak_bytes < 40 << 20
