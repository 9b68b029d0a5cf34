"""Peer ids against those that other implementations gave to the same keys."""

from hashlib import sha256
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from ipfs import multibase
from ipfs.errors import MalformedBytes
from ipfs.p2p.peer_id import BadSignature, Identity, KeyType, PeerId, PublicKey
from tests.support.vectors import own

PEER_IDS: list[dict[str, Any]] = own("ipns_peerid.json")["peer_ids"]
RSA: dict[str, Any] = own("rsa.json")


@pytest.mark.parametrize("case", PEER_IDS, ids=lambda case: case["peer_id"])
def test_a_public_key_gives_the_peer_id_that_others_give_it(case: dict[str, Any]) -> None:
    message = bytes.fromhex(case["public_key_protobuf"])
    key = PublicKey.decode(message)
    peer_id = key.peer_id
    assert key.encode() == message
    assert str(peer_id) == case["peer_id"]
    assert peer_id.to_cid_text() == case["cid_base36"]
    assert peer_id.public_key == key
    if "kad_key_sha256" in case:
        assert sha256(peer_id.multihash).hexdigest() == case["kad_key_sha256"]


@pytest.mark.parametrize("case", PEER_IDS, ids=lambda case: case["peer_id"])
def test_every_text_form_reads_as_the_same_peer(case: dict[str, Any]) -> None:
    peer_id = PeerId.parse(case["peer_id"])
    cid = multibase.decode(case["cid_base36"])
    forms = [case["cid_base36"], multibase.encode("b", cid), multibase.encode("z", cid)]
    assert [PeerId.parse(form) for form in forms] == [peer_id] * 3


def test_a_seed_gives_the_identity_that_others_give_it() -> None:
    seeded = [case for case in PEER_IDS if case["type"] == "Ed25519"]
    assert seeded
    for case in seeded:
        identity = Identity.from_seed(bytes.fromhex(case["seed"]))
        assert str(identity.peer_id) == case["peer_id"]
        assert identity.seed.hex() == case["seed"]
        assert case["seed"] not in repr(identity)


# libp2p specs, `peer-ids/peer-ids.md`, test vectors.
SPEC_ED25519_SEED = "7e0830617c4a7de83925dfb2694556b12936c477a0e1feb2e148ec9da60fee7d"
SPEC_ED25519 = "080112201ed1e8fae2c4a144b8be8fd4b47bf3d3b34b871c3cacf6010f0e42d474fce27e"
SPEC_SECP256K1_SCALAR = "53dadf1d5a164d6b4acdb15e24aa4c5b1d3461bdbd42abedb0a4404d56ced8fb"
SPEC_SECP256K1 = "08021221037777e994e452c21604f91de093ce415f5432f701dd8cd1a7a6fea0e630bfca99"
SPEC_ECDSA = (
    "0803125b3059301306072a8648ce3d020106082a8648ce3d03010703420004de3d300fa36ae0e8f5d530899d83abab"
    "44abf3161f162a4bc901d8e6ecda020e8b6d5f8da30525e71d6851510c098e5c47c646a597fb4dcec034e9f77c409e62"
)


def test_the_keys_of_the_specification_are_read_as_it_says() -> None:
    identity = Identity.from_seed(bytes.fromhex(SPEC_ED25519_SEED))
    assert identity.public_key.encode().hex() == SPEC_ED25519
    assert str(identity.peer_id) == "12D3KooWBtg3aaRMjxwedh83aGiUkwSxDwUZkzuJcfaqUmo7R3pq"

    key = PublicKey.decode(bytes.fromhex(SPEC_SECP256K1))
    assert str(key.peer_id) == "16Uiu2HAmLhLvBoYaoZfaMUKuibM6ac163GwKY74c5kiSLg5KvLpY"
    private = ec.derive_private_key(int(SPEC_SECP256K1_SCALAR, 16), ec.SECP256K1())
    key.verify(b"message", private.sign(b"message", ec.ECDSA(SHA256())))

    with pytest.raises(MalformedBytes):
        PublicKey.decode(bytes.fromhex(SPEC_ECDSA))


def test_both_texts_of_the_specification_name_one_peer() -> None:
    legacy = PeerId.parse("QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N")
    assert legacy == PeerId.parse("bafzbeie5745rpv2m6tjyuugywy4d5ewrqgqqhfnf445he3omzpjbx5xqxe")


def test_the_signature_of_an_identity_verifies_and_nothing_else_does() -> None:
    identity = Identity.generate()
    signature = identity.sign(b"message")
    identity.public_key.verify(b"message", signature)
    for key, message, forged in (
        (identity.public_key, b"other message", signature),
        (Identity.generate().public_key, b"message", signature),
        (identity.public_key, b"message", signature[:-1]),
    ):
        with pytest.raises(BadSignature):
            key.verify(message, forged)


def test_a_secp256k1_signature_verifies() -> None:
    private = ec.generate_private_key(ec.SECP256K1())
    point = private.public_key().public_bytes(Encoding.X962, PublicFormat.CompressedPoint)
    key = PublicKey(KeyType.SECP256K1, point)
    key.verify(b"message", private.sign(b"message", ec.ECDSA(SHA256())))
    with pytest.raises(BadSignature):
        key.verify(b"message", b"no signature")


def rsa_keys(*, is_read: bool) -> list[dict[str, Any]]:
    return [case for case in RSA["keys"] if case["is_read"] == is_read]


def rsa_bits(case: dict[str, Any]) -> str:
    return f"{case['bits']} bits"


@pytest.mark.parametrize("case", rsa_keys(is_read=True), ids=rsa_bits)
def test_an_rsa_signature_verifies_and_its_key_is_known_by_hash(case: dict[str, Any]) -> None:
    key = PublicKey(KeyType.RSA, bytes.fromhex(case["public_key_der"]))
    assert PublicKey.decode(key.encode()) == key
    assert str(key.peer_id).startswith("Qm")
    assert key.peer_id.public_key is None
    message, signature = bytes.fromhex(RSA["message"]), bytes.fromhex(case["signature"])
    key.verify(message, signature)
    for wrong in (signature[:-1] + bytes([signature[-1] ^ 1]), signature[:-1], bytes(256), b""):
        with pytest.raises(BadSignature):
            key.verify(message, wrong)
    with pytest.raises(BadSignature):
        key.verify(message + b".", signature)


@pytest.mark.parametrize("case", rsa_keys(is_read=False), ids=rsa_bits)
def test_an_rsa_key_that_is_too_short_or_too_long_is_refused(case: dict[str, Any]) -> None:
    with pytest.raises(MalformedBytes, match="2048 to 4096 bits"):
        PublicKey(KeyType.RSA, bytes.fromhex(case["public_key_der"]))


def test_the_bounds_of_rsa_are_tried_on_both_sides() -> None:
    assert {case["bits"]: case["is_read"] for case in RSA["keys"]} == {
        1024: False,
        2047: False,
        2048: True,
        2049: True,
        3072: True,
        4095: True,
        4096: True,
        4097: False,
        4104: False,
    }


@pytest.mark.parametrize(
    "hostile",
    [
        "",
        "0800",
        "0801122000",
        "08011202abcd",
        "08031220" + "11" * 32,
        "08ffff031220" + "11" * 32,
        "08021221" + "05" * 33,
        "0800120100",
        "1220" + "11" * 32 + "0801",
        "0801" + "1220" + "11" * 32 + "1800",
        "088100" + "1220" + "11" * 32,
    ],
)
def test_what_is_no_canonical_public_key_is_refused(hostile: str) -> None:
    with pytest.raises(MalformedBytes):
        PublicKey.decode(bytes.fromhex(hostile))


@pytest.mark.parametrize(
    "hostile",
    ["", "1", "Qm", "0", "k", "k5", "z", "bafk", "12D3Koo!", "K51", "1" * 40, "k" + "5" * 4000],
)
def test_what_is_no_peer_id_is_refused_as_text(hostile: str) -> None:
    with pytest.raises(MalformedBytes):
        PeerId.parse(hostile)


@pytest.mark.parametrize(
    "hostile", [b"", b"\x00", b"\x00\x00", b"\x00\x02a", b"\x12\x20" + b"a" * 31, b"\x13\x40" * 33]
)
def test_what_is_no_peer_id_is_refused_as_bytes(hostile: bytes) -> None:
    with pytest.raises(MalformedBytes):
        PeerId(hostile)
