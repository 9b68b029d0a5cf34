"""The blocks of a CAR answer: those of the path, then those of what it leads to, depth first."""

from collections import deque
from collections.abc import AsyncIterator, Sequence
from typing import Final, Protocol

from ipfs.block import Block
from ipfs.car import encode_header, encode_section
from ipfs.cid import CID, Codec, HashCode
from ipfs.dag import Descent, inline_block
from ipfs.errors import LimitExceeded, MalformedBytes
from ipfs.gateway.errors import BadRequest
from ipfs.gateway.pathing import follow
from ipfs.gateway.request import CarOptions, EntityRange, Scope
from ipfs.gateway.supply import Blocks
from ipfs.plan import Plan
from ipfs.unixfs.node import Directory, File, Node, Shard, Symlink, read_node
from ipfs.unixfs.ranges import RangeReader
from ipfs.unixfs.tree import entries_of

BLOCKS_MAX: Final = 1 << 20
"""Of one CAR, repeated ones included: a few blocks that link to each other name billions."""

AHEAD_BLOCKS: Final = 8
"""Under way from peers while the one before is sent."""


class _Walk(Protocol):
    """Names the blocks that are due, and takes them in that order."""

    def wanted(self, count: int = 1) -> tuple[CID, ...]:
        """Return up to `count` CIDs that are due next, as far as is known now."""

    def receive(self, block: Block) -> object:
        """Take the block that was due first."""


def check_entity_bytes(options: CarOptions, terminus: Block) -> None:
    """Refuse a range that has no byte of the file. Raises `BadRequest`."""
    node = _unixfs(terminus)
    if options.entity_range is None or not isinstance(node, File):
        return
    if node.size_bytes and options.entity_range.within(node.size_bytes).start >= node.size_bytes:
        raise BadRequest(f"the file has {node.size_bytes} bytes, entity-bytes begin after them")


async def car_of_request(
    blocks: Blocks, root: CID, names: Sequence[str], terminus: CID, options: CarOptions
) -> AsyncIterator[bytes]:
    """Yield the CAR that proves what a path leads to, a block at a time.

    Blocks that are their own CID are left out, as the specification asks.
    Raises as `Blocks.get` does, and `MalformedBytes`, `LimitExceeded` for a DAG that is no DAG.
    """
    yield encode_header((terminus,))
    sent: set[CID] = set()
    count = 0
    async for block in _blocks(blocks, root, names, terminus, options):
        count += 1
        if count > BLOCKS_MAX:
            raise LimitExceeded("blocks of a CAR", limit=BLOCKS_MAX, asked=count)
        if block.cid.hash_code == HashCode.IDENTITY or block.cid in sent:
            continue
        if not options.has_duplicates:
            sent.add(block.cid)
        yield encode_section(block) + block.data


async def _blocks(
    blocks: Blocks, root: CID, names: Sequence[str], terminus: CID, options: CarOptions
) -> AsyncIterator[Block]:
    async for block in _visited(follow(root, names), blocks):
        yield block
    due: Block | None = None
    walk: _Walk = Everything(terminus, has_duplicates=options.has_duplicates)
    if options.scope is not Scope.ALL:
        due = await blocks.get(terminus)
        if options.scope is Scope.BLOCK:
            yield due
            return
        match node := _unixfs(due):
            case Shard():
                yield due
                async for block in _visited(entries_of(node), blocks):
                    yield block
                return
            case File() if chosen := _chosen(node, options.entity_range):
                walk = RangeReader(terminus, chosen.start, chosen.stop)
            case File() | Directory() | Symlink() | None:
                yield due
                return
    while wanted := walk.wanted(AHEAD_BLOCKS):
        block = await blocks.get(wanted[0], wanted[1:])
        yield block
        walk.receive(block)


def _chosen(file: File, entity_range: EntityRange | None) -> range:
    return (entity_range or EntityRange()).within(file.size_bytes)


async def _visited(plan: Plan[object], blocks: Blocks) -> AsyncIterator[Block]:
    """Yield every block that a plan reads."""
    try:
        cid = next(plan)
        while True:
            block = inline_block(cid) or await blocks.get(cid)
            yield block
            cid = plan.send(block)
    except StopIteration:
        return


def _unixfs(block: Block) -> Node | None:
    """Return what the block is, None if it is no file or folder."""
    if block.cid.codec not in (Codec.RAW, Codec.DAG_PB):
        return None
    try:
        return read_node(block)
    except MalformedBytes:
        return None


class Everything:
    """The walk over a whole DAG, depth first; each block once, or as often as it is linked.

    Blocks that are their own CID are looked into on the way, and are not due.
    """

    def __init__(self, root: CID, *, has_duplicates: bool) -> None:
        self._ahead = Descent(root)
        self._due: deque[tuple[CID, int]] = deque()
        self._seen: set[CID] = set()
        self._has_duplicates = has_duplicates

    def wanted(self, count: int = 1) -> tuple[CID, ...]:
        """Return up to `count` CIDs that are due next, as far as is known now."""
        while len(self._due) < count and (due := self._ahead.take()) is not None:
            if inline := inline_block(due[0]):
                self._ahead.enter(inline, due[1])
            elif due[0] not in self._seen:
                self._due.append(due)
        return tuple(cid for cid, _ in self._due)

    def receive(self, block: Block) -> None:
        """Take the block that was due first. Raises `MalformedBytes`, `LimitExceeded`."""
        cid, depth = self._due.popleft()
        assert cid == block.cid, "blocks are received in the order they are wanted"
        if not self._has_duplicates:
            self._seen.add(cid)
        later = [due for due in self._due if due[0] not in self._seen]
        self._due.clear()
        for due in reversed(later):
            self._ahead.put_back(*due)
        self._ahead.enter(block, depth)
