"""One peer of a fetch: what it was asked and owes us, and how fast it gives."""

import math
from collections.abc import Iterator
from itertools import takewhile
from typing import Final, NamedTuple

from ipfs.bitswap.messages import WantType
from ipfs.cid import CID

REQUESTS_MAX: Final = 64
"""Blocks asked of one peer at a time: 16 MiB of usual leaves, a second of a fast link."""

REQUESTS_AT_FIRST: Final = 8
REQUESTS_MIN: Final = 2
"""One on its way, and one to follow at once."""

HORIZON_SECONDS: Final = 1.0
"""A peer is asked for what it gives in so long: more than a round trip, little to lose with it."""

QUEUED_SECONDS_MAX: Final = 300.0
"""How long a peer may say that our blocks are queued and not send any: ten optimistic turns."""

PASSED_OVER_MAX: Final = 2 * REQUESTS_MAX
"""A want goes to the next peer when this one has sent so many later blocks before it."""


class _Request(NamedTuple):
    """When a peer was asked, and how many blocks it had sent by then."""

    asked_at_s: float
    after_blocks: int


class Supplier:
    """What is known of one peer. It owes an answer to each request, and to some of them a block.

    is_promising:  it had something of this DAG, so that it is asked for blocks directly
    """

    def __init__(self, now_s: float) -> None:
        self.is_promising = False
        self._heard_at_s = now_s
        self._queued_since_s: float | None = None
        self._blocks_sent = 0
        self._owed: dict[CID, _Request] = {}
        self._blocks_owed: dict[CID, None] = {}
        self._rate_per_second = 0.0
        self._measured_at_s = now_s

    def ask(self, cid: CID, want_type: WantType, now_s: float) -> None:
        """Take note of a request."""
        # A peer that has not answered whether it has the block owes that answer still.
        self._owed.setdefault(cid, _Request(now_s, self._blocks_sent))
        if want_type is WantType.BLOCK:
            if not self._blocks_owed:
                # While nothing was asked of it, it was not slow.
                self._measured_at_s = now_s
            self._blocks_owed[cid] = None

    def release(self, cid: CID) -> bool:
        """Let it owe this no more; return whether it did."""
        self._blocks_owed.pop(cid, None)
        return self._owed.pop(cid, None) is not None

    def answered(self, cid: CID, now_s: float) -> None:
        """Take note that it said whether it has a block, if it was asked."""
        if self.release(cid):
            self._heard_at_s = now_s

    def gave(self, cid: CID, now_s: float) -> None:
        """Take note of a block from it."""
        self.is_promising = True
        if not self.release(cid):
            return
        self._heard_at_s = now_s
        self._queued_since_s = None
        self._blocks_sent += 1
        self._rate_per_second = self.blocks_per_second(now_s) + 1 / HORIZON_SECONDS
        self._measured_at_s = now_s

    def queues(self, now_s: float) -> None:
        """Take note that it has blocks queued for us: it is busy, not silent, for a time."""
        if self._queued_since_s is None:
            self._queued_since_s = now_s
        if now_s < self._queued_since_s + QUEUED_SECONDS_MAX:
            self._heard_at_s = now_s

    def blocks_per_second(self, now_s: float) -> float:
        """Return how fast it gives what it is asked for: a mean in which the past fades."""
        elapsed_s = now_s - self._measured_at_s if self._blocks_owed else 0.0
        return self._rate_per_second * math.exp(-elapsed_s / HORIZON_SECONDS)

    def room(self, now_s: float) -> int:
        """Return how many more blocks to ask of it now: what it owes lasts `HORIZON_SECONDS`."""
        window = REQUESTS_AT_FIRST
        if self._blocks_sent >= REQUESTS_AT_FIRST:
            measured = math.ceil(self.blocks_per_second(now_s) * HORIZON_SECONDS)
            window = min(max(measured, REQUESTS_MIN), REQUESTS_MAX)
        return max(0, window - len(self._blocks_owed))

    def seconds_owed(self, now_s: float) -> float:
        """Return how long it will take to give all it owes, if it goes on as it did."""
        if not self._blocks_owed:
            return 0.0
        return len(self._blocks_owed) / max(self.blocks_per_second(now_s), 1e-9)

    @property
    def blocks_owed(self) -> Iterator[CID]:
        """Iterate over the blocks it owes, from the one asked last."""
        return reversed(self._blocks_owed)

    @property
    def has_given(self) -> bool:
        """Whether any block came from it that it was asked for."""
        return self._blocks_sent > 0

    @property
    def is_idle(self) -> bool:
        """Whether it has given what it was asked for, and something at all."""
        return self.has_given and not self._blocks_owed

    @property
    def owed(self) -> tuple[CID, ...]:
        """Return what it owes an answer to, oldest first."""
        return tuple(self._owed)

    @property
    def silent_since_s(self) -> float | None:
        """The moment it began to owe something without saying anything, None if it owes nothing."""
        oldest = next(iter(self._owed.values()), None)
        return max(self._heard_at_s, oldest.asked_at_s) if oldest else None

    @property
    def passed_over(self) -> list[CID]:
        """Return what it owes while it sends what it was asked for later."""
        due = self._blocks_sent - PASSED_OVER_MAX
        return list(takewhile(lambda cid: self._owed[cid].after_blocks <= due, self._owed))
