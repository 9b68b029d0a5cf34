"""What a call costs, in figures that are the same on every machine, however busy."""

import sys
import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass
from types import FrameType
from typing import Final

_CALLS_MAX: Final = 5_000
"""Some 2 ms on this project's machines; an attack that is worth it costs millions."""

_BYTES_MAX: Final = 8 << 20


@dataclass(frozen=True, slots=True)
class Cost:
    """call_count: of functions, Python's and C's; peak_bytes: of memory, at once."""

    call_count: int
    peak_bytes: int

    @property
    def is_little(self) -> bool:
        """Whether a stranger may cause it with each message: 50 ms and 8 MiB are the bounds."""
        return self.call_count < _CALLS_MAX and self.peak_bytes < _BYTES_MAX


def cost_of(act: Callable[[], object]) -> Cost:
    """Return what `act` costs, which is called twice: counting calls takes memory itself."""
    return Cost(_call_count(act), _peak_bytes(act))


def _call_count(act: Callable[[], object]) -> int:
    count, before = 0, sys.getprofile()

    def note(_frame: FrameType, event: str, _argument: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(note)
    try:
        act()
    finally:
        sys.setprofile(before)
    return count


def _peak_bytes(act: Callable[[], object]) -> int:
    tracemalloc.start()
    try:
        act()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
