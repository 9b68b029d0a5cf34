"""Epochs by the clock: what the head's time and an epoch's length say, and nothing more."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli.clock import Clock

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
CLOCK = Clock(1_000, int(NOON.timestamp() * 1_000), epoch_seconds=3)


@pytest.fixture
def kathmandu(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Live where the local time is a quarter of an hour off everybody's."""
    with monkeypatch.context() as place:
        place.setenv("TZ", "XXX-5:45")
        time.tzset()
        yield
    time.tzset()


@pytest.mark.parametrize(
    ("epoch", "told"),
    [
        (None, "-"),
        (4_600, "4600 (in about 3h, 20:45)"),
        (400, "400 (30m ago, 17:15)"),
        (1_000, "1000 (now, 17:45)"),
        (29_800, "29800 (in about 24h, 2026-03-02 17:45)"),
    ],
)
@pytest.mark.usefixtures("kathmandu")
def test_people_are_told_how_far_off_it_is_and_their_own_time(epoch: int | None, told: str) -> None:
    assert CLOCK.told(epoch) == told


def test_a_window_that_is_open_is_told_so_and_not_how_long_ago_it_opened() -> None:
    assert (CLOCK.told_window(999), CLOCK.told_window(1_000)) == ("open now", "open now")
    assert CLOCK.told_window(1_001) == CLOCK.told(1_001)
    assert CLOCK.told_window(None) == "-"


def test_programs_are_told_the_same_everywhere() -> None:
    assert CLOCK.iso(None) is None
    assert CLOCK.iso(1_020) == "2026-03-01T12:01:00+00:00"


@given(st.integers(0, 10**7), st.integers(0, 10**7), st.integers(1, 60))
def test_time_goes_by_epochs(one: int, other: int, epoch_seconds: int) -> None:
    clock = Clock(1_000, CLOCK.head_milliseconds, epoch_seconds)
    apart = clock.time_of(other) - clock.time_of(one)
    assert apart.total_seconds() == (other - one) * epoch_seconds
