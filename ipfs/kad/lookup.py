"""The walk towards a key: ask the nearest peers known for nearer ones, until nobody knows any."""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import Enum, auto
from itertools import islice

from ipfs.host import PeerAddress
from ipfs.kad.keyspace import Key, distance, key_of
from ipfs.kad.reach import Network, networks_of, take_addresses
from ipfs.p2p.multiaddr import Multiaddr
from ipfs.p2p.peer_id import PeerId


class _Stage(Enum):
    HEARD = auto()
    ASKED = auto()
    ANSWERED = auto()
    FAILED = auto()


@dataclass(slots=True)
class _Path:
    """Whom the peers asked on one path have told of, by distance; how many are asked just now."""

    distances: list[int] = field(default_factory=list)
    in_flight: int = 0


@dataclass(slots=True)
class _Candidate:
    peer_id: PeerId
    addresses: dict[Multiaddr, None] = field(default_factory=dict)
    networks: frozenset[Network] = frozenset()
    """Those that its addresses are said to be of."""
    stage: _Stage = _Stage.HEARD
    path: _Path | None = None
    """The one that it was asked on, which alone hears what it answers."""

    @property
    def peer(self) -> PeerAddress:
        return PeerAddress(self.peer_id, tuple(self.addresses))


class Lookup:
    """Which peers to ask next, and when to stop. Each is asked at most once.

        HEARD --next_peers()--> ASKED --answered()--> ANSWERED
                                      --failed()----> FAILED

    Walks several disjoint paths from different seeds: a liar misleads only the path that asked it
    (S/Kademlia, 4.4), while who answered on one path need not be asked again on another. Of one
    public network few answers count, so that a crowd of ids around the target ends where its
    owner's addresses do.
    Over once on every path the `beta` nearest peers that have not failed have all answered, or
    `asks_max` were asked. With beta = k a peer that nobody near the key knows is the only one that
    can be missed.
    """

    def __init__(
        self,
        target: Key,
        seeds: Iterable[PeerAddress],
        *,
        own: PeerId,
        alpha: int,
        beta: int,
        asks_max: int,
        paths: int = 1,
        per_network_max: int = 3,
    ) -> None:
        self._target = target
        self._own = own
        self._alpha = alpha
        self._beta = beta
        self._asks_left = asks_max
        self._candidates: dict[int, _Candidate] = {}
        self._per_network_max = per_network_max
        self._answers_of: Counter[Network] = Counter()
        self._paths = [_Path() for _ in range(paths)]
        for index, seed in enumerate(seeds):
            self._hear(self._paths[index % paths], [seed])

    @property
    def is_done(self) -> bool:
        """Whether there is nothing left to ask or to wait for."""
        if not self._asks_left and not self._in_flight:
            return True
        return all(
            candidate.stage is _Stage.ANSWERED
            for path in self._paths
            for candidate in islice(self._live(path.distances), self._beta)
        )

    def next_peers(self) -> list[PeerAddress]:
        """Return whom to ask now; each must come back by `answered` or `failed`."""
        chosen: list[PeerAddress] = []
        while self._in_flight < self._alpha and self._asks_left:
            for path in sorted(self._paths, key=lambda path: path.in_flight):
                if (candidate := self._next_on(path)) is not None:
                    break
            else:
                break
            candidate.stage, candidate.path = _Stage.ASKED, path
            path.in_flight += 1
            self._asks_left -= 1
            chosen.append(candidate.peer)
        return chosen

    def answered(
        self,
        peer_id: PeerId,
        closer_peers: Iterable[PeerAddress],
        *,
        networks: frozenset[Network] = frozenset(),
    ) -> bool:
        """Take the answer of a peer that was asked; return whether it counts.

        networks:  the public ones that it was reached in
        """
        if self._has_heard_enough_of(networks):
            self.failed(peer_id)
            return False
        self._answers_of.update(networks)
        self._hear(self._settle(peer_id, _Stage.ANSWERED), closer_peers)
        return True

    def failed(self, peer_id: PeerId) -> None:
        """Take note that a peer that was asked did not answer as it should."""
        self._settle(peer_id, _Stage.FAILED)

    def closest(self, count_max: int) -> list[PeerAddress]:
        """Return the nearest peers that answered, nearest first."""
        live = self._live(sorted(self._candidates))
        return list(islice((it.peer for it in live if it.stage is _Stage.ANSWERED), count_max))

    @property
    def _in_flight(self) -> int:
        return sum(path.in_flight for path in self._paths)

    def _next_on(self, path: _Path) -> _Candidate | None:
        nearest = islice(self._live(path.distances), self._beta)
        return next((it for it in nearest if it.stage is _Stage.HEARD), None)

    def _live(self, distances: Iterable[int]) -> Iterator[_Candidate]:
        for far in distances:
            candidate = self._candidates[far]
            if candidate.stage is not _Stage.FAILED and not self._is_shunned(candidate):
                yield candidate

    def _is_shunned(self, candidate: _Candidate) -> bool:
        """Whether to leave it unasked, unless it turns out to live elsewhere as well."""
        return (
            candidate.stage is _Stage.HEARD
            and bool(candidate.networks)
            and all(self._has_heard_enough_of({network}) for network in candidate.networks)
        )

    def _has_heard_enough_of(self, networks: Iterable[Network]) -> bool:
        return any(self._answers_of[network] >= self._per_network_max for network in networks)

    def _hear(self, path: _Path, peers: Iterable[PeerAddress]) -> None:
        for peer in peers:
            if peer.peer_id == self._own:
                continue
            far = self._distance(peer.peer_id)
            place = bisect_left(path.distances, far)
            if path.distances[place : place + 1] != [far]:
                path.distances.insert(place, far)
            candidate = self._candidates.setdefault(far, _Candidate(peer.peer_id))
            candidate.networks |= networks_of(take_addresses(candidate.addresses, peer.addresses))

    def _settle(self, peer_id: PeerId, stage: _Stage) -> _Path:
        candidate = self._candidates[self._distance(peer_id)]
        assert candidate.stage is _Stage.ASKED, "only who was asked answers"
        assert candidate.path is not None, "who was asked was asked on a path"
        candidate.stage = stage
        candidate.path.in_flight -= 1
        return candidate.path

    def _distance(self, peer_id: PeerId) -> int:
        return distance(self._target, key_of(peer_id.multihash))
