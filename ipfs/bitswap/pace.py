"""A steady rate with room for a burst: how long to wait so that it isn't exceeded."""


class Pace:
    """Amounts that are spent over time; reads no clock (a virtual scheduling algorithm, GCRA).

    per_second:  the rate that holds in the long run
    burst:       what may be spent at once after a pause
    """

    def __init__(self, *, per_second: float, burst: float) -> None:
        self._per_second = per_second
        self._burst_s = burst / per_second
        self._spent_until_s: float | None = None

    def spend(self, amount: float, now_s: float) -> float:
        """Take note of an amount; return the seconds to wait until the rate holds again."""
        if self._spent_until_s is None or self._spent_until_s < now_s:
            self._spent_until_s = now_s
        self._spent_until_s += amount / self._per_second
        return max(0.0, self._spent_until_s - now_s - self._burst_s)
