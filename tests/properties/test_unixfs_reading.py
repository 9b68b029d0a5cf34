"""Ranges, shards, trickle trees and content-defined chunks, each against a readable twin."""

import io
from itertools import islice

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ipfs.block import Block
from ipfs.blockstore import MemoryBlockstore
from ipfs.cid import CID
from ipfs.plan import fetch, run
from ipfs.unixfs.chunker import _GEAR, FixedSize, Gear, chunker_named, fingerprints
from ipfs.unixfs.importer import Imported, Importer, import_file
from ipfs.unixfs.layout import Layout, parts_of_root
from ipfs.unixfs.node import Shard, read_node
from ipfs.unixfs.profiles import ImportSettings
from ipfs.unixfs.ranges import RangeReader, fetch_range, read_range
from ipfs.unixfs.tree import NoSuchEntry, entries_of, resolve

small_trees = st.builds(
    ImportSettings,
    raw_leaves=st.booleans(),
    chunker=st.builds(FixedSize, st.integers(1, 8)),
    links_per_node_max=st.integers(2, 5),
    layout=st.sampled_from(Layout),
)
bounds = st.integers(0, 320)


class Watched(MemoryBlockstore):
    """Remembers which blocks were read."""

    def __init__(self) -> None:
        super().__init__()
        self.read: list[CID] = []

    def get(self, cid: CID) -> Block:
        self.read.append(cid)
        return super().get(cid)


@given(st.binary(max_size=300), small_trees, bounds, st.none() | bounds)
async def test_a_range_is_the_slice_of_the_file(
    data: bytes, shape: ImportSettings, start: int, end: int | None
) -> None:
    store = Watched()
    root = import_file(io.BytesIO(data), store, shape).cid
    assert b"".join(read_range(store, root, start, end)) == data[start:end]

    async def get(cid: CID) -> Block:
        return store.get(cid)

    assert b"".join([part async for part in fetch_range(get, root, start, end)]) == data[start:end]


@example(3, ImportSettings(chunker=FixedSize(1), links_per_node_max=2), 1, 0)
@given(st.integers(1, 300), small_trees, bounds, bounds)
def test_a_range_touches_only_the_leaves_that_hold_it(
    size_bytes: int, shape: ImportSettings, start: int, length: int
) -> None:
    data = np.random.default_rng(1).bytes(size_bytes)
    store = Watched()
    root = import_file(io.BytesIO(data), store, shape).cid
    list(read_range(store, root, start, start + length))
    inner = leaves = 0
    for cid in store.read[1:]:
        node = read_node(Block(cid, MemoryBlockstore.get(store, cid).data))
        is_leaf = not getattr(node, "parts", ())
        leaves, inner = leaves + is_leaf, inner + (not is_leaf)
    width = shape.chunker.chunk_bytes_max
    assert leaves <= max(0, length - 2) // width + 2
    assert inner <= leaves * 20, "each on the way to a leaf"


@given(st.binary(max_size=300), small_trees, st.integers(1, 9))
def test_what_is_wanted_ahead_is_what_is_read_next(
    data: bytes, shape: ImportSettings, count: int
) -> None:
    store = MemoryBlockstore()
    reader = RangeReader(import_file(io.BytesIO(data), store, shape).cid)
    out = b""
    promised: list[CID] = []
    while wanted := reader.wanted(count):
        assert wanted[: len(promised)] == tuple(promised), "a promise is kept"
        block = store.get(wanted[0])
        out += reader.receive(block)
        # An inner node puts its own parts before what else was wanted.
        promised = [] if getattr(read_node(block), "parts", ()) else list(wanted[1:])
    assert out == data
    assert reader.file_bytes == len(data)


def trickle(leaves: list[int], width: int, depth_max: int) -> tuple[list[object], list[int]]:
    """Return a node and the leaves it left: the text of the specification, on lists."""
    node: list[object] = list(leaves[:width])
    rest = leaves[width:]
    for depth in range(1, depth_max):
        for _ in range(4):
            if rest:
                child, rest = trickle(rest, width, depth)
                node.append(child)
    return node, rest


@given(st.integers(0, 400), st.integers(1, 4))
def test_the_trickle_tree_is_that_of_the_text(leaf_count: int, width: int) -> None:
    def join(parts: list[object]) -> object:
        return parts

    leaves: list[object] = list(range(leaf_count))
    built = parts_of_root(Layout.TRICKLE, leaves, links_max=width, join=join)
    assert (built, []) == trickle(list(range(leaf_count)), width, 99)


names = st.text(st.characters(exclude_categories=["Cc", "Cs"], exclude_characters="/"), min_size=1)
some_names = st.sets(names.filter(lambda name: name not in {".", ".."} and len(name) < 50))


@given(some_names, names)
async def test_a_sharded_folder_lists_and_finds_what_was_put_in(
    inside: set[str], other: str
) -> None:
    store = MemoryBlockstore()
    importer = Importer(store, ImportSettings(directory_bytes_max=0))
    children = {name: importer.add_file(io.BytesIO(name.encode())) for name in inside}
    root = importer.add_directory(children.items())
    importer.flush()
    folder = read_node(store.get(root.cid))
    assert isinstance(folder, Shard)
    entries = run(entries_of(folder), store.get)
    assert {entry.name: entry.cid for entry in entries} == {
        name: child.cid for name, child in children.items()
    }

    async def get(cid: CID) -> Block:
        return store.get(cid)

    for name in islice(inside, 3):
        assert await fetch(resolve(root.cid, [name]), get) == children[name].cid
    if other not in inside:
        with pytest.raises(NoSuchEntry) as caught:
            run(resolve(root.cid, [other, "deeper"]), store.get)
        assert caught.value.path == (other,)


def test_a_large_folder_is_many_levels_deep_and_read_where_needed() -> None:
    store = Watched()
    importer = Importer(store)
    leaf = importer.add_file(io.BytesIO(b""))
    root = importer.add_directory((f"entry-{index}", leaf) for index in range(20_000))
    importer.flush()
    assert root == Imported(root.cid, root.tsize, 0)
    assert run(resolve(root.cid, ["entry-12345"]), store.get) == leaf.cid
    assert len(store.read) <= 4, "a root, and what is on the way"


def slow_lengths(data: bytes, average_bytes: int) -> list[int]:
    """Return the chunk lengths, byte by byte, as the docstring of `Gear` has it."""
    lengths, start = [], 0
    zero_bits = (average_bytes * 3 // 4).bit_length() - 1
    for at in range(len(data)):
        fingerprint = 0
        for byte in data[max(start, at - 31) : at + 1]:
            fingerprint = (2 * fingerprint + int(_GEAR[byte])) % (1 << 32)
        length = at + 1 - start
        is_cut = length >= average_bytes // 4 and fingerprint >> 32 - zero_bits == 0
        if is_cut or length == 4 * average_bytes:
            lengths.append(length)
            start = at + 1
    return [*lengths, len(data) - start] if start < len(data) else lengths


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1 << 32), st.integers(0, 6_000), st.integers(128, 300))
def test_content_defined_chunks_are_those_of_the_slow_twin(
    seed: int, size_bytes: int, average_bytes: int
) -> None:
    data = np.random.default_rng(seed).bytes(size_bytes)
    chunks = list(Gear(average_bytes).chunks(io.BytesIO(data)))
    assert b"".join(chunks) == data
    assert [len(chunk) for chunk in chunks] == slow_lengths(data, average_bytes)


def test_an_insertion_changes_few_chunks_and_sizes_are_near_the_average() -> None:
    data = np.random.default_rng(5).bytes(4 << 20)
    chunks = list(Gear(16 << 10).chunks(io.BytesIO(data)))
    changed = list(Gear(16 << 10).chunks(io.BytesIO(data[:100_000] + b"!" + data[100_000:])))
    assert len(set(changed) - set(chunks)) <= 2
    assert 8 << 10 < len(data) / len(chunks) < 32 << 10
    assert max(map(len, chunks)) <= 64 << 10


def test_a_stretch_of_one_byte_is_cut_at_the_largest_size() -> None:
    assert {len(chunk) for chunk in Gear(1 << 10).chunks(io.BytesIO(b"a" * (64 << 10)))} <= {
        4 << 10,
        1 << 8,
    }
    assert len(set(fingerprints(b"a" * 100)[32:])) == 1


def test_chunkers_are_known_by_name() -> None:
    for text in ("size-1", "size-262144", "gear-262144"):
        assert str(chunker_named(text)) == text
    for text in ("", "size", "size-", "size--1", "size-x", "rabin-1", "gear-1", "size-1e3"):
        with pytest.raises(ValueError, match="chunk"):
            chunker_named(text)
