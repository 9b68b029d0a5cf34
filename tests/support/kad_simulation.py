"""A DHT of thousands in simulated time: the node's own tables and lookups, no sockets."""

from bisect import bisect_left
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from heapq import heappop, heappush
from ipaddress import IPv4Network
from random import Random
from typing import Final

from ipfs.host import PeerAddress
from ipfs.kad.hearsay import Hearsay
from ipfs.kad.keyspace import KEY_BITS, Key, key_of
from ipfs.kad.lookup import Lookup
from ipfs.kad.parameters import DEFAULT_PARAMETERS
from ipfs.kad.reach import Network
from ipfs.kad.routing_table import RoutingTable
from ipfs.p2p.multiaddr import Multiaddr
from ipfs.p2p.peer_id import PeerId
from tests.support.kad import nearest, peer

K: Final = DEFAULT_PARAMETERS.k
ADDRESS: Final = Multiaddr.parse("/ip4/10.0.0.1/tcp/4001")
ROUND_TRIP_MS_MEAN: Final = 150
DEAD_MS: Final = 1_000
"""Until a dial to who is gone is given up."""


@dataclass(frozen=True, slots=True)
class Walk:
    """What came of one lookup.

    asked:   who was asked, in that order
    hops:    from the seeds to the nearest peer found
    ms:      simulated time
    """

    asked: tuple[PeerId, ...]
    closest: tuple[PeerId, ...]
    hops: int
    ms: float


class Simulation:
    """Nodes that know whom they would know after a while; some have died, some conspire.

    A conspirator tells of conspirators only, the nearest to what is sought; it answers at once,
    keeps no record, and names forty providers that are none. A crowd of them shares one network.
    """

    def __init__(self, count: int, *, seed: int = 0) -> None:
        self.random = Random(seed)
        self.nodes = [peer(number) for number in range(count)]
        self.dead: set[PeerId] = set()
        self.sybils: list[PeerId] = []
        self._networks: frozenset[Network] = frozenset()
        self._false = [peer(-number) for number in range(1, 41)]
        self._sorted = sorted((key_of(node.multihash), node) for node in self.nodes)
        self._tables: dict[PeerId, RoutingTable] = {}

    def dies(self, share: float) -> None:
        """Let a share of the nodes go, unknown to the others."""
        self.dead = set(self.random.sample(self.nodes, int(share * len(self.nodes))))

    def conspire(self, sybils: Iterable[PeerId]) -> None:
        """Let these nodes lie from now on."""
        self.sybils = list(sybils)

    def crowd(self, target: bytes, count: int) -> None:
        """Let so many ids of one network settle nearer to a key than anybody else.

        Tables have three of them, as many as of any network.
        """
        ids = map(peer, range(1_000_000, 1_000_000 + 100 * count))
        self.sybils = nearest(key_of(target), ids, count)
        self._networks = frozenset({IPv4Network("6.0.0.0/16")})
        known = ((key_of(it.multihash), it) for it in self.sybils[:3])
        self._sorted = sorted((*self._sorted, *known))
        self._tables.clear()

    def live(self) -> list[PeerId]:
        """Return the honest nodes that are there."""
        return [node for node in self.nodes if node not in self.dead and node not in self.sybils]

    def finds(
        self,
        start: PeerId,
        target: bytes,
        provider: PeerId,
        keepers: Iterable[PeerId],
        *,
        paths: int,
    ) -> bool:
        """Whether one node hears of a provider whose record these nodes keep."""
        hearsay = Hearsay(own=start, news_per_teller=DEFAULT_PARAMETERS.news_per_teller)
        kept = {*keepers}
        found: set[PeerId] = set()

        def listen(teller: PeerId) -> None:
            told = self._false if teller in self.sybils else [provider] if teller in kept else []
            news = hearsay.take(PeerAddress(it, (ADDRESS,)) for it in told)
            found.update(it.peer_id for it in news)

        self.walk(start, target, paths=paths, on_answer=listen)
        found.update(it.peer_id for it in hearsay.rest(DEFAULT_PARAMETERS.providers_enough))
        return provider in found

    def walk(
        self,
        start: PeerId,
        target: bytes,
        *,
        paths: int,
        on_answer: Callable[[PeerId], None] = lambda _: None,
    ) -> Walk:
        """Run the lookup of one node; `on_answer` is called with each whose answer counts."""
        key = key_of(target)
        lookup = Lookup(
            key,
            map(PeerAddress, self._table(start).closest(key, K)),
            own=start,
            alpha=DEFAULT_PARAMETERS.alpha,
            beta=K,
            asks_max=DEFAULT_PARAMETERS.asks_max,
            paths=paths,
        )
        hops: dict[PeerId, int] = {}
        asked: list[PeerId] = []
        arrivals: list[tuple[float, int, PeerId]] = []
        now_ms = 0.0
        while True:
            for it in lookup.next_peers():
                asked.append(it.peer_id)
                arrives_ms = now_ms + self._answer_ms(it.peer_id)
                heappush(arrivals, (arrives_ms, len(asked), it.peer_id))
            if lookup.is_done:
                break
            now_ms, _, peer_id = heappop(arrivals)
            if peer_id in self.dead:
                lookup.failed(peer_id)
                continue
            told = self._answer(peer_id, key)
            for other in told:
                hops.setdefault(other, hops.get(peer_id, 1) + 1)
            networks = self._networks if peer_id in self.sybils else frozenset()
            if lookup.answered(peer_id, map(PeerAddress, told), networks=networks):
                on_answer(peer_id)
        closest = tuple(it.peer_id for it in lookup.closest(K))
        return Walk(tuple(asked), closest, hops.get(closest[0], 1) if closest else 0, now_ms)

    def _answer_ms(self, peer_id: PeerId) -> float:
        if peer_id in self.sybils:
            return 0.0
        return DEAD_MS if peer_id in self.dead else self.random.expovariate(1 / ROUND_TRIP_MS_MEAN)

    def _answer(self, peer_id: PeerId, key: Key) -> list[PeerId]:
        if peer_id in self.sybils:
            return nearest(key, self.sybils, K)
        return self._table(peer_id).closest(key, K)

    def _table(self, node: PeerId) -> RoutingTable:
        if node not in self._tables:
            self._tables[node] = RoutingTable(node, k=K)
            for known in self._acquaintances(key_of(node.multihash)):
                self._tables[node].heard(known, now=0)
        return self._tables[node]

    def _acquaintances(self, own: Key) -> Iterable[PeerId]:
        """Yield up to `k` of those who share each length of prefix with a key."""
        for bits in range(KEY_BITS):
            width = KEY_BITS - bits - 1
            low = ((own >> width) ^ 1) << width
            first = bisect_left(self._sorted, low, key=lambda it: it[0])
            end = bisect_left(self._sorted, low + (1 << width), key=lambda it: it[0])
            others = self._sorted[first:end]
            yield from (it for _, it in self.random.sample(others, min(K, len(others))))
            start = bisect_left(self._sorted, own >> width << width, key=lambda it: it[0])
            if self._sorted[start : start + 2][-1][0] >= ((own >> width) + 1) << width:
                return
