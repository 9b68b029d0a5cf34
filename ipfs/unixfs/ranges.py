"""Reads any range of a file and touches only the blocks that hold it."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Final

from ipfs.block import Block
from ipfs.blockstore import Blockstore
from ipfs.cid import CID
from ipfs.dag import inline_block
from ipfs.errors import LimitExceeded, MalformedBytes
from ipfs.unixfs.errors import NotAFile
from ipfs.unixfs.node import File, read_node

FILE_DEPTH_MAX: Final = 64
"""Levels of nodes in one file; 1024 links a node pass 2^63 bytes after seven."""

PARTS_AHEAD_MAX: Final = 3 << 15
"""Of all nodes on the way down to where a file is read: twelve of the widest that are made here."""


@dataclass(frozen=True, slots=True)
class _Ahead:
    """A block to come: where its bytes start in the file, and how many its parent claims."""

    cid: CID
    start: int
    size_bytes: int | None
    depth: int


class RangeReader:
    """Names the blocks of a range in the order of the file, and takes them in that order.

        while reader.wanted(): data = reader.receive(block of the first CID wanted)

    Knows nothing of stores or networks; later CIDs that are wanted may be fetched ahead. What it
    holds is bounded by the links of one node a level, and by `PARTS_AHEAD_MAX`. A part that claims
    no bytes is not looked at, so a bomb of empty parts costs nothing.
    """

    def __init__(self, root: CID, start: int = 0, end: int | None = None) -> None:
        """Begin to read bytes `start <= at < end` of a file; what lies past its end is no bytes."""
        assert start >= 0, "a range starts in the file"
        self._start = start
        self._end = end
        self._ahead = [_Ahead(root, 0, None, 0)]
        self.file_bytes: int | None = None
        """The size of the whole file, known once the root was received."""

    def wanted(self, count: int = 1) -> tuple[CID, ...]:
        """Return up to `count` CIDs that are needed next, as far as is known now."""
        return tuple(ahead.cid for ahead in self._ahead[: -count - 1 : -1])

    def receive(self, block: Block) -> bytes:
        """Take the block that is wanted first; return the bytes of the range that it holds.

        Raises `NotAFile` for the root, `MalformedBytes`, `LimitExceeded`.
        """
        ahead = self._ahead.pop()
        assert block.cid == ahead.cid, "blocks are received in the order they are wanted"
        node = read_node(block)
        if not isinstance(node, File):
            if ahead.size_bytes is None:
                raise NotAFile(block.cid)
            raise MalformedBytes("UnixFS", "a part of a file that is no file")
        if ahead.size_bytes is None:
            self.file_bytes = node.size_bytes
        elif node.size_bytes != ahead.size_bytes:
            raise MalformedBytes("UnixFS", f"{node.size_bytes} bytes, {ahead.size_bytes} claimed")
        self._look_ahead(node, ahead)
        first = max(0, self._start - ahead.start)
        last = None if self._end is None else max(0, self._end - ahead.start)
        # Most blocks lie in the range with all they have, and need no copy.
        return node.data if (first, last) == (0, None) else node.data[first:last]

    def _look_ahead(self, node: File, ahead: _Ahead) -> None:
        if node.parts and ahead.depth >= FILE_DEPTH_MAX:
            raise LimitExceeded("depth of a file", limit=FILE_DEPTH_MAX, asked=ahead.depth + 1)
        at = ahead.start + len(node.data)
        parts = []
        for part in node.parts:
            part_end = at + part.size_bytes
            end = part_end if self._end is None else min(part_end, self._end)
            if max(at, self._start) < end:
                parts.append(_Ahead(part.cid, at, part.size_bytes, ahead.depth + 1))
            at = part_end
        if len(self._ahead) + len(parts) > PARTS_AHEAD_MAX:
            asked = len(self._ahead) + len(parts)
            raise LimitExceeded("parts of a file ahead", limit=PARTS_AHEAD_MAX, asked=asked)
        self._ahead += reversed(parts)


def read_range(
    store: Blockstore, root: CID, start: int = 0, end: int | None = None
) -> Iterator[bytes]:
    """Yield bytes `start <= at < end` of a file, a block at a time.

    Raises `BlockNotFound`, `NotAFile`, `MalformedBytes`, `LimitExceeded`.
    """
    reader = RangeReader(root, start, end)
    while wanted := reader.wanted():
        [cid] = wanted
        if data := reader.receive(inline_block(cid) or store.get(cid)):
            yield data


async def fetch_range(
    get: Callable[[CID], Awaitable[Block]], root: CID, start: int = 0, end: int | None = None
) -> AsyncIterator[bytes]:
    """Do as `read_range` does, waiting for each block."""
    reader = RangeReader(root, start, end)
    while wanted := reader.wanted():
        [cid] = wanted
        if data := reader.receive(inline_block(cid) or await get(cid)):
            yield data
