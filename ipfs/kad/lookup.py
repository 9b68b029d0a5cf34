"""The walk towards a key: ask the nearest peers known for nearer ones, until nobody knows any."""

from bisect import insort
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum, auto
from itertools import islice

from ipfs.host import PeerAddress
from ipfs.kad.keyspace import Key, distance, key_of
from ipfs.p2p.multiaddr import Multiaddr
from ipfs.p2p.peer_id import PeerId

ADDRESSES_MAX = 32
"""Addresses kept for one candidate, whoever told them."""


class _Stage(Enum):
    HEARD = auto()
    ASKED = auto()
    ANSWERED = auto()
    FAILED = auto()


@dataclass(slots=True)
class _Candidate:
    peer_id: PeerId
    addresses: dict[Multiaddr, None]
    stage: _Stage = _Stage.HEARD

    @property
    def peer(self) -> PeerAddress:
        return PeerAddress(self.peer_id, tuple(self.addresses))


class Lookup:
    """Which peers to ask next, and when to stop. Each is asked at most once.

        HEARD --next_peers()--> ASKED --answered()--> ANSWERED
                                      --failed()----> FAILED

    Over once the `beta` nearest peers that have not failed have all answered, or `asks_max` were
    asked. With beta = k a peer that nobody near the key knows is the only one that can be missed.
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
    ) -> None:
        self._target = target
        self._own = own
        self._alpha = alpha
        self._beta = beta
        self._asks_left = asks_max
        self._in_flight = 0
        self._candidates: dict[int, _Candidate] = {}
        self._distances: list[int] = []
        self._hear(seeds)

    @property
    def is_done(self) -> bool:
        """Whether there is nothing left to ask or to wait for."""
        if not self._asks_left and not self._in_flight:
            return True
        return all(it.stage is _Stage.ANSWERED for it in islice(self._live(), self._beta))

    def next_peers(self) -> list[PeerAddress]:
        """Return whom to ask now; each must come back by `answered` or `failed`."""
        places = min(self._alpha - self._in_flight, self._asks_left)
        nearest = islice(self._live(), self._beta)
        chosen = list(islice((it for it in nearest if it.stage is _Stage.HEARD), places))
        for candidate in chosen:
            candidate.stage = _Stage.ASKED
        self._in_flight += len(chosen)
        self._asks_left -= len(chosen)
        return [candidate.peer for candidate in chosen]

    def answered(self, peer_id: PeerId, closer_peers: Iterable[PeerAddress]) -> None:
        """Take the answer of a peer that was asked."""
        self._settle(peer_id, _Stage.ANSWERED)
        self._hear(closer_peers)

    def failed(self, peer_id: PeerId) -> None:
        """Take note that a peer that was asked did not answer as it should."""
        self._settle(peer_id, _Stage.FAILED)

    def closest(self, count_max: int) -> list[PeerAddress]:
        """Return the nearest peers that answered, nearest first."""
        answered = (it.peer for it in self._live() if it.stage is _Stage.ANSWERED)
        return list(islice(answered, count_max))

    def _live(self) -> Iterator[_Candidate]:
        for far in self._distances:
            candidate = self._candidates[far]
            if candidate.stage is not _Stage.FAILED:
                yield candidate

    def _hear(self, peers: Iterable[PeerAddress]) -> None:
        for peer in peers:
            if peer.peer_id == self._own:
                continue
            far = self._distance(peer.peer_id)
            if far not in self._candidates:
                self._candidates[far] = _Candidate(peer.peer_id, {})
                insort(self._distances, far)
            addresses = self._candidates[far].addresses
            room = ADDRESSES_MAX - len(addresses)
            addresses.update(dict.fromkeys(peer.addresses[: max(room, 0)]))

    def _settle(self, peer_id: PeerId, stage: _Stage) -> None:
        candidate = self._candidates[self._distance(peer_id)]
        assert candidate.stage is _Stage.ASKED, "only who was asked answers"
        candidate.stage = stage
        self._in_flight -= 1

    def _distance(self, peer_id: PeerId) -> int:
        return distance(self._target, key_of(peer_id.multihash))
