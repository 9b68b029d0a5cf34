"""The peers that a node can start a lookup from: many near its own key, a few everywhere else."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from heapq import nsmallest

from ipfs.kad.keyspace import Key, distance, key_of, shared_prefix_bits
from ipfs.kad.reach import Network
from ipfs.p2p.peer_id import PeerId


@dataclass(frozen=True, slots=True)
class _Member:
    heard_at: float
    networks: frozenset[Network]


@dataclass(slots=True)
class _Bucket:
    """Peers by when they were last heard, the longest silent first; `waiting` hope for a place."""

    live: dict[PeerId, _Member] = field(default_factory=dict)
    waiting: dict[PeerId, _Member] = field(default_factory=dict)


class RoutingTable:
    """At most `k` live peers for each length of prefix shared with our own key.

    Who answers stays: a newcomer to a full bucket waits until a peer there fails, so nobody
    can push out peers that work. Few are of one network, so that nobody who owns addresses of
    only some fills the table. Knows no clock; `now` is seconds on the caller's.
    """

    def __init__(
        self, own: PeerId, *, k: int, per_network_max: int = 3, per_network_and_bucket_max: int = 2
    ) -> None:
        self._own = own
        self._own_key = key_of(own.multihash)
        self._k = k
        self._per_network_max = per_network_max
        self._per_network_and_bucket_max = per_network_and_bucket_max
        self._buckets: dict[int, _Bucket] = {}

    def __len__(self) -> int:
        return sum(len(bucket.live) for bucket in self._buckets.values())

    def __iter__(self) -> Iterator[PeerId]:
        for bucket in self._buckets.values():
            yield from bucket.live

    def __contains__(self, peer_id: PeerId) -> bool:
        bucket = self._buckets.get(self._index(peer_id))
        return bucket is not None and peer_id in bucket.live

    def heard(
        self, peer_id: PeerId, now: float, *, networks: frozenset[Network] = frozenset()
    ) -> bool:
        """Take note that a server answered, from somewhere in these public networks.

        Returns whether it is in the table. We never are.
        """
        if peer_id == self._own:
            return False
        bucket = self._buckets.get(self._index(peer_id), _Bucket())
        old = bucket.live.pop(peer_id, None)
        if old is not None:
            bucket.live[peer_id] = _Member(now, old.networks)
            return True
        if self._is_crowded(bucket, networks):
            return False
        if len(bucket.live) < self._k:
            self._buckets[self._index(peer_id)] = bucket
            bucket.live[peer_id] = _Member(now, networks)
            return True
        bucket.waiting.pop(peer_id, None)
        bucket.waiting[peer_id] = _Member(now, networks)
        if len(bucket.waiting) > self._k:
            del bucket.waiting[next(iter(bucket.waiting))]
        return False

    def remove(self, peer_id: PeerId) -> None:
        """Take a peer out; of those who wait, the one heard last that may moves in."""
        index = self._index(peer_id)
        bucket = self._buckets.get(index)
        if bucket is None:
            return
        bucket.waiting.pop(peer_id, None)
        if bucket.live.pop(peer_id, None) is not None:
            for newcomer, member in reversed(bucket.waiting.items()):
                if not self._is_crowded(bucket, member.networks):
                    bucket.live[newcomer] = bucket.waiting.pop(newcomer)
                    break
        if not bucket.live:
            del self._buckets[index]

    def closest(self, target: Key, count_max: int) -> list[PeerId]:
        """Return the peers nearest to a key, nearest first."""
        return nsmallest(count_max, self, key=lambda peer: distance(target, key_of(peer.multihash)))

    def silent_since(self, moment: float) -> list[PeerId]:
        """Return the peers that were last heard before that moment."""
        return [
            peer_id
            for bucket in self._buckets.values()
            for peer_id, member in bucket.live.items()
            if member.heard_at < moment
        ]

    @property
    def depth(self) -> int:
        """The longest prefix that any peer shares with us, in bits; 0 in an empty table."""
        return max(self._buckets, default=0)

    def _is_crowded(self, bucket: _Bucket, networks: frozenset[Network]) -> bool:
        """Whether one more peer of these networks is one too many."""
        if not networks:
            return False
        here = _count_networks([bucket])
        everywhere = _count_networks(self._buckets.values())
        return any(
            here[network] >= self._per_network_and_bucket_max
            or everywhere[network] >= self._per_network_max
            for network in networks
        )

    def _index(self, peer_id: PeerId) -> int:
        return shared_prefix_bits(self._own_key, key_of(peer_id.multihash))


def _count_networks(buckets: Iterable[_Bucket]) -> Counter[Network]:
    return Counter(
        network
        for bucket in buckets
        for member in bucket.live.values()
        for network in member.networks
    )
