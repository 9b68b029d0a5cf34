"""The importer against a slow, readable twin; and the way back."""

import io
from contextlib import suppress

from hypothesis import given
from hypothesis import strategies as st

from ipfs.block import Block
from ipfs.blockstore import MemoryBlockstore
from ipfs.cid import CID, Codec
from ipfs.dag import walk
from ipfs.dag_pb import PBLink, PBNode
from ipfs.errors import PeerError
from ipfs.unixfs.chunker import FixedSize
from ipfs.unixfs.header import Header, NodeType
from ipfs.unixfs.importer import Imported, import_file
from ipfs.unixfs.node import check_target, read_node
from ipfs.unixfs.profiles import ImportSettings
from ipfs.unixfs.ranges import read_range

settings_of_imports = st.builds(
    ImportSettings,
    cid_version=st.sampled_from([0, 1]),
    raw_leaves=st.booleans(),
    chunker=st.builds(FixedSize, st.integers(1, 8)),
    links_per_node_max=st.integers(2, 5),
)
contents = st.binary(max_size=300)


def balanced(data: bytes, settings: ImportSettings) -> Imported:
    """Return the root of a file held in memory: cut it, then join neighbours until one is left.

    The specification's balanced layout, a whole level at a time.
    """
    chunks = [
        data[start : start + settings.chunker.chunk_bytes_max]
        for start in range(0, len(data), settings.chunker.chunk_bytes_max)
    ]
    level = [leaf(chunk, settings) for chunk in chunks or [b""]]
    while len(level) > 1:
        width = settings.links_per_node_max
        level = [
            parent(level[start : start + width], settings) for start in range(0, len(level), width)
        ]
    return level[0]


def leaf(chunk: bytes, settings: ImportSettings) -> Imported:
    if settings.raw_leaves:
        return Imported(CID.of(Codec.RAW, chunk), len(chunk), len(chunk))
    header = Header(NodeType.FILE, chunk or None, len(chunk))
    return dag_pb(PBNode(data=header.encode()), 0, len(chunk), settings)


def parent(children: list[Imported], settings: ImportSettings) -> Imported:
    sizes = tuple(child.file_bytes for child in children)
    links = tuple(PBLink(child.cid, "", child.tsize) for child in children)
    node = PBNode(links, Header(NodeType.FILE, None, sum(sizes), sizes).encode())
    return dag_pb(node, sum(child.tsize for child in children), sum(sizes), settings)


def dag_pb(node: PBNode, below_bytes: int, file_bytes: int, settings: ImportSettings) -> Imported:
    data = node.encode()
    cid = CID.of(Codec.DAG_PB, data, version=settings.cid_version)
    return Imported(cid, len(data) + below_bytes, file_bytes)


@given(contents, settings_of_imports)
def test_the_streaming_importer_builds_the_balanced_tree(
    data: bytes, settings: ImportSettings
) -> None:
    store = MemoryBlockstore()
    root = import_file(io.BytesIO(data), store, settings)
    assert root == balanced(data, settings)
    assert b"".join(read_range(store, root.cid)) == data
    assert set(walk(store, root.cid)) == set(store)


@given(st.binary(max_size=60))
def test_any_block_is_a_node_or_a_peer_error(data: bytes) -> None:
    for block in (
        Block.of(Codec.DAG_PB, data),
        Block.of(Codec.DAG_PB, PBNode(data=data).encode()),
    ):
        with suppress(PeerError):
            read_node(block)


@given(
    st.integers(0, 4),
    st.lists(st.sampled_from(["..", ".", "", "a", "b"]), min_size=1, max_size=7).map("/".join),
)
def test_a_link_that_is_let_be_stays_in_the_tree(folder_depth: int, target: str) -> None:
    try:
        check_target(target, path=("d",) * folder_depth + ("link",))
    except PeerError:
        return
    depth = folder_depth
    for step in target.split("/"):
        depth += {"..": -1, ".": 0, "": 0}.get(step, 1)
        assert depth >= 0
    assert not target.startswith("/")
