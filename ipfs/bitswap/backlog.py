"""Blocks of one fetch between their coming and their being received, bounded in bytes; sans-io."""

from collections.abc import Iterable
from typing import Final

from ipfs.block import Block
from ipfs.cid import CID

ARRIVED_BYTES_MAX: Final = 48 * 1024 * 1024
"""More than `exchange` has under way, unless blocks are larger than those before them were."""


class Backlog:
    """What is wanted, and what of it has come; while that is too much, the rest is put off.

    Nobody knows how large a block is before it has come: a hundred wants may be a hundred times
    2 MiB.
    """

    def __init__(self) -> None:
        self._arrived: list[Block] = []
        self._arrived_bytes = 0
        self._wanted: dict[CID, None] = {}
        self._put_off: dict[CID, None] = {}

    @property
    def has_arrived(self) -> bool:
        """Whether there is anything to take."""
        return bool(self._arrived)

    @property
    def wanted(self) -> tuple[CID, ...]:
        """What has not come."""
        return tuple(self._wanted)

    def want(self, cids: Iterable[CID] = ()) -> tuple[CID, ...]:
        """Want these blocks too; return what to ask for now."""
        fresh = dict.fromkeys(cids)
        self._wanted |= fresh
        self._put_off |= fresh
        if self._arrived_bytes > ARRIVED_BYTES_MAX:
            return ()
        due, self._put_off = self._put_off, {}
        return tuple(due)

    def add(self, blocks: Iterable[Block]) -> tuple[CID, ...]:
        """Take blocks that have come; return what to ask for no more, until it is due again."""
        for block in blocks:
            del self._wanted[block.cid]
            self._arrived.append(block)
            self._arrived_bytes += len(block.data)
        if self._arrived_bytes <= ARRIVED_BYTES_MAX:
            return ()
        self._put_off = dict(self._wanted)
        return tuple(self._put_off)

    def take(self) -> list[Block]:
        """Return what has come since the last time."""
        arrived, self._arrived = self._arrived, []
        self._arrived_bytes = 0
        return arrived
