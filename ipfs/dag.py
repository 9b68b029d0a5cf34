"""What hangs below a block: its links, and the walk over a whole DAG."""

from collections.abc import Iterator
from typing import Final

from ipfs import dag_cbor
from ipfs.block import Block
from ipfs.blockstore import Blockstore
from ipfs.cid import CID, Codec, HashCode
from ipfs.dag_pb import PBNode
from ipfs.errors import LimitExceeded, MalformedBytes

DEPTH_MAX: Final = 128
"""Deeper than any honest tree of files; a chain of links ends here."""

BLOCKS_MAX: Final = 1 << 26
"""Blocks of one DAG: 64 TiB at a MiB each. Callers that know their DAG pass less."""


def links_of(block: Block) -> tuple[CID, ...]:
    """Return the CIDs that a block links to, in its order, repeated ones too.

    Raises `MalformedBytes` if the block is not what its codec says, or its codec has unknown links.
    """
    match block.cid.codec:
        case Codec.RAW:
            return ()
        case Codec.DAG_PB:
            return tuple(link.cid for link in PBNode.decode(block.data).links)
        case Codec.DAG_CBOR:
            return tuple(_cids(dag_cbor.decode(block.data)))
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
    ahead = [iter((root,))]
    while ahead:
        cid = next(ahead[-1], None)
        if cid is None:
            ahead.pop()
            continue
        if cid in seen:
            continue
        seen.add(cid)
        if len(seen) > blocks_max:
            raise LimitExceeded("blocks of a DAG", limit=blocks_max, asked=len(seen))
        block = inline_block(cid)
        if block is None:
            # A leaf is not read: its presence, which its size proves, is all that matters here.
            block = Block(cid, b"") if _is_leaf(store, cid) else store.get(cid)
            yield cid
        if links := links_of(block):
            if len(ahead) > depth_max:
                raise LimitExceeded("depth of a DAG", limit=depth_max, asked=len(ahead))
            ahead.append(iter(links))


def _is_leaf(store: Blockstore, cid: CID) -> bool:
    return cid.codec == Codec.RAW and store.size_bytes(cid) >= 0


def _cids(value: dag_cbor.Value) -> Iterator[CID]:
    if isinstance(value, CID):
        yield value
    elif isinstance(value, list | dict):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _cids(item)
