"""Peer ids against those that other implementations gave to the same keys."""

from hashlib import sha256
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from ipfs import multibase
from ipfs.errors import MalformedBytes
from ipfs.p2p.peer_id import BadSignature, Identity, KeyType, PeerId, PublicKey
from tests.support.vectors import own

PEER_IDS: list[dict[str, Any]] = own("ipns_peerid.json")["peer_ids"]


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


def test_an_rsa_signature_verifies_and_its_key_is_known_by_hash() -> None:
    private = rsa.generate_private_key(65537, 2048)
    der = private.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    key = PublicKey.decode(PublicKey(KeyType.RSA, der).encode())
    assert str(key.peer_id).startswith("Qm")
    assert key.peer_id.public_key is None
    key.verify(b"message", private.sign(b"message", padding.PKCS1v15(), SHA256()))
    with pytest.raises(BadSignature):
        key.verify(b"message", bytes(256))


def test_an_rsa_key_that_is_too_short_is_refused() -> None:
    private = rsa.generate_private_key(65537, 1024)
    der = private.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    with pytest.raises(MalformedBytes):
        PublicKey(KeyType.RSA, der)


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
