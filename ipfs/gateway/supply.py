"""Where a gateway's blocks come from: the store, a small cache, peers that are found, gateways."""

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Final

from ipfs.bitswap.session import BlockUnavailable
from ipfs.block import Block
from ipfs.blockstore import BlockNotFound
from ipfs.cid import CID
from ipfs.dag import inline_block
from ipfs.exchange import BlockFetch, Exchange
from ipfs.routing import Routing

CACHE_BYTES_MAX: Final = 64 << 20
IDLE_SECONDS: Final = 15.0

UNDER_WAY_MAX: Final = 16
"""Blocks that one request has asked of peers and not received."""


class Supply:
    """Blocks for visitors.

    routing:  finds who has what is not in the store; None for a gateway that serves its store
              and nothing else. What is fetched stays in a bounded cache and is not stored, so
              visitors can't fill the disk.
    gateways: asked for what no peer gives; None: nobody
    """

    def __init__(
        self,
        exchange: Exchange,
        *,
        routing: Routing | None = None,
        gateways: Exchange | None = None,
        idle_timeout_s: float = IDLE_SECONDS,
        cache_bytes_max: int = CACHE_BYTES_MAX,
    ) -> None:
        self.exchange = exchange
        self.routing = routing
        self.gateways = gateways
        self.idle_timeout_s = idle_timeout_s
        self._cache: OrderedDict[bytes, Block] = OrderedDict()
        self._cache_bytes = 0
        self._cache_bytes_max = cache_bytes_max

    @contextmanager
    def opened(self, root: CID, *, only_cached: bool = False) -> Iterator["Blocks"]:
        """Lend the blocks of one request; what it wants of peers ends with it.

        root:  whose providers are asked for all that is below it
        """
        with ExitStack() as fetching:
            yield Blocks(self, root, None if only_cached else self.routing, fetching)

    def cached(self, cid: CID) -> Block | None:
        """Return a block that was fetched not long ago."""
        block = self._cache.get(cid.multihash)
        if block is None:
            return None
        self._cache.move_to_end(cid.multihash)
        return Block(cid, block.data)

    def remember(self, block: Block) -> None:
        """Keep a block for a while; the ones not used for longest make room."""
        if block.cid.multihash in self._cache or len(block.data) > self._cache_bytes_max:
            return
        self._cache[block.cid.multihash] = block
        self._cache_bytes += len(block.data)
        while self._cache_bytes > self._cache_bytes_max:
            _, oldest = self._cache.popitem(last=False)
            self._cache_bytes -= len(oldest.data)


class Blocks:
    """The blocks of one request, one after the other; those ahead are under way meanwhile."""

    def __init__(
        self, supply: Supply, root: CID, routing: Routing | None, fetching: ExitStack
    ) -> None:
        self._supply = supply
        self._root = root
        self._routing = routing
        self._fetching = fetching
        self._asked: Exchange | None = None
        self._fetch: BlockFetch | None = None
        self._arrived: dict[CID, Block] = {}
        self._wanted: dict[CID, None] = {}
        self._sought: set[CID] = set()
        self._refused: set[CID] = set()

    async def get(self, cid: CID, ahead: Sequence[CID] = ()) -> Block:
        """Return a block.

        ahead:  what will be asked for next
        Raises `BlockNotFound` if it is not here and may not be fetched, `BlockUnavailable` if
        nobody gives it.
        """
        block = inline_block(cid) or self._arrived.pop(cid, None) or self._supply.cached(cid)
        if block is not None:
            return block
        if stored := await self._supply.exchange.load((cid,)):
            return stored[0]
        if self._routing is None:
            raise BlockNotFound(cid)
        return await self._fetched(cid, ahead, self._routing)

    async def _fetched(self, cid: CID, ahead: Sequence[CID], routing: Routing) -> Block:
        fetch = self._fetch or self._ask(self._supply.exchange, routing)
        stored = await self._supply.exchange.sizes_bytes(ahead)
        due = {cid: None} | {one: None for one in ahead if one not in stored}
        # What is due later stays in the cache at most, however deep a stranger's DAG leads.
        self._arrived = {one: block for one, block in self._arrived.items() if one in due}
        room = max(UNDER_WAY_MAX - len(self._wanted), int(cid not in self._wanted))
        wants = [one for one in due if self._is_missing(one)][:room]
        self._wanted |= dict.fromkeys(wants)
        fetch.want(wants)
        while cid in self._wanted:
            for block in await self._received(routing):
                self._wanted.pop(block.cid, None)
                self._supply.remember(block)
                if block.cid in due:
                    self._arrived[block.cid] = block
        return self._arrived.pop(cid)

    async def _received(self, routing: Routing) -> list[Block]:
        """Receive blocks; whoever provides the root may lack one that others provide."""
        assert self._fetch is not None, "what is received was asked for"
        while True:
            try:
                return await self._fetch.receive()
            except BlockUnavailable as error:
                if error.cid not in self._sought:
                    self._seek(self._fetch, error.cid, routing)
                elif self._supply.gateways is None or error.cid in self._refused:
                    raise
                else:
                    self._refused.add(error.cid)
                    self._ask(self._elsewhere(self._supply.gateways), routing)

    def _elsewhere(self, gateways: Exchange) -> Exchange:
        return self._supply.exchange if self._asked is gateways else gateways

    def _ask(self, exchange: Exchange, routing: Routing) -> BlockFetch:
        """Ask there from now on, and nowhere else, for all that is wanted."""
        self._fetching.close()
        self._asked = exchange
        fetch = exchange.fetch(idle_timeout_s=self._supply.idle_timeout_s)
        self._fetch = self._fetching.enter_context(fetch)
        self._sought.clear()
        self._seek(self._fetch, self._root, routing)
        self._fetch.want(self._wanted)
        return self._fetch

    def _seek(self, fetch: BlockFetch, cid: CID, routing: Routing) -> None:
        self._sought.add(cid)
        fetch.seek(routing.find_providers(cid))

    def _is_missing(self, cid: CID) -> bool:
        is_here = cid in self._arrived or self._supply.cached(cid) is not None
        return not is_here and cid not in self._wanted and inline_block(cid) is None
