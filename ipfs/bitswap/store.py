"""A block store as an event loop asks it: in worker threads, unless that waits for nothing."""

import asyncio
import logging
from collections.abc import Iterable
from typing import Final

from ipfs.block import Block
from ipfs.blockstore import BlockNotFound, Blockstore
from ipfs.cid import CID
from ipfs.sqlite import DISK_FAULTS

AT_ONCE_MAX: Final = 8
"""So few blocks are read in the loop, if that waits for nothing: to wake a thread takes longer."""

log = logging.getLogger(__name__)


class Stored:
    """What a store holds. The store may block; it must bear calls from several threads.

    One bad place of a disk is no reason to give nobody anything any more: it is told in the log.
    """

    def __init__(self, store: Blockstore) -> None:
        self._store = store

    async def load(self, cids: Iterable[CID]) -> list[Block]:
        """Return those of the blocks that are there, and can be read."""
        wanted = tuple(cids)
        if len(wanted) <= AT_ONCE_MAX:
            blocks = [block for cid in wanted if (block := self._store.get_at_once(cid))]
            if len(blocks) == len(wanted):
                # Who reads thousands, one after the other, would let nobody else have a turn.
                await asyncio.sleep(0)
                return blocks
        return await asyncio.to_thread(self._load, wanted)

    async def sizes_bytes(self, cids: Iterable[CID]) -> dict[CID, int | None]:
        """Return the sizes of the blocks, None for one that is not there; none is read."""
        return await asyncio.to_thread(self._sizes_bytes, tuple(cids))

    async def put(self, blocks: Iterable[Block]) -> None:
        """Store the blocks; when this returns they are durable."""
        await asyncio.to_thread(self._store.put, blocks)

    def _load(self, cids: Iterable[CID]) -> list[Block]:
        blocks = []
        for cid in cids:
            try:
                blocks.append(self._store.get(cid))
            except BlockNotFound:
                continue
            except DISK_FAULTS as error:
                log.error("%s can't be read: %s", cid, error)
        return blocks

    def _sizes_bytes(self, cids: Iterable[CID]) -> dict[CID, int | None]:
        sizes: dict[CID, int | None] = {}
        for cid in cids:
            try:
                sizes[cid] = self._store.size_bytes(cid)
            except BlockNotFound:
                sizes[cid] = None
            except DISK_FAULTS as error:
                log.error("%s can't be looked up: %s", cid, error)
                sizes[cid] = None
        return sizes
