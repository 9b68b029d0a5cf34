"""Laws of records."""

from enum import StrEnum
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from ipfs import dag_cbor
from ipfs.cid import CID, Codec
from ipfs.errors import MalformedBytes, PeerError
from ipfs.record import BigNatural, Record
from tests.support.ipld import cids, values


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


class Inner(Record):
    amount: BigNatural
    link: CID


class Outer(Record):
    name: str
    count: int
    data: bytes
    colour: Colour
    maybe: int | None
    inners: tuple[Inner, ...]


naturals = st.integers(0, (1 << 256) - 1).map(BigNatural)
inners = st.builds(Inner, amount=naturals, link=cids)
outers = st.builds(
    Outer,
    name=st.text(st.characters(exclude_categories=["Cs"]), max_size=10),
    count=st.integers(-(1 << 64), (1 << 64) - 1),
    data=st.binary(max_size=20),
    colour=st.sampled_from(Colour),
    maybe=st.none() | st.integers(0, 100),
    inners=st.lists(inners, max_size=3).map(tuple),
)


@given(outers)
def test_every_record_comes_back(record: Outer) -> None:
    assert Outer.decode(record.encode()) == record
    assert Outer.model_validate_json(record.model_dump_json()) == record
    assert record.cid == CID.of(Codec.DAG_CBOR, record.encode())
    assert record.block().data == record.encode()


@given(values)
def test_any_value_is_the_record_or_refused(value: Any) -> None:
    with pytest.raises(MalformedBytes):
        Outer.decode(dag_cbor.encode(value))


@given(outers, st.data())
def test_changed_bytes_are_another_record_or_refused(record: Outer, data: st.DataObject) -> None:
    encoded = bytearray(record.encode())
    position = data.draw(st.integers(0, len(encoded) - 1))
    encoded[position] ^= data.draw(st.integers(1, 255))
    try:
        other = Outer.decode(bytes(encoded))
    except PeerError:
        return
    assert other.encode() == encoded
    assert other != record


INNER = {"amount": b"\x01", "link": CID.of(Codec.RAW, b"")}


@pytest.mark.parametrize(
    "form",
    [
        {**INNER, "amount": b"\0\x01"},
        {**INNER, "amount": 1},
        {**INNER, "amount": b"\x01" * 33},
        {**INNER, "link": "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku"},
        {**INNER, "more": 1},
        {"amount": b"\x01"},
        [],
        None,
    ],
)
def test_a_form_that_is_almost_the_record_is_refused(form: Any) -> None:
    assert Inner.decode(dag_cbor.encode(INNER)).amount == 1
    with pytest.raises(MalformedBytes):
        Inner.decode(dag_cbor.encode(form))


@pytest.mark.parametrize("text", ["", "-1", "1.0", "1e3", "٣", "9" * 78, "9" * 5000, "0x1"])
def test_an_amount_in_json_is_decimal_digits(text: str) -> None:
    link = str(INNER["link"])
    assert Inner.model_validate_json(f'{{"amount": "7", "link": "{link}"}}').amount == 7
    with pytest.raises(ValidationError):
        Inner.model_validate_json(f'{{"amount": "{text}", "link": "{link}"}}')


@given(inners, naturals)
def test_evolving_changes_the_fields_named_and_checks_them(
    inner: Inner, amount: BigNatural
) -> None:
    evolved = inner.evolve(amount=amount)
    assert (evolved.amount, evolved.link) == (amount, inner.link)
    assert evolved.cid == Inner(amount=amount, link=inner.link).cid
    for changes in ({"amount": -1}, {"amuont": amount}):
        with pytest.raises(ValidationError):
            inner.evolve(**changes)
    with pytest.raises(ValidationError):
        inner.amount = amount
