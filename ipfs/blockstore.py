"""The port to stored blocks, and the one that keeps them in memory."""

import errno
from collections.abc import Iterable, Iterator
from typing import ClassVar, Protocol

from ipfs.block import Block
from ipfs.cid import CID


class BlockNotFound(LookupError):
    """The store does not hold this block."""

    code: ClassVar[str] = "block-not-found"

    def __init__(self, cid: CID) -> None:
        super().__init__(f"no block {cid} here")
        self.cid = cid


class BlockCorrupt(BlockNotFound):
    """The store gave back other bytes than were stored; the block counts as lost."""

    code: ClassVar[str] = "block-corrupt"

    def __str__(self) -> str:
        """Say what is to be done."""
        return f"block {self.cid} is damaged here: scrub the store, and get it again"


class BlockstoreFull(OSError):
    """There is no room for more blocks; nothing was put, and what was there is still served.

    Its errno is ENOSPC: who waits for a full disk need not know that it is a block store.
    """

    code: ClassVar[str] = "store-full"

    def __init__(self, where: str, *, needed_bytes: int, free_bytes: int) -> None:
        super().__init__(
            f"{where} has no room for {needed_bytes} bytes more ({free_bytes} are free, some of "
            "them kept for tidying up): free space, or delete blocks"
        )
        self.errno = errno.ENOSPC
        self.where = where
        self.needed_bytes = needed_bytes
        self.free_bytes = free_bytes


class Blockstore(Protocol):
    """Blocks by multihash. A read never returns wrong bytes; a put that returned is durable.

    CIDs that differ in version or codec alone name the same bytes, as they do for Kubo: what was
    put under one is found under the other.
    """

    def get(self, cid: CID) -> Block:
        """Return the block. Raises `BlockNotFound`."""

    def get_at_once(self, cid: CID) -> Block | None:
        """Return the block if that waits for nothing; None says not whether it is here."""

    def has(self, cid: CID) -> bool:
        """Whether the block is here."""

    def size_bytes(self, cid: CID) -> int:
        """Return the size of the block's data. Raises `BlockNotFound`."""

    def put(self, blocks: Iterable[Block]) -> None:
        """Store the blocks, all durable when this returns. Raises `BlockstoreFull`."""

    def delete(self, cids: Iterable[CID]) -> None:
        """Forget the blocks; absent ones are no error."""

    def __iter__(self) -> Iterator[CID]:
        """Iterate over what is stored, each under one of its CIDs, in no promised order."""


class MemoryBlockstore:
    """Blocks in a dict: tests and short-lived DAGs."""

    def __init__(self) -> None:
        self._blocks: dict[bytes, Block] = {}

    def get(self, cid: CID) -> Block:
        """Return the block. Raises `BlockNotFound`."""
        try:
            return Block(cid, self._blocks[cid.multihash].data)
        except KeyError:
            raise BlockNotFound(cid) from None

    def get_at_once(self, cid: CID) -> Block | None:
        """Return the block, or None."""
        return self.get(cid) if self.has(cid) else None

    def has(self, cid: CID) -> bool:
        """Whether the block is here."""
        return cid.multihash in self._blocks

    def size_bytes(self, cid: CID) -> int:
        """Return the size of the block's data. Raises `BlockNotFound`."""
        return len(self.get(cid).data)

    def put(self, blocks: Iterable[Block]) -> None:
        """Store the blocks."""
        for block in blocks:
            self._blocks.setdefault(block.cid.multihash, block)

    def delete(self, cids: Iterable[CID]) -> None:
        """Forget the blocks; absent ones are no error."""
        for cid in cids:
            self._blocks.pop(cid.multihash, None)

    def __iter__(self) -> Iterator[CID]:
        """Iterate over what is stored."""
        return iter([block.cid for block in self._blocks.values()])
