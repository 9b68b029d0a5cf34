"""What the connections of one host hold together, and how fast a peer may ask."""

from dataclasses import dataclass
from typing import Final

from ipfs.p2p.limits import NetworkLimits

BUFFER_BYTES_MAX: Final = 4 * 1024 * 1024
"""No buffer of a connection or a message is larger."""


def keep_freed_buffers() -> None:
    """Have the process use the memory of freed buffers again.

    glibc has the kernel make memory for each one over 128 KiB, page by page, until one is freed;
    from then on it keeps what is no larger (`mallopt(3)`, M_MMAP_THRESHOLD). Harmless elsewhere.
    """
    freed_at_once = bytearray(BUFFER_BYTES_MAX)
    del freed_at_once


@dataclass(slots=True)
class MemoryBudget:
    """Bytes of all connections: what nobody has read yet, and what windows have grown by."""

    limits: NetworkLimits
    held_bytes: int = 0
    grown_bytes: int = 0

    @property
    def growth_left_bytes(self) -> int:
        """By how much windows may still grow."""
        return self.limits.growth_bytes_max - self.grown_bytes

    @property
    def is_overdrawn(self) -> bool:
        """Whether more is held than may be."""
        return self.held_bytes > self.limits.held_bytes_max


class Rate:
    """So many a second, and so many at once after a pause (a token bucket). Reads no clock."""

    def __init__(self, *, per_second: float, burst: int) -> None:
        self._per_second = per_second
        self._burst = burst
        self._left = float(burst)
        self._since_s: float | None = None

    def take(self, count: int, now_s: float) -> bool:
        """Take so many, or none and return False if they are not left."""
        if self._since_s is not None:
            gained = (now_s - self._since_s) * self._per_second
            self._left = min(self._burst, self._left + gained)
        self._since_s = now_s
        if count > self._left:
            return False
        self._left -= count
        return True
