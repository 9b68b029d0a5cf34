"""A swarm whose peers choke each other by the code that our node runs, second by second.

What is left out: pieces (everybody always has something that everybody else wants), distance, and
limits of download. What remains is who is given how much by whom.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random

from ipfs.bitswap.choking import REGULAR_SLOTS, Choker
from ipfs.p2p.peer_id import PeerId
from tests.support.kad import peer


@dataclass(frozen=True, slots=True)
class Member:
    """A peer to be: a free-rider uploads nothing, whatever the others think that it could."""

    upload_bytes_per_second: float
    joins_at_s: int = 0


@dataclass(slots=True)
class Peer:
    """A peer in the swarm, and what each second brought it."""

    peer_id: PeerId
    member: Member
    choker: Choker
    received_bytes: list[float] = field(default_factory=list)

    @property
    def is_free_rider(self) -> bool:
        return self.member.upload_bytes_per_second == 0

    def download_bytes_per_second(self, from_s: int, to_s: int) -> float:
        """Return the mean over some seconds of the swarm's life."""
        return sum(self.received_bytes[from_s:to_s]) / (to_s - from_s)


def run_swarm(
    members: Sequence[Member], *, seconds: int, seed: int, regular_slots: int = REGULAR_SLOTS
) -> list[Peer]:
    """Let the members exchange for so long; the same seed gives the same history."""
    peers = [
        Peer(
            peer(number),
            member,
            Choker(random=Random(f"{seed}/{number}"), regular_slots=regular_slots),
        )
        for number, member in enumerate(members)
    ]
    by_id = {it.peer_id: it for it in peers}
    for now_s in range(seconds):
        present = [it for it in peers if it.member.joins_at_s <= now_s]
        for it in peers:
            it.received_bytes.append(0.0)
        for giver in present:
            if giver.is_free_rider:
                continue
            if now_s >= giver.choker.next_decision_s:
                # In the order of joining: chance is the seed's alone.
                waiting = {it.peer_id: None for it in present if it is not giver}
                giver.choker.decide(now_s, waiting.keys())
            takers = sorted(giver.choker.unchoked, key=lambda it: it.multihash)
            for peer_id in takers:
                share_bytes = giver.member.upload_bytes_per_second / len(takers)
                by_id[peer_id].received_bytes[now_s] += share_bytes
                by_id[peer_id].choker.received(giver.peer_id, int(share_bytes), now_s)
    return peers
