"""The port to whoever does work beside the caller: a pool of threads, or nobody."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Generic, Protocol, TypeVar

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class Outcome(Protocol[T_co]):
    """The result of some work, sooner or later."""

    def result(self) -> T_co:
        """Return it when it is there, or raise what the work raised."""


class Workers(Protocol):
    """Do work beside the caller, as `concurrent.futures.ThreadPoolExecutor` does."""

    def submit(self, work: Callable[..., T], /, *arguments: object) -> Outcome[T]:
        """Begin `work(*arguments)`."""


@dataclass(frozen=True, slots=True)
class Done(Generic[T]):
    """A result that is there already."""

    value: T

    def result(self) -> T:
        """Return it."""
        return self.value


class _Inline:
    def submit(self, work: Callable[..., T], /, *arguments: object) -> Outcome[T]:
        return Done(work(*arguments))


INLINE: Final[Workers] = _Inline()
"""Nobody: the caller does the work when it asks for it."""
