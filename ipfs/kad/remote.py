"""The other nodes of a DHT: asked one by one, or on walks towards a key."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Sequence
from typing import TypeVar

from ipfs.errors import PeerError
from ipfs.host import Host, NetworkError, PeerAddress
from ipfs.kad.asking import Asker
from ipfs.kad.keyspace import key_of
from ipfs.kad.lookup import Lookup
from ipfs.kad.messages import AddProvider, FindNode, PutValue, Request, Response
from ipfs.kad.parameters import KadParameters
from ipfs.kad.reach import Network, networks_of
from ipfs.kad.routing_table import RoutingTable
from ipfs.p2p.peer_id import PeerId

_T = TypeVar("_T")
_RequestT = TypeVar("_RequestT", bound=Request)


class Walker:
    """Asks peers, and keeps the table true to what comes of it: who answers is in, who fails out.

    Newcomers say that they serve the DHT, and have not answered yet.
    """

    def __init__(
        self,
        host: Host,
        asker: Asker,
        table: RoutingTable,
        *,
        parameters: KadParameters,
        clock: Callable[[], float],
    ) -> None:
        self._host = host
        self._asker = asker
        self._table = table
        self._parameters = parameters
        self._clock = clock
        self._newcomers: dict[PeerId, None] = {}
        self.has_newcomers = asyncio.Event()

    def meet(self, peer_id: PeerId, *, is_server: bool) -> None:
        """Take note of what a peer says to be."""
        if not is_server:
            self._newcomers.pop(peer_id, None)
            self._table.remove(peer_id)
        elif peer_id not in self._table:
            if len(self._newcomers) >= self._parameters.newcomers_max:
                del self._newcomers[next(iter(self._newcomers))]
            self._newcomers[peer_id] = None
            self.has_newcomers.set()

    async def greet(self) -> None:
        """Ask the newcomers for a first sign of life."""
        self.has_newcomers.clear()
        await self.ask_each(tuple(self._newcomers), FindNode(self._host.peer_id.multihash))

    async def approach(self, key: bytes, *, seeds: Iterable[PeerAddress] = ()) -> list[PeerAddress]:
        """Return the `k` live peers nearest to a key, nearest first."""
        lookup = self.lookup(key, beta=self._parameters.k, seeds=seeds)
        async for _ in self.walk(lookup, FindNode(key)):
            pass
        return lookup.closest(self._parameters.k)

    def lookup(self, key: bytes, *, beta: int, seeds: Iterable[PeerAddress] = ()) -> Lookup:
        """Return a lookup that starts from the seeds and whom we know near the key."""
        nearest = self._table.closest(key_of(key), self._parameters.k)
        untried = self._newcomers if len(nearest) < self._parameters.k else ()
        return Lookup(
            key_of(key),
            (*seeds, *map(PeerAddress, nearest), *map(PeerAddress, untried)),
            own=self._host.peer_id,
            alpha=self._parameters.alpha,
            beta=beta,
            asks_max=self._parameters.asks_max,
            paths=self._parameters.paths,
            per_network_max=self._parameters.peers_per_network_max,
        )

    async def walk(
        self, lookup: Lookup, request: Request
    ) -> AsyncGenerator[tuple[PeerId, Response], None]:
        """Run a lookup to its end; yield each response that counts as it comes."""
        asked: dict[asyncio.Task[Response | None], PeerId] = {}
        try:
            while True:
                for peer in lookup.next_peers():
                    asking = asyncio.create_task(self._try(self._asker.ask, peer, request))
                    asked[asking] = peer.peer_id
                if lookup.is_done:
                    return
                answered, _ = await asyncio.wait(asked, return_when=asyncio.FIRST_COMPLETED)
                for asking in answered:
                    peer_id = asked.pop(asking)
                    response = asking.result()
                    if response is None:
                        lookup.failed(peer_id)
                    elif lookup.answered(
                        peer_id, response.closer_peers, networks=self._networks_of(peer_id)
                    ):
                        yield peer_id, response
        finally:
            # Not a TaskGroup: a generator may be closed by another task than the one it runs in.
            for asking in asked:
                asking.cancel()
            await asyncio.gather(*asked, return_exceptions=True)

    async def place(self, request: AddProvider | PutValue, keepers: Iterable[PeerAddress]) -> int:
        """Hand a record to those who should keep it; return how many took it."""

        async def hand(keeper: PeerAddress) -> bool:
            if isinstance(request, AddProvider):
                return await self._try(self._asker.tell, keeper, request) is not None
            response = await self._try(self._asker.ask, keeper, request)
            return response is not None and response.record is not None

        async with asyncio.TaskGroup() as tasks:
            handed = [tasks.create_task(hand(keeper)) for keeper in keepers]
        return sum(task.result() for task in handed)

    async def ask_each(self, peer_ids: Sequence[PeerId], request: Request) -> None:
        """Put a request to each of some peers."""
        places = asyncio.Semaphore(self._parameters.alpha)

        async def ask(peer: PeerAddress) -> None:
            async with places:
                await self._try(self._asker.ask, peer, request)

        async with asyncio.TaskGroup() as tasks:
            for peer_id in peer_ids:
                tasks.create_task(ask(PeerAddress(peer_id)))

    async def _try(
        self,
        talk: Callable[[PeerAddress, _RequestT], Awaitable[_T]],
        peer: PeerAddress,
        request: _RequestT,
    ) -> _T | None:
        """Return what came of it, or None if the peer failed us, and keep the table true to it."""
        self._newcomers.pop(peer.peer_id, None)
        try:
            async with asyncio.timeout(self._parameters.request_seconds_max):
                outcome = await talk(peer, request)
        except (PeerError, NetworkError, TimeoutError):
            # Who keeps a better value than ours resets the stream too, and serves well.
            if not isinstance(request, PutValue):
                self._table.remove(peer.peer_id)
            return None
        self._table.heard(peer.peer_id, self._clock(), networks=self._networks_of(peer.peer_id))
        return outcome

    def _networks_of(self, peer_id: PeerId) -> frozenset[Network]:
        return networks_of(self._host.remote_addresses(peer_id))
