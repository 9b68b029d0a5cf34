"""Whom to send blocks where upload is scarce: BitTorrent's choking.

After Bram Cohen, *Incentives Build Robustness in BitTorrent* (2003), section 3: a few peers at a
time are *unchoked*, namely those that gave us most over the last 20 seconds, decided anew every
10; one more, the *optimistic* one, is drawn every 30 seconds among the rest, so that whoever is
new can show what it has to give. A slot that nobody has earned is one more optimistic one: that
is also what anti-snubbing comes to, as a peer that stops giving has earned nothing 20 seconds
later, and it serves everybody in turn where we are not given anything at all.

In front of this come peers with a priority: a deal's client, a peer that pays.

Does no I/O and reads no clock: time is an argument, and so is chance.
"""

from collections import deque
from collections.abc import Callable, Collection
from random import Random
from typing import Final

from ipfs.p2p.peer_id import PeerId

RATE_SECONDS: Final = 20.0
DECISION_SECONDS: Final = 10.0
OPTIMISTIC_SECONDS: Final = 30.0

REGULAR_SLOTS: Final = 4
"""Cohen's default, besides the optimistic one: few enough that each of them feels it."""

NEWCOMER_SECONDS: Final = 60.0
NEWCOMER_WEIGHT: Final = 3
"""A peer that we have just met is as likely to be drawn as three others (BEP 3)."""


def no_priority(_: PeerId) -> int:
    """Put nobody first."""
    return 0


class Gifts:
    """What a peer gave over the last `RATE_SECONDS`."""

    def __init__(self) -> None:
        self._given: deque[tuple[float, int]] = deque()
        self._sum_bytes = 0

    def add(self, size_bytes: int, now_s: float) -> None:
        """Take note of bytes that have just come."""
        self._given.append((now_s, size_bytes))
        self._sum_bytes += size_bytes
        self.size_bytes(now_s)

    def size_bytes(self, now_s: float) -> int:
        """Return what came within the window that ends now."""
        while self._given and self._given[0][0] <= now_s - RATE_SECONDS:
            self._sum_bytes -= self._given.popleft()[1]
        return self._sum_bytes


class Choker:
    """Decides who is unchoked.

        decide(now, waiting) every now and then, at least whenever `next_decision_s` has come

    regular_slots:  peers unchoked for what they gave; one more is always optimistic
    priority_of:    0 for a peer like any other; of two that have one, the higher comes first
    """

    def __init__(
        self,
        *,
        random: Random,
        regular_slots: int = REGULAR_SLOTS,
        priority_of: Callable[[PeerId], int] = no_priority,
    ) -> None:
        self._random = random
        self._regular_slots = regular_slots
        self._priority_of = priority_of
        self._gifts: dict[PeerId, Gifts] = {}
        self._met_at_s: dict[PeerId, float] = {}
        self._regular: list[PeerId] = []
        self._optimistic: list[PeerId] = []
        self._decide_at_s = float("-inf")
        self._rotate_at_s = float("-inf")

    def received(self, peer_id: PeerId, size_bytes: int, now_s: float) -> None:
        """Take note of bytes that we wanted and a peer gave."""
        self._gifts.setdefault(peer_id, Gifts()).add(size_bytes, now_s)

    def forget(self, peer_id: PeerId) -> None:
        """Free all that is held for a peer."""
        self._gifts.pop(peer_id, None)
        self._met_at_s.pop(peer_id, None)

    def decide(self, now_s: float, waiting: Collection[PeerId]) -> frozenset[PeerId]:
        """Return who is unchoked from now on, of the peers that wait for blocks.

        Until `next_decision_s` only places are filled that have become free.
        """
        for peer_id in waiting:
            self._met_at_s.setdefault(peer_id, now_s)
        self._regular = [peer_id for peer_id in self._regular if peer_id in waiting]
        self._optimistic = [peer_id for peer_id in self._optimistic if peer_id in waiting]
        is_due = now_s >= self._decide_at_s
        if is_due:
            self._decide_at_s = now_s + DECISION_SECONDS
        if is_due or len(self._regular) < self._regular_slots:
            self._fill_regular(now_s, waiting, keep=() if is_due else self._regular)
        if now_s >= self._rotate_at_s:
            self._optimistic = []
            self._rotate_at_s = now_s + OPTIMISTIC_SECONDS
        self._fill_optimistic(now_s, waiting)
        return self.unchoked

    @property
    def unchoked(self) -> frozenset[PeerId]:
        """Who may be sent blocks, as last decided."""
        return frozenset((*self._regular, *self._optimistic))

    @property
    def next_decision_s(self) -> float:
        """When to decide next at the latest."""
        return min(self._decide_at_s, self._rotate_at_s)

    def _fill_regular(
        self, now_s: float, waiting: Collection[PeerId], *, keep: Collection[PeerId]
    ) -> None:
        earned = {
            peer_id: merit
            for peer_id in waiting
            if peer_id not in keep and max(merit := self._merit(peer_id, now_s)) > 0
        }
        best = sorted(earned, key=lambda peer_id: earned[peer_id], reverse=True)
        self._regular = [*keep, *best][: self._regular_slots]

    def _fill_optimistic(self, now_s: float, waiting: Collection[PeerId]) -> None:
        """Draw until there is one, and one for each place that nobody has earned."""
        self._optimistic = [it for it in self._optimistic if it not in self._regular]
        places = 1 + self._regular_slots - len(self._regular)
        choked = [it for it in waiting if it not in self._regular and it not in self._optimistic]
        while choked and len(self._optimistic) < places:
            weights = [self._weight(peer_id, now_s) for peer_id in choked]
            [drawn] = self._random.choices(range(len(choked)), weights)
            self._optimistic.append(choked.pop(drawn))
        del self._optimistic[places:]

    def _merit(self, peer_id: PeerId, now_s: float) -> tuple[int, int]:
        gifts = self._gifts.get(peer_id)
        return self._priority_of(peer_id), gifts.size_bytes(now_s) if gifts else 0

    def _weight(self, peer_id: PeerId, now_s: float) -> int:
        is_new = now_s - self._met_at_s[peer_id] < NEWCOMER_SECONDS
        return NEWCOMER_WEIGHT if is_new else 1
