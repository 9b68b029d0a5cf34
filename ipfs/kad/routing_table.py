"""The peers that a node can start a lookup from: many near its own key, a few everywhere else."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from heapq import nsmallest

from ipfs.kad.keyspace import Key, distance, key_of, shared_prefix_bits
from ipfs.p2p.peer_id import PeerId


@dataclass(slots=True)
class _Bucket:
    """Peers by when they were last heard, the longest silent first; `waiting` hope for a place."""

    live: dict[PeerId, float] = field(default_factory=dict)
    waiting: dict[PeerId, float] = field(default_factory=dict)


class RoutingTable:
    """At most `k` live peers for each length of prefix shared with our own key.

    Who answers stays: a newcomer to a full bucket waits until a peer there fails, so nobody
    can push out peers that work. Knows no clock; `now` is seconds on the caller's.
    """

    def __init__(self, own: PeerId, *, k: int) -> None:
        self._own = own
        self._own_key = key_of(own.multihash)
        self._k = k
        self._buckets: dict[int, _Bucket] = {}

    def __len__(self) -> int:
        return sum(len(bucket.live) for bucket in self._buckets.values())

    def __iter__(self) -> Iterator[PeerId]:
        for bucket in self._buckets.values():
            yield from bucket.live

    def __contains__(self, peer_id: PeerId) -> bool:
        bucket = self._buckets.get(self._index(peer_id))
        return bucket is not None and peer_id in bucket.live

    def heard(self, peer_id: PeerId, now: float) -> bool:
        """Take note that a server lives; return whether it is in the table. We never are."""
        if peer_id == self._own:
            return False
        bucket = self._buckets.setdefault(self._index(peer_id), _Bucket())
        if peer_id in bucket.live or len(bucket.live) < self._k:
            bucket.live.pop(peer_id, None)
            bucket.live[peer_id] = now
            return True
        bucket.waiting.pop(peer_id, None)
        bucket.waiting[peer_id] = now
        if len(bucket.waiting) > self._k:
            del bucket.waiting[next(iter(bucket.waiting))]
        return False

    def remove(self, peer_id: PeerId) -> None:
        """Take a peer out; whoever waits for its place and was heard last moves in."""
        index = self._index(peer_id)
        bucket = self._buckets.get(index)
        if bucket is None:
            return
        bucket.waiting.pop(peer_id, None)
        if bucket.live.pop(peer_id, None) is not None and bucket.waiting:
            newcomer, heard_at = bucket.waiting.popitem()
            bucket.live[newcomer] = heard_at
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
            for peer_id, heard_at in bucket.live.items()
            if heard_at < moment
        ]

    @property
    def depth(self) -> int:
        """The longest prefix that any peer shares with us, in bits; 0 in an empty table."""
        return max(self._buckets, default=0)

    def _index(self, peer_id: PeerId) -> int:
        return shared_prefix_bits(self._own_key, key_of(peer_id.multihash))
