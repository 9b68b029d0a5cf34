"""What hangs below a block: its links, and the walk over a whole DAG."""

from collections.abc import Iterator
from itertools import chain
from typing import Final

from ipfs import dag_cbor, dag_pb
from ipfs.block import Block
from ipfs.blockstore import Blockstore
from ipfs.cid import CID, Codec, HashCode
from ipfs.errors import LimitExceeded, MalformedBytes

DEPTH_MAX: Final = 128
"""Deeper than any honest tree of files; a chain of links ends here."""

BLOCKS_MAX: Final = 1 << 26
"""Blocks of one DAG: 64 TiB at a MiB each. Callers that know their DAG pass less."""

NODES_BYTES_MAX: Final = 16 << 20
"""Of nodes whose links a walk has not all followed yet: eight of the largest, one below another."""


def links_of(block: Block) -> Iterator[CID]:
    """Yield the CIDs that a block links to, in its order, repeated ones too.

    Each is read when its turn comes: a block may have 65,536 of them. Raises `MalformedBytes`,
    then, if the block is not what its codec says; `LimitExceeded`.
    """
    match block.cid.codec:
        case Codec.RAW:
            pass
        case Codec.DAG_PB:
            for link in dag_pb.read_links(block.data):
                yield link.cid
        case Codec.DAG_CBOR:
            yield from dag_cbor.read_links(block.data)
        case codec:
            raise MalformedBytes("DAG", f"a block of codec {codec:#x} has no links known here")


def inline_block(cid: CID) -> Block | None:
    """Return the block that an identity CID carries in itself, None for any other CID."""
    return Block(cid, cid.digest) if cid.hash_code == HashCode.IDENTITY else None


def walk(
    store: Blockstore, root: CID, *, depth_max: int = DEPTH_MAX, blocks_max: int = BLOCKS_MAX
) -> Iterator[CID]:
    """Yield every block of a DAG that is in the store: depth first, parents first, each once.

    This order is that of the DAG's CAR. Identity CIDs carry their own bytes and are not yielded.
    Raises `BlockNotFound` where the DAG is not whole, `LimitExceeded`, `MalformedBytes`.
    """
    seen: set[CID] = set()
    ahead = Descent(root, depth_max=depth_max)
    while (due := ahead.take()) is not None:
        cid, depth = due
        block = inline_block(cid)
        if block is None:
            if cid in seen:
                continue
            seen.add(cid)
            if len(seen) > blocks_max:
                raise LimitExceeded("blocks of a DAG", limit=blocks_max, asked=len(seen))
            # A leaf is not read: its presence, which its size proves, is all that matters here.
            block = Block(cid, b"") if _is_leaf(store, cid) else store.get(cid)
            yield cid
        ahead.enter(block, depth)


class Descent:
    """What a walk has yet to visit, depth first, and how deep below the root that is.

    Of a node it holds the bytes and a place in them, not the links.
    """

    def __init__(self, root: CID, *, depth_max: int = DEPTH_MAX) -> None:
        self._nodes: list[tuple[Iterator[CID], int, int]] = []
        self._depth_max = depth_max
        self._held_bytes = 0
        self.put_back(root, 0)

    @property
    def is_over(self) -> bool:
        """Whether nothing is left; it may take a last `take` to find out."""
        return not self._nodes

    def has_room_for(self, block: Block) -> bool:
        """Whether the links of this block may be followed before those ahead are."""
        return self._held_bytes + len(block.data) <= NODES_BYTES_MAX

    def take(self) -> tuple[CID, int] | None:
        """Return what is due, None if nothing is left. Raises `MalformedBytes`, `LimitExceeded`."""
        while self._nodes:
            links, depth, size_bytes = self._nodes[-1]
            if (cid := next(links, None)) is not None:
                return cid, depth
            self._nodes.pop()
            self._held_bytes -= size_bytes
        return None

    def put_back(self, cid: CID, depth: int) -> None:
        """Make this due next."""
        self._nodes.append((iter((cid,)), depth, 0))

    def enter(self, block: Block, depth: int) -> bool:
        """Make due next what the block links to; return whether that is anything.

        Raises `MalformedBytes`, `LimitExceeded`.
        """
        links = links_of(block)
        first = next(links, None)
        if first is None:
            return False
        if depth >= self._depth_max:
            raise LimitExceeded("depth of a DAG", limit=self._depth_max, asked=depth + 1)
        if not self.has_room_for(block):
            raise LimitExceeded(
                "bytes of nodes on the way down a DAG",
                limit=NODES_BYTES_MAX,
                asked=self._held_bytes + len(block.data),
            )
        self._nodes.append((chain((first,), links), depth + 1, len(block.data)))
        self._held_bytes += len(block.data)
        return True


def _is_leaf(store: Blockstore, cid: CID) -> bool:
    return cid.codec == Codec.RAW and store.size_bytes(cid) >= 0
