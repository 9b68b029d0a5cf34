"""L, the unit of every measurement here: one SHA-256 compression as hashlib streams it.

Measured before and after each piece of work, it takes out of the figures how fast the machine is,
and how fast it was just then.
"""

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

_MESSAGE = b"\1" * (1 << 24)


def compression_seconds() -> float:
    """Return what one compression costs now, in seconds of a core."""
    start = time.process_time()
    hashlib.sha256(_MESSAGE)
    return (time.process_time() - start) / (len(_MESSAGE) / 64)


@dataclass(frozen=True)
class Measured:
    """What a piece of work took: medians, and in L the least as well."""

    core_seconds: float
    wall_seconds: float
    units: float
    units_min: float


def measure(work: Callable[[], object], *, repeats: int = 7) -> Measured:
    """Do some work several times, after a first time that doesn't count."""
    work()
    core, wall, units = [], [], []
    for _ in range(repeats):
        before = compression_seconds()
        core_start, wall_start = time.process_time(), time.perf_counter()
        work()
        core.append(time.process_time() - core_start)
        wall.append(time.perf_counter() - wall_start)
        units.append(core[-1] / ((before + compression_seconds()) / 2))
    return Measured(median(core), median(wall), median(units), min(units))
