"""What every reader of a stranger's bytes owes: its own error or a value, whatever the bytes.

The short form of `make fuzz`, which looks for longer and sees what the bytes reach.
"""

from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipfs.errors import PeerError
from tests.support.borders import BORDERS, Border
from tests.support.vectors import own

edges = st.sampled_from([0, 1, 0x7F, 0x80, 0xFF])


@st.composite
def mutations(draw: st.DrawFn, sample: bytes) -> bytes:
    """Draw what becomes of good bytes: cut, spliced, overwritten, repeated."""
    data = bytearray(sample)
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(data)))
        end = draw(st.integers(start, min(len(data), start + 16)))
        match draw(st.integers(0, 3)):
            case 0:
                del data[start:end]
            case 1:
                data[start:end] = draw(st.binary(max_size=16))
            case 2:
                data[start:end] = bytes(draw(st.lists(edges, max_size=12)))
            case _:
                data[start:start] = data[start:end] * draw(st.integers(1, 8))
    return bytes(data)


def test_the_long_form_knows_every_border() -> None:
    makefile = Path(__file__).parents[2] / "Makefile"
    targets = makefile.read_text().partition("BORDER ?=")[0].replace("\\\n", " ").split()
    assert targets == ["BORDERS", "=", *BORDERS]


by_name = pytest.mark.parametrize("name", BORDERS)


@by_name
def test_the_sample_is_good(name: str) -> None:
    border = BORDERS[name]
    value = border.read(border.sample)
    assert border.write is None or border.write(value) == border.sample


@by_name
@given(data=st.data())
def test_what_becomes_of_good_bytes_is_answered(name: str, data: st.DataObject) -> None:
    border = BORDERS[name]
    border.answers(data.draw(mutations(border.sample)))


@by_name
@given(st.binary(max_size=80))
def test_any_bytes_are_answered(name: str, data: bytes) -> None:
    BORDERS[name].answers(data)


@pytest.mark.parametrize("name", {item["kind"] for item in own("hostile.json")["items"]})
def test_what_becomes_of_hostile_bytes_is_answered(name: str) -> None:
    border = BORDERS[name]
    for item in own("hostile.json")["items"]:
        if item["kind"] == name and item["hex"] is not None:
            with suppress(PeerError):
                for frame in border.frames(bytes.fromhex(item["hex"])):
                    every_cut(border, frame)


def every_cut(border: Border, data: bytes) -> None:
    for end in range(len(data) + 1):
        border.answers(data[:end])
        border.answers(data[end:])
