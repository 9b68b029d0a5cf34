"""Bech32m and addresses: the standard's own cases, and no mistyped text goes through."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chain import bech32m
from chain.keys import Address, SigningKey, address_of, is_signed_by, public_key_of

ALPHABET = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"


@pytest.mark.parametrize(
    "text",
    [
        "a1lqfn3a",
        "an83characterlonghumanreadablepartthatcontainsthetheexcludedcharactersbioandnumber11sg7hg6",
        "abcdef1l7aum6echk45nj3s0wdvt2fg8x9yrzpqzd3ryx",
        "split1checkupstagehandshakeupstreamerranterredcaperredlc445v",
        "?1v759aa",
    ],
)
def test_the_standards_valid_texts_are_read(text: str) -> None:
    prefix, data = bech32m.decode(text)  # BIP-350, test vectors
    assert bech32m.encode(prefix, data) == text


@pytest.mark.parametrize(
    "text",
    [
        "1xj0phk",
        "1g6xzxy",
        "qyrz8wqd2c9m",
        "1qyrz8wqd2c9m",
        "y1b0jsk6g",
        "lt1igcx5c0",
        "in1muywd",
        "mm1crxm3i",
        "au1s5cgom",
        "16plkw9",
        "1p2gdwpf",
        "a12uel5l",  # bech32, not bech32m
        "",
        "hf1",
        "A1LQFN3A",
        "hf1ä",
        "hf1" + "q" * 100,
    ],
)
def test_invalid_texts_are_refused(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  the type is the contract
        bech32m.decode(text)


@given(st.sampled_from(["hf", "thf"]), st.binary(max_size=40))
def test_what_is_written_is_read_back(prefix: str, data: bytes) -> None:
    assert bech32m.decode(bech32m.encode(prefix, data)) == (prefix, data)


@given(
    st.binary(min_size=32, max_size=32),
    st.dictionaries(st.integers(0, 57), st.sampled_from(ALPHABET), min_size=1, max_size=4),
)
def test_up_to_four_mistyped_characters_are_found(key: bytes, typed: dict[int, str]) -> None:
    address = address_of(key, prefix="hf")
    mistyped = list(address)
    for place, character in typed.items():
        mistyped[3 + place] = character
    text = Address("".join(mistyped))
    if text == address:
        assert public_key_of(text) == key
    else:
        with pytest.raises(ValueError, match="checksum"):
            public_key_of(text)


@pytest.mark.parametrize("prefix", ["hf", "thf"])
def test_an_address_is_its_key(prefix: str) -> None:
    key = SigningKey(b"k" * 32)
    address = key.address(prefix)
    assert address.startswith(prefix + "1")
    assert address_of(public_key_of(address), prefix=prefix) == address


@pytest.mark.parametrize(("prefix", "size"), [("bc", 32), ("hf", 31), ("hf", 33), ("hf", 0)])
def test_other_bech32m_is_no_address(prefix: str, size: int) -> None:
    with pytest.raises(ValueError, match="no address"):
        public_key_of(Address(bech32m.encode(prefix, bytes(size))))


def test_a_signature_is_for_one_purpose_one_text_and_one_key() -> None:
    key, other = SigningKey(b"k" * 32), SigningKey(b"o" * 32)
    signature = key.sign("message", b"text")
    mine = key.address("hf")
    assert is_signed_by(mine, "message", b"text", signature)
    assert is_signed_by(key.address("thf"), "message", b"text", signature)
    assert not is_signed_by(mine, "ask", b"text", signature)
    assert not is_signed_by(mine, "message", b"texts", signature)
    assert not is_signed_by(other.address("hf"), "message", b"text", signature)
    assert not is_signed_by(mine, "message", b"text", signature + b"\0")
    assert not is_signed_by(mine, "message", b"text", bytes(64))
    assert "k" * 32 not in repr(key)


def test_no_text_signs_for_a_key_of_low_order() -> None:
    # With the neutral point as key, one signature would fit every text (RFC 8032 §5.1.7).
    neutral = (1).to_bytes(32, "little")
    signature = neutral + bytes(32)
    assert not is_signed_by(address_of(neutral, prefix="hf"), "message", b"text", signature)
