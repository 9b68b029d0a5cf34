"""Fetch a whole DAG: from the store, then from peers we know, then from providers found."""

import hashlib
import time
from collections.abc import AsyncIterable, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Final, Protocol

from ipfs.bitswap.session import BlockUnavailable
from ipfs.block import Block
from ipfs.cid import CID, Codec
from ipfs.dag import DEPTH_MAX, Descent, inline_block, links_of
from ipfs.errors import LimitExceeded
from ipfs.host import NetworkError, PeerAddress
from ipfs.p2p.peer_id import PeerId
from ipfs.routing import Routing

BYTES_UNDER_WAY_MAX: Final = 32 * 1024 * 1024
"""Of blocks that were asked for and are not stored yet, if no leaf is larger than those so far."""

BATCH_BYTES: Final = 8 * 1024 * 1024
BATCH_SECONDS: Final = 1.0
"""Blocks that come within so much, or so long, are stored by one fsync."""

BYTES_AT_FIRST: Final = 1024 * 1024
"""What a block is taken to have until the first leaf has come."""

NODES_AT_A_TIME: Final = 8
"""Read from the store: of the largest, that is 16 MiB."""

LINKS_AT_A_TIME: Final = 1024
"""Looked at before others have their turn: a few blocks may have millions that lead nowhere new."""

WANTS_MIN: Final = 16
WANTS_MAX: Final = 128
"""Blocks under way at a time, be they as large or as small as they are."""

ROOM_PARTS: Final = 4
"""More are asked for when of those that may be under way one part in so many has come."""


class BlockFetch(Protocol):
    """Asks peers for blocks, many at a time."""

    @property
    def dropped(self) -> dict[PeerId, str]:
        """Peers that are not asked any more, each with the code of its reason."""

    def seek(self, peers: AsyncIterable[PeerAddress]) -> None:
        """Ask these peers too, as they are found; until all are, no block is unavailable."""

    def want(self, cids: Iterable[CID], *, are_last: bool = False) -> None:
        """Ask for these blocks, the first ones most; `are_last` if there may be no more."""

    async def receive(self) -> list[Block]:
        """Return wanted blocks that have arrived, at least one. Raises `BlockUnavailable`."""


class Exchange(Protocol):
    """A block store with peers around it: `ipfs.bitswap.stream.Bitswap`."""

    async def load(self, cids: Iterable[CID]) -> list[Block]:
        """Return those of the blocks that the store has."""

    async def sizes_bytes(self, cids: Iterable[CID]) -> dict[CID, int]:
        """Return the sizes of those of the blocks that the store has; they are not read."""

    async def keep(self, blocks: Iterable[Block]) -> None:
        """Store the blocks, durably."""

    def fetch(
        self, peers: Iterable[PeerAddress] = (), *, idle_timeout_s: float
    ) -> AbstractContextManager[BlockFetch]:
        """Return a new fetch from these peers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DagLimits:
    """What a DAG may be at most, blocks already in the store included; the root's depth is 0."""

    blocks_max: int
    bytes_max: int
    depth_max: int = DEPTH_MAX


@dataclass(frozen=True, slots=True)
class FetchedDag:
    """A DAG that is whole in the store.

    dropped:  peers that failed on the way, each with the code of its reason (`wrong-block`, …)
    """

    root: CID
    block_count: int
    size_bytes: int
    dropped: dict[PeerId, str]


class DagUnavailable(NetworkError):
    """A block of the DAG is neither in the store nor with any peer that could be found.

    tried:  what each peer came to for this block: a code
    """

    code = "dag-unavailable"

    def __init__(self, root: CID, missing: CID, tried: dict[PeerId, str]) -> None:
        told = ", ".join(f"{peer_id}: {answer}" for peer_id, answer in tried.items())
        block = "it" if missing == root else missing
        super().__init__(
            f"{root} can't be fetched: none of {len(tried)} peers gave {block} ({told})"
            if tried
            else f"{root} can't be fetched: no peer was found to ask for {block}"
        )
        self.root = root
        self.missing = missing
        self.tried = tried


async def fetch_dag(
    exchange: Exchange,
    root: CID,
    *,
    limits: DagLimits,
    idle_timeout_s: float,
    peers: Sequence[PeerAddress] = (),
    routing: Routing | None = None,
    within: CID | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> FetchedDag:
    """Bring a DAG into the store, every block checked.

    idle_timeout_s:  a peer that owes a block and is silent for so long is asked no more
    within:          the root of a larger DAG that it is part of: who has that may have it, too
    on_progress:     called with the blocks and bytes that have come, or were here, so far

    Can be called again after any failure: what has come is stored then, but after a kill for what
    came in a second, and until the next block. What is in the store is not fetched again, and of
    that no leaf is read again. In memory are the blocks under way, nodes up to `NODES_BYTES_MAX`,
    and 80 bytes for each block met so far.
    Raises `DagUnavailable`; `LimitExceeded` before anything beyond `limits` is stored;
    `MalformedBytes` if a block of the DAG is not what its codec says.
    """
    walk = _Walk(root, limits)
    batch = _Batch(exchange)
    roots = (root,) if within is None else (within, root)
    sought: set[CID] = set()
    with exchange.fetch(peers, idle_timeout_s=idle_timeout_s) as fetch:
        try:
            while walk.is_under_way:
                if walk.is_waiting:
                    # What was put off is read again, from the store.
                    await batch.keep()
                    walk.resume()
                missing = await _meet_stored(exchange, walk)
                if missing or walk.is_exhausted:
                    fetch.want(missing, are_last=walk.is_exhausted)
                if walk.wanted_count and not walk.has_room:
                    blocks = await _receive(fetch, roots, routing, sought)
                    walk.receive(blocks)
                    batch.add(blocks)
                    # What comes next is asked for before these are stored: the line stays busy.
                    fetch.want(await _meet_stored(exchange, walk), are_last=walk.is_exhausted)
                    if batch.is_due or not walk.wanted_count:
                        await batch.keep()
                if on_progress is not None:
                    on_progress(walk.block_count, walk.size_bytes)
        finally:
            await batch.keep()
        return FetchedDag(root, walk.block_count, walk.size_bytes, fetch.dropped)


class _Batch:
    """Blocks that have come and are not stored yet."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._blocks: list[Block] = []
        self._bytes_count = 0
        self._due_s = 0.0

    @property
    def is_due(self) -> bool:
        """Whether they are many, or have waited for long."""
        return self._bytes_count >= BATCH_BYTES or time.monotonic() >= self._due_s

    def add(self, blocks: Iterable[Block]) -> None:
        """Take blocks; the next `keep` stores them."""
        if not self._blocks:
            self._due_s = time.monotonic() + BATCH_SECONDS
        for block in blocks:
            self._blocks.append(block)
            self._bytes_count += len(block.data)

    async def keep(self) -> None:
        """Store what there is; if this is cut off, or fails, the next call does."""
        if self._blocks:
            await self._exchange.keep(self._blocks)
            self._blocks, self._bytes_count = [], 0


async def _meet_stored(exchange: Exchange, walk: "_Walk") -> list[CID]:
    """Walk on as far as there is room; return the blocks that the store lacks."""
    cids = walk.take_next()
    if not cids and not walk.has_room:
        return []
    # To ask the store wakes a thread, which costs as much as the answer.
    sizes_bytes = await exchange.sizes_bytes(cids)
    walk.pass_by({cid: size for cid, size in sizes_bytes.items() if cid.codec == Codec.RAW})
    nodes = [cid for cid in sizes_bytes if cid.codec != Codec.RAW]
    for at in range(0, len(nodes), NODES_AT_A_TIME):
        walk.receive(await exchange.load(nodes[at : at + NODES_AT_A_TIME]))
    return [cid for cid in cids if walk.wants(cid)]


class _Walk:
    """Which blocks of a DAG come next: depth first, so that few are ahead; each of them once.

    A node that comes while too much is held of others is put off, and read from the store again
    once these are done with.
    """

    def __init__(self, root: CID, limits: DagLimits) -> None:
        self._limits = limits
        self._ahead = Descent(root, depth_max=limits.depth_max)
        self._met: set[int] = set()
        self._wanted: dict[CID, int] = {}
        self._put_off: list[tuple[CID, int]] = []
        self._resumed: CID | None = None
        self._leaf_bytes_max = 0
        self.block_count = 0
        self.size_bytes = 0

    @property
    def is_under_way(self) -> bool:
        """Whether any block is still to come."""
        return bool(self._wanted) or not self.is_exhausted

    @property
    def is_exhausted(self) -> bool:
        """Whether no block is known that has not been taken."""
        return self._ahead.is_over and not self._put_off

    @property
    def is_waiting(self) -> bool:
        """Whether only what was put off is left."""
        return self._ahead.is_over and not self._wanted and bool(self._put_off)

    @property
    def wanted_count(self) -> int:
        """How many blocks were taken and have not been received."""
        return len(self._wanted)

    @property
    def has_room(self) -> bool:
        """Whether `take_next` would look for blocks now: only when several are due at once.

        To ask the store, and a peer, costs much the same for one as for many.
        """
        room = self._wants_max - len(self._wanted)
        return not self._ahead.is_over and room >= self._wants_max // ROOM_PARTS

    def wants(self, cid: CID) -> bool:
        """Whether the block was taken and has not been received."""
        return cid in self._wanted

    def take_next(self) -> list[CID]:
        """Return blocks to get next, if there is room; blocks that are their own CID are not."""
        taken: list[CID] = []
        if not self.has_room:
            return taken
        for _ in range(LINKS_AT_A_TIME):
            if len(self._wanted) == self._wants_max or (due := self._ahead.take()) is None:
                break
            cid, depth = due
            if inline := inline_block(cid):
                self._ahead.enter(inline, depth)
            elif cid == self._resumed or self._is_new(cid):
                self._wanted[cid] = depth
                taken.append(cid)
        return taken

    def receive(self, blocks: Iterable[Block]) -> None:
        """Take blocks that `take_next` named, in any order."""
        for block in blocks:
            depth = self._wanted.pop(block.cid)
            if block.cid == self._resumed:
                self._resumed = None
            else:
                self._count(len(block.data))
            if not self._enter(block, depth):
                self._leaf_bytes_max = max(self._leaf_bytes_max, len(block.data))

    def resume(self) -> None:
        """Go on with one of the nodes that were put off; it is to be received again."""
        self._resumed, depth = self._put_off.pop()
        self._ahead.put_back(self._resumed, depth)

    def pass_by(self, sizes_bytes: Mapping[CID, int]) -> None:
        """Take note of leaves that `take_next` named and that need not be read."""
        for cid, size_bytes in sizes_bytes.items():
            self._count(size_bytes)
            self._leaf_bytes_max = max(self._leaf_bytes_max, size_bytes)
            del self._wanted[cid]

    @property
    def _wants_max(self) -> int:
        expected_bytes = self._leaf_bytes_max or BYTES_AT_FIRST
        return min(max(BYTES_UNDER_WAY_MAX // expected_bytes, WANTS_MIN), WANTS_MAX)

    def _is_new(self, cid: CID) -> bool:
        mark = _mark(cid.encode())
        if mark in self._met:
            return False
        self._met.add(mark)
        if len(self._met) > self._limits.blocks_max:
            raise LimitExceeded(
                "blocks of a DAG", limit=self._limits.blocks_max, asked=len(self._met)
            )
        return True

    def _enter(self, block: Block, depth: int) -> bool:
        """Follow the block's links, now or later; return whether it has any."""
        if self._ahead.has_room_for(block):
            return self._ahead.enter(block, depth)
        has_links = next(links_of(block), None) is not None
        if has_links:
            self._put_off.append((block.cid, depth))
        return has_links

    def _count(self, size_bytes: int) -> None:
        self.block_count += 1
        self.size_bytes += size_bytes
        if self.size_bytes > self._limits.bytes_max:
            raise LimitExceeded(
                "bytes of a DAG", limit=self._limits.bytes_max, asked=self.size_bytes
            )


def _mark(encoded: bytes) -> int:
    """Return what a walk remembers of a CID: 128 bits of what tells it from others."""
    return int.from_bytes(hashlib.sha256(encoded).digest()[:16])


async def _receive(
    fetch: BlockFetch, roots: tuple[CID, ...], routing: Routing | None, sought: set[CID]
) -> list[Block]:
    """Receive blocks; look for more peers if none has one: by the roots, then by the block."""
    while True:
        try:
            return await fetch.receive()
        except BlockUnavailable as error:
            unsought = [cid for cid in (*roots, error.cid) if cid not in sought]
            if routing is None or not unsought:
                raise DagUnavailable(roots[-1], error.cid, error.answers) from error
            sought.add(unsought[0])
            fetch.seek(routing.find_providers(unsought[0]))
