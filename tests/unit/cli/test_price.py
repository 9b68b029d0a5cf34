"""What a client pays at most, as people say it."""

import pytest

from cli.client import _price_max
from cli.words import Unreadable


@pytest.mark.parametrize(
    ("text", "atto"),
    [
        ("17 atto", 17),
        ("0.000000000000000017", 17),
        ("2", 2 * 10**18),
        ("3/30e", 10**17),
        ("1/3e", 333_333_333_333_333_333),
        ("864000 atto / 1d", 30),
        ("0", 0),
    ],
)
def test_a_price_is_for_an_epoch_or_for_the_time_it_names(text: str, atto: int) -> None:
    assert _price_max(text, epoch_seconds=3) == atto


@pytest.mark.parametrize("text", ["", "/", "1/", "/30d", "1/30", "-1", "1e3", "1/1d/1d", "1/0d"])
def test_what_is_no_price_is_refused(text: str) -> None:
    with pytest.raises(Unreadable):
        _price_max(text, epoch_seconds=3)
