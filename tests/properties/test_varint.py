"""Laws of varints."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipfs import protobuf, varint
from ipfs.errors import MalformedBytes


@given(st.integers(0, (1 << 63) - 1), st.binary(max_size=4))
def test_every_number_comes_back(value: int, after: bytes) -> None:
    data = varint.encode(value)
    assert len(data) == max(1, (value.bit_length() + 6) // 7)
    assert varint.decode(data + after) == (value, len(data))
    assert varint.decode(b"before" + data + after, 6) == (value, 6 + len(data))


@given(st.integers(0, (1 << 63) - 1), st.data())
def test_a_varint_cut_short_is_refused(value: int, data: st.DataObject) -> None:
    encoded = varint.encode(value)
    with pytest.raises(MalformedBytes, match="truncated"):
        varint.decode(encoded[: data.draw(st.integers(0, len(encoded) - 1))])


@given(st.binary(max_size=12))
def test_bytes_that_read_are_minimal(data: bytes) -> None:
    try:
        value, end = varint.decode(data)
    except MalformedBytes:
        return
    assert varint.encode(value) == data[:end]


@pytest.mark.parametrize("data", [b"\x80\x00", b"\x81\x00", b"\xff" * 8 + b"\x80\x01", b"\xff" * 9])
def test_padding_and_64_bits_are_refused(data: bytes) -> None:
    with pytest.raises(MalformedBytes):
        varint.decode(data)


fields = st.tuples(
    st.integers(1, (1 << 29) - 1), st.integers(0, (1 << 64) - 1) | st.binary(max_size=20)
)


@given(st.lists(fields, max_size=6))
def test_protobuf_fields_come_back(message: list[tuple[int, int | bytes]]) -> None:
    data = b"".join(
        protobuf.encode_bytes_field(number, value)
        if isinstance(value, bytes)
        else protobuf.encode_varint_field(number, value)
        for number, value in message
    )
    assert [(number, value) for number, _, value in protobuf.fields(data)] == message


@given(st.binary(max_size=60))
def test_any_bytes_are_fields_or_a_peer_error(data: bytes) -> None:
    try:
        read = list(protobuf.fields(data))
    except MalformedBytes:
        return
    assert all(1 <= number < 1 << 29 for number, _, _ in read)
