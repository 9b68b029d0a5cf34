"""Laws of DAG-CBOR."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ipfs import dag_cbor
from ipfs.cid import CID
from ipfs.dag_cbor import ITEMS_MAX
from ipfs.errors import MalformedBytes, PeerError
from tests.support.ipld import values


@given(values)
def test_every_value_comes_back(value: Any) -> None:
    data = dag_cbor.encode(value)
    assert dag_cbor.decode(data) == value
    assert dag_cbor.encode(dag_cbor.decode(data)) == data


def links_in(value: Any) -> Iterator[CID]:
    """Yield the links of a value that was read whole."""
    if isinstance(value, CID):
        yield value
    elif isinstance(value, list | dict):
        for item in value.values() if isinstance(value, dict) else value:
            yield from links_in(item)


@given(values.map(dag_cbor.encode) | st.binary(max_size=60), st.binary(max_size=2))
@example(b"\x81" * 200, b"")
@example(dag_cbor.encode({"a": [0], "b": {}}), b"\0")
def test_links_read_one_by_one_are_those_of_the_value(encoded: bytes, rest: bytes) -> None:
    try:
        expected = list(links_in(dag_cbor.decode(encoded + rest)))
    except PeerError as error:
        with pytest.raises(type(error), match=re.escape(str(error))):
            list(dag_cbor.read_links(encoded + rest))
    else:
        assert list(dag_cbor.read_links(encoded + rest)) == expected


@given(st.dictionaries(st.text(max_size=4), st.integers(), max_size=6), st.randoms())
def test_the_order_of_a_map_does_not_matter(value: dict[str, int], random: Any) -> None:
    value = {key: number % 100 for key, number in value.items()}
    items = list(value.items())
    random.shuffle(items)
    assert dag_cbor.encode(dict(items)) == dag_cbor.encode(value)


@given(st.binary(max_size=60))
@example(b"\xd8\x2a\x41\x00")
@example(b"\x81" * 60)
@example(b"\xa1" * 60)
def test_bytes_that_read_are_canonical(data: bytes) -> None:
    try:
        value = dag_cbor.decode(data)
    except PeerError:
        return
    assert dag_cbor.encode(value) == data


@given(values, st.data())
def test_a_changed_encoding_is_another_value_or_none(value: Any, data: st.DataObject) -> None:
    encoded = bytearray(dag_cbor.encode(value))
    position = data.draw(st.integers(0, len(encoded) - 1))
    encoded[position] ^= data.draw(st.integers(1, 255))
    try:
        other = dag_cbor.decode(bytes(encoded))
    except PeerError:
        return
    assert dag_cbor.encode(other) == encoded


@pytest.mark.parametrize("head", [b"\x81", b"\xa1\x61a"])
def test_nesting_ends_before_the_stack_does(head: bytes) -> None:
    depth = dag_cbor.DEPTH_MAX
    dag_cbor.decode(head * depth + b"\x01")
    for levels in (depth + 1, 1_000_000):
        with pytest.raises(PeerError):
            dag_cbor.decode(head * levels + b"\x01")


def test_there_are_only_so_many_items() -> None:
    """However they are nested: what counts is how many a stranger makes us read."""
    half = [[0] * (ITEMS_MAX // 2 - 1)]
    assert dag_cbor.decode(dag_cbor.encode(half * 2)) == half * 2
    with pytest.raises(MalformedBytes, match="items"):
        dag_cbor.decode(dag_cbor.encode([*half, *half, 0]))
