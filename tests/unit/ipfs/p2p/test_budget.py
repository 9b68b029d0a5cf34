"""A rate lets through what it says, over any stretch of time."""

from hypothesis import given
from hypothesis import strategies as st

from ipfs.p2p.budget import Rate

steps = st.lists(st.tuples(st.floats(0, 10), st.integers(0, 8)), max_size=50)


@given(steps, st.integers(1, 10), st.integers(1, 10))
def test_never_more_than_the_burst_and_what_time_gives(
    asked: list[tuple[float, int]], per_second: int, burst: int
) -> None:
    rate = Rate(per_second=per_second, burst=burst)
    now_s = taken = 0.0
    for pause_s, count in asked:
        now_s += pause_s
        if rate.take(count, now_s):
            taken += count
        assert taken <= burst + now_s * per_second + 1e-6


@given(steps, st.integers(1, 10), st.integers(8, 10))
def test_after_a_long_pause_a_burst_is_let_through(
    asked: list[tuple[float, int]], per_second: int, burst: int
) -> None:
    rate = Rate(per_second=per_second, burst=burst)
    now_s = 0.0
    for pause_s, count in asked:
        now_s += pause_s
        rate.take(count, now_s)
    assert rate.take(burst, now_s + burst / per_second + 1e-6)
    assert not rate.take(burst, now_s + burst / per_second + 1e-6)
