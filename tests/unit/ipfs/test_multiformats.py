"""Multibase, multihash and CIDs against the multiformats project's cases."""

import hashlib
from collections.abc import Callable
from typing import Any

import pytest

from ipfs import multibase
from ipfs.cid import CID, Codec, HashCode
from ipfs.errors import MalformedBytes
from tests.support.later import split
from tests.support.vectors import foreign

PREFIXES = {
    "base16": "f", "base16upper": "F", "base32": "b", "base32upper": "B", "base32hex": "v",
    "base32hexupper": "V", "base36": "k", "base36upper": "K", "base58btc": "z", "base64": "m",
    "base64url": "u", "base2": "0", "base8": "7", "base10": "9", "base32pad": "c",
    "base32padupper": "C", "base32hexpad": "t", "base32hexpadupper": "T", "base32z": "h",
    "base58flickr": "Z", "base64pad": "M", "base64urlpad": "U",
}  # fmt: skip


def test_multibase_text_reads_and_writes_as_others_say() -> None:
    now, later = split("multiformats.json multibase", foreign("multiformats.json")["multibase"])
    assert (len(now), len(later["no CID is written in base256emoji"])) == (78, 3)
    for row in now:
        data = bytes.fromhex(row["data_hex"])
        assert multibase.decode(row["encoded"]) == data
        if row["file"] != "case_insensitivity":
            assert multibase.encode(PREFIXES[row["encoding"]], data) == row["encoded"]


def test_multihashes_are_those_that_others_computed() -> None:
    now, later = split("multiformats.json multihash", foreign("multiformats.json")["multihash"])
    assert (len(now), len(later["truncated digests are refused"])) == (80, 180)
    for row in now:
        cid = CID(1, Codec.RAW, bytes.fromhex(row["multihash"]))
        assert cid.matches(row["input"].encode())
        assert not cid.matches(row["input"].encode() + b"\0")
    for row in later["truncated digests are refused"]:
        with pytest.raises(MalformedBytes):
            CID(1, Codec.RAW, bytes.fromhex(row["multihash"]))


def test_a_cid_is_the_same_in_every_base() -> None:
    cid = CID.of(Codec.DAG_PB, b"")
    for prefix in PREFIXES.values():
        assert CID.parse(multibase.encode(prefix, cid.encode())) == cid
    assert str(cid).startswith("bafybei")


def test_version_zero_has_one_text() -> None:
    cid = CID.of(Codec.DAG_PB, b"", version=0)
    assert str(cid).startswith("Qm")
    assert CID.parse(str(cid)) == cid
    assert CID.decode(cid.encode()) == cid
    assert cid.as_v1() == CID.of(Codec.DAG_PB, b"")
    with pytest.raises(MalformedBytes):
        CID.parse("z" + str(cid))
    with pytest.raises(MalformedBytes):
        CID.of(Codec.RAW, b"", version=0)


@pytest.mark.parametrize(
    "text", ["", "b", "Q", "?" * 50, "Qm" + "0" * 44, "Qm" + "1" * 44, "bafkrei", "b" + "ſ" * 50]
)
def test_what_is_no_cid_is_refused(text: str) -> None:
    with pytest.raises(MalformedBytes):
        CID.parse(text)


@pytest.mark.parametrize("read", [CID.parse, multibase.decode, multibase.decode_base58])
def test_long_text_is_refused_before_it_is_computed(read: Callable[[str], Any]) -> None:
    with pytest.raises(MalformedBytes, match="characters"):
        read("z" * 10_000_000)


@pytest.mark.parametrize(
    ("hash_code", "digest_of"),
    [
        (HashCode.SHA3_224, hashlib.sha3_224),
        (HashCode.SHA3_256, hashlib.sha3_256),
        (HashCode.SHA3_384, hashlib.sha3_384),
        (HashCode.BLAKE2B_256, lambda data: hashlib.blake2b(data, digest_size=32)),
        (HashCode.DBL_SHA2_256, lambda data: hashlib.sha256(hashlib.sha256(data).digest())),
    ],
)
def test_a_digest_matches_its_bytes_alone(hash_code: int, digest_of: Callable[..., Any]) -> None:
    cid = CID.from_digest(Codec.RAW, hash_code, digest_of(b"data").digest())
    assert cid.matches(b"data")
    assert not cid.matches(b"other")


def test_an_identity_cid_is_its_own_block() -> None:
    cid = CID.from_digest(Codec.RAW, HashCode.IDENTITY, b"small")
    assert cid.matches(b"small")
    assert not cid.matches(b"other")


def test_a_hash_that_cannot_be_computed_here_matches_nothing() -> None:
    cid = CID.from_digest(
        Codec.FIL_COMMITMENT_UNSEALED, HashCode.SHA2_256_TRUNC254_PADDED, bytes(32)
    )
    assert not cid.matches(b"")


@pytest.mark.parametrize(
    "text", ["MAAA", "MAA=", "MAA===", "MA===", "M====", "caa=====", "caa=======", "MA=A=", "maa=="]
)
def test_padding_is_what_it_should_be(text: str) -> None:
    with pytest.raises(MalformedBytes):
        multibase.decode(text)
