"""A DHT of thousands in simulated time: the node's own tables and lookups, no sockets."""

from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass
from heapq import heappop, heappush
from random import Random
from typing import Final

from ipfs.host import PeerAddress
from ipfs.kad.keyspace import KEY_BITS, Key, key_of
from ipfs.kad.lookup import Lookup
from ipfs.kad.parameters import DEFAULT_PARAMETERS
from ipfs.kad.routing_table import RoutingTable
from ipfs.p2p.peer_id import PeerId
from tests.support.kad import nearest, peer

K: Final = DEFAULT_PARAMETERS.k
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

    A conspirator tells of conspirators only, the nearest to what is sought, and keeps no record.
    """

    def __init__(self, count: int, *, seed: int = 0) -> None:
        self.random = Random(seed)
        self.nodes = [peer(number) for number in range(count)]
        self.dead: set[PeerId] = set()
        self.sybils: list[PeerId] = []
        self._sorted = sorted((key_of(node.multihash), node) for node in self.nodes)
        self._tables: dict[PeerId, RoutingTable] = {}

    def dies(self, share: float) -> None:
        """Let a share of the nodes go, unknown to the others."""
        self.dead = set(self.random.sample(self.nodes, int(share * len(self.nodes))))

    def conspire(self, sybils: Iterable[PeerId]) -> None:
        """Let these nodes lie from now on."""
        self.sybils = list(sybils)

    def live(self) -> list[PeerId]:
        """Return the honest nodes that are there."""
        return [node for node in self.nodes if node not in self.dead and node not in self.sybils]

    def walk(self, start: PeerId, target: bytes, *, paths: int) -> Walk:
        """Run the lookup of one node."""
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
                takes_ms = (
                    DEAD_MS
                    if it.peer_id in self.dead
                    else self.random.expovariate(1 / ROUND_TRIP_MS_MEAN)
                )
                heappush(arrivals, (now_ms + takes_ms, len(asked), it.peer_id))
            if lookup.is_done:
                break
            now_ms, _, peer_id = heappop(arrivals)
            if peer_id in self.dead:
                lookup.failed(peer_id)
                continue
            told = self._answer(peer_id, key)
            for other in told:
                hops.setdefault(other, hops.get(peer_id, 1) + 1)
            lookup.answered(peer_id, map(PeerAddress, told))
        closest = tuple(it.peer_id for it in lookup.closest(K))
        return Walk(tuple(asked), closest, hops.get(closest[0], 1) if closest else 0, now_ms)

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
