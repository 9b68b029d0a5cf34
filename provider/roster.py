"""Which duties of an agenda to start now, and which to stop: one at a time for each subject."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from chain.units import Epoch
from provider.duties import Duty

RETRY_EPOCHS_MAX: Final = 64
"""A duty that keeps failing is tried again after 1, 2, 4 … and at last this many epochs."""

Key = tuple[type[Duty], frozenset[object]]


@dataclass(frozen=True, slots=True)
class Turn:
    """What changes now: duties to start, and keys of duties that are off the agenda."""

    start: tuple[Duty, ...]
    stop: tuple[Key, ...]


def key_of(duty: Duty) -> Key:
    """Return what makes two duties the same work, whatever else of them has changed."""
    return type(duty), duty.subjects


class Roster:
    """What is under way, and what failed lately; decides, and does nothing.

    limits:  how many duties of a kind may be under way
    """

    def __init__(self, limits: Mapping[type[Duty], int]) -> None:
        self._limits = limits
        self._under_way: dict[Key, Duty] = {}
        self._failures: dict[Key, int] = {}
        self._not_before: dict[Key, Epoch] = {}

    @property
    def under_way(self) -> tuple[Duty, ...]:
        """What is being done now."""
        return tuple(self._under_way.values())

    def turn(self, duties: Iterable[Duty], head_epoch: Epoch) -> Turn:
        """Take the agenda at a head; what is returned to start counts as under way from now."""
        agenda = {key_of(duty): duty for duty in duties}
        stop = tuple(key for key in self._under_way if key not in agenda)
        for forgotten in self._not_before.keys() - agenda.keys():
            del self._not_before[forgotten]
            self._failures.pop(forgotten, None)
        start = []
        for key, duty in agenda.items():
            if self._may_start(key, duty, head_epoch):
                self._under_way[key] = duty
                start.append(duty)
        return Turn(tuple(start), stop)

    def ended(self, duty: Duty, head_epoch: Epoch, *, failed: bool) -> None:
        """Take note that a duty is under way no more; done or not, it has its rest."""
        key = key_of(duty)
        del self._under_way[key]
        failures = self._failures.get(key, 0) + 1 if failed else 0
        self._failures[key] = failures
        rest_epochs = min(2**failures // 2, RETRY_EPOCHS_MAX) if failed else 1
        self._not_before[key] = Epoch(head_epoch + rest_epochs)

    def _may_start(self, key: Key, duty: Duty, head_epoch: Epoch) -> bool:
        if head_epoch < self._not_before.get(key, 0):
            return False
        others = self._under_way.values()
        if any(duty.subjects & other.subjects for other in others):
            return False
        kind = type(duty)
        count = sum(type(other) is kind for other in others)
        return count < self._limits.get(kind, count + 1)
