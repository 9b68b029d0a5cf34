"""What people write on a command line, and what they mistype."""

import errno
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chain.deal import DealState
from chain.sector import SectorState
from cli.exits import said
from cli.words import (
    Unreadable,
    format_bytes,
    format_count,
    parse_address,
    parse_bytes,
    parse_cid,
    parse_epochs,
    parse_name,
    parse_peer,
    parse_seconds,
    parse_tokens,
    parse_url,
    printable,
    spoken,
    told_step,
)
from client.storing import Stage
from client.verdict import Safety
from market.messages import Progress


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


def test_one_is_no_plural() -> None:
    assert [format_count(count, "block") for count in (0, 1, 2)] == [
        "0 blocks",
        "1 block",
        "2 blocks",
    ]


def test_times_are_seconds() -> None:
    assert [parse_seconds(text) for text in ("48h", "5m", "30s", "2d")] == [
        172_800,
        300,
        30,
        172_800,
    ]


@pytest.mark.parametrize("text", ["", "0s", "5", "320e", "1h30m", "-1h"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(Unreadable):
        parse_seconds(text)


@pytest.mark.parametrize("text", ["", "nowhere", "/ip4/127.0.0.1/tcp/1", "/p2p/nobody", "\x00"])
def test_who_is_no_peer_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(Unreadable, match="/p2p/12D3"):
        parse_peer(text)


def test_names_are_read_in_each_form() -> None:
    peer_id = parse_name("12D3KooWQ214zLKS1vMeMeJa49zJku3x5oEUpdmUJuM9Rt95mqYT")
    name = peer_id.to_cid_text()
    assert (
        parse_name(name) == parse_name(f"/ipns/{name}") == parse_name(f"ipns://{name}") == peer_id
    )
    for text in ("", "example.org", name[:-1], "bafkqaaa", "k51" + "q" * 500):
        with pytest.raises(Unreadable, match="not an IPNS name"):
            parse_name(text)


def test_a_cid_that_is_none_is_said_so_in_plain_words() -> None:
    with pytest.raises(Unreadable, match=r"not a CID: 'cat\.jpg'; a CID starts with bafy"):
        parse_cid("cat.jpg")
    with pytest.raises(Unreadable, match="is it whole"):
        parse_cid("bafkreigaknpexyvxt76zgkitavbwx6ejgfheup5oybpm77f3pxzrvwpfd")


def test_what_the_system_says_is_said_without_its_numbers(tmp_path: Path) -> None:
    missing = tmp_path / "missing"
    with pytest.raises(FileNotFoundError) as caught:
        missing.read_bytes()
    assert said(caught.value) == f"{missing}: no such file or directory"
    assert said(OSError(errno.EADDRINUSE, "Address already in use")) == "address already in use"
    assert said(OSError("its own words")) == "its own words"


def test_how_far_a_deal_is_is_told_in_words() -> None:
    assert told_step("transferring", Progress.AWAITS_ESCROW) == "waiting for the money"
    assert told_step("transferring", Progress.RECEIVED) == "fetched"
    assert told_step("published", "deal 1") == "published: deal 1"
    assert told_step("fell-through", "too late") == "fell through: too late"
    codes = (*Stage, *Progress, *Safety, *DealState, *SectorState)
    assert not [code for code in codes if "-" in spoken(code)]
