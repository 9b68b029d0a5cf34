"""Threads that somebody else runs: proofs start none of their own."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Generic, ParamSpec, Protocol, TypeVar

Given = ParamSpec("Given")
Result = TypeVar("Result")
Result_co = TypeVar("Result_co", covariant=True)


class Pending(Protocol[Result_co]):
    """What comes of some work, once it is done."""

    def result(self) -> Result_co:
        """Wait for it; raises what the work raised."""


class Pool(Protocol):
    """Does work beside its caller's, as `concurrent.futures` executors do."""

    def submit(
        self, work: Callable[Given, Result], /, *args: Given.args, **kwargs: Given.kwargs
    ) -> Pending[Result]:
        """Have it done; what it is given must not change until then."""


@dataclass(frozen=True, slots=True)
class _Done(Generic[Result]):
    value: Result

    def result(self) -> Result:
        return self.value


class _Here:
    """The pool without threads: the work is done when it is handed in."""

    def submit(
        self, work: Callable[Given, Result], /, *args: Given.args, **kwargs: Given.kwargs
    ) -> _Done[Result]:
        return _Done(work(*args, **kwargs))


HERE: Final[Pool] = _Here()
