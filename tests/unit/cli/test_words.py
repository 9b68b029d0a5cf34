"""What people write on a command line, and what they mistype."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli.words import (
    Unreadable,
    format_bytes,
    parse_address,
    parse_bytes,
    parse_cid,
    parse_epochs,
    parse_tokens,
    parse_url,
    printable,
)


@pytest.mark.parametrize(
    ("text", "epochs"),
    [("180d", 5_184_000), ("45s", 15), ("46s", 16), ("320e", 320), ("2w", 403_200)],
)
def test_durations_are_epochs_rounded_up(text: str, epochs: int) -> None:
    assert parse_epochs(text, epoch_seconds=3) == epochs


@pytest.mark.parametrize(
    ("text", "size"), [("512MiB", 1 << 29), ("7MB", 7_000_000), ("4096", 4096), ("1 GiB", 1 << 30)]
)
def test_sizes_know_both_kinds_of_units(text: str, size: int) -> None:
    assert parse_bytes(text) == size


@pytest.mark.parametrize("text", ["", "0d", "-1d", "1.5d", "1e3", "180", "d", "1y", "٣d", "1d "])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(Unreadable):
        parse_epochs(text, epoch_seconds=1)


@pytest.mark.parametrize("text", ["", "-1", "1e3", "1.5GiB", "MiB", "1iB", "NaN", "1" * 13])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(Unreadable):
        parse_bytes(text)


@pytest.mark.parametrize("text", ["", "-1", "1e3", "NaN", "1,5", "0.0000000000000000001"])
def test_what_is_no_amount_is_refused(text: str) -> None:
    with pytest.raises(Unreadable):
        parse_tokens(text)


@pytest.mark.parametrize("text", ["", "thf1", "QmNope", "bafybad", "/ipfs/"])
def test_what_is_no_name_is_refused(text: str) -> None:
    with pytest.raises(Unreadable):
        parse_cid(text)
    with pytest.raises(Unreadable):
        parse_address(text)


@pytest.mark.parametrize(
    "text", ["localhost:8650", "http://", "http://host:notaport", "http://host:70000", "ftp://host"]
)
def test_what_is_no_url_is_refused(text: str) -> None:
    with pytest.raises(Unreadable, match="write http"):
        parse_url(text)


@pytest.mark.parametrize(
    "text", ["http://127.0.0.1:8650/", "https://ledger.example", "http://[::1]:1"]
)
def test_a_url_loses_its_slash_and_nothing_else(text: str) -> None:
    assert parse_url(text) == text.rstrip("/")


@given(st.text())
def test_a_strangers_text_cannot_steer_the_terminal(text: str) -> None:
    shown = printable(text)
    assert shown.isprintable()
    assert text != shown or text.isprintable()


@given(st.integers(0, 1 << 60))
def test_a_shown_size_is_short(count: int) -> None:
    assert len(format_bytes(count)) <= 13
