"""An event loop whose clock no load makes run: no test is a race against the machine it runs on."""

import asyncio
import selectors
import time
from collections.abc import Callable
from typing import Final

TURN_SECONDS_MAX: Final = 0.005


class UnhurriedLoop(asyncio.SelectorEventLoop):
    """Its clock moves on by no more than 5 ms in each of its turns, however long one took.

    Who was held for two seconds, or shares its core with ten others, finds its timers as far off
    as they were: no peer is called silent that was not let speak.
    """

    def __init__(self) -> None:
        self._now_seconds = 0.0
        self._seen_seconds = time.monotonic()
        super().__init__(_Turns(self._pass))

    def time(self) -> float:
        """Return the time of this turn."""
        return self._now_seconds

    def _pass(self) -> None:
        before, self._seen_seconds = self._seen_seconds, time.monotonic()
        self._now_seconds += min(self._seen_seconds - before, TURN_SECONDS_MAX)


class _Turns(selectors.DefaultSelector):
    """Waits no longer than a turn may last for anybody whose time is to come."""

    def __init__(self, on_turn: Callable[[], None]) -> None:
        super().__init__()
        self._on_turn = on_turn

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(None if timeout is None else min(timeout, TURN_SECONDS_MAX))
        self._on_turn()
        return ready
