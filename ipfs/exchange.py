"""Fetch a whole DAG: from the store, then from peers we know, then from providers found."""

from collections.abc import AsyncIterable, Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Final, Protocol

from ipfs.bitswap.session import BlockUnavailable
from ipfs.block import Block
from ipfs.cid import CID
from ipfs.dag import DEPTH_MAX, inline_block, links_of
from ipfs.errors import LimitExceeded
from ipfs.host import NetworkError, PeerAddress
from ipfs.p2p.peer_id import PeerId
from ipfs.routing import Routing

WANTS_MAX: Final = 128
"""Blocks of a DAG on their way at a time: 32 MiB of usual leaves."""


class BlockFetch(Protocol):
    """Asks peers for blocks, many at a time."""

    @property
    def dropped(self) -> dict[PeerId, str]:
        """Peers that are not asked any more, each with the code of its reason."""

    def seek(self, peers: AsyncIterable[PeerAddress]) -> None:
        """Ask these peers too, as they are found; until all are, no block is unavailable."""

    def want(self, cids: Iterable[CID]) -> None:
        """Ask for these blocks, the first ones most."""

    async def receive(self) -> list[Block]:
        """Return wanted blocks that have arrived, at least one. Raises `BlockUnavailable`."""


class Exchange(Protocol):
    """A block store with peers around it: `ipfs.bitswap.stream.Bitswap`."""

    async def load(self, cids: Iterable[CID]) -> list[Block]:
        """Return those of the blocks that the store has."""

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
        super().__init__(
            f"{root} can't be fetched: none of {len(tried)} peers gave {missing}"
            + (f" ({told})" if told else "")
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
    on_progress: Callable[[int, int], None] | None = None,
) -> FetchedDag:
    """Bring a DAG into the store, every block checked.

    idle_timeout_s:  a peer that owes a block and is silent for so long is asked no more
    on_progress:     called with the blocks and bytes that are in the store so far

    Can be called again after any failure: what is in the store is not fetched again.
    Raises `DagUnavailable`; `LimitExceeded` before anything beyond `limits` is stored;
    `MalformedBytes` if a block of the DAG is not what its codec says.
    """
    walk = _Walk(root, limits)
    sought: set[CID] = set()
    with exchange.fetch(peers, idle_timeout_s=idle_timeout_s) as fetch:
        while walk.is_under_way:
            cids = walk.take_next(WANTS_MAX - walk.wanted_count)
            if cids:
                walk.receive(stored := await exchange.load(cids))
                present = {block.cid for block in stored}
                fetch.want(cid for cid in cids if cid not in present)
            elif walk.wanted_count:
                blocks = await _receive(fetch, root, routing, sought)
                walk.receive(blocks)
                await exchange.keep(blocks)
            if on_progress is not None:
                on_progress(walk.block_count, walk.size_bytes)
        return FetchedDag(root, walk.block_count, walk.size_bytes, fetch.dropped)


class _Walk:
    """Which blocks of a DAG come next: depth first, so that few are ahead; each of them once."""

    def __init__(self, root: CID, limits: DagLimits) -> None:
        self._limits = limits
        self._seen = {root}
        self._ahead = [(root, 0)]
        self._wanted: dict[CID, int] = {}
        self.block_count = 0
        self.size_bytes = 0

    @property
    def is_under_way(self) -> bool:
        """Whether any block is still to come."""
        return bool(self._ahead or self._wanted)

    @property
    def wanted_count(self) -> int:
        """How many blocks were taken and have not been received."""
        return len(self._wanted)

    def take_next(self, count_max: int) -> list[CID]:
        """Return up to so many blocks to get next; blocks that are their own CID are not."""
        taken: list[CID] = []
        while self._ahead and len(taken) < count_max:
            cid, depth = self._ahead.pop()
            if inline := inline_block(cid):
                self._descend(inline, depth)
            else:
                self._wanted[cid] = depth
                taken.append(cid)
        return taken

    def receive(self, blocks: Iterable[Block]) -> None:
        """Take blocks that `take_next` named, in any order."""
        for block in blocks:
            self.block_count += 1
            self.size_bytes += len(block.data)
            if self.size_bytes > self._limits.bytes_max:
                raise LimitExceeded(
                    "bytes of a DAG", limit=self._limits.bytes_max, asked=self.size_bytes
                )
            self._descend(block, self._wanted.pop(block.cid))

    def _descend(self, block: Block, depth: int) -> None:
        links = links_of(block)
        if links and depth >= self._limits.depth_max:
            raise LimitExceeded("depth of a DAG", limit=self._limits.depth_max, asked=depth + 1)
        for cid in reversed(links):
            if cid not in self._seen:
                self._seen.add(cid)
                self._ahead.append((cid, depth + 1))
        if len(self._seen) > self._limits.blocks_max:
            raise LimitExceeded(
                "blocks of a DAG", limit=self._limits.blocks_max, asked=len(self._seen)
            )


async def _receive(
    fetch: BlockFetch, root: CID, routing: Routing | None, sought: set[CID]
) -> list[Block]:
    """Receive blocks; look for more peers if none has one: by the root, then by the block."""
    while True:
        try:
            return await fetch.receive()
        except BlockUnavailable as error:
            unsought = [cid for cid in (root, error.cid) if cid not in sought]
            if routing is None or not unsought:
                raise DagUnavailable(root, error.cid, error.answers) from error
            sought.add(unsought[0])
            fetch.seek(routing.find_providers(unsought[0]))
