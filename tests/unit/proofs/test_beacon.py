"""The beacon's signatures are those of blst; what is no key or no signature is refused."""

import hashlib
from typing import Any

import pytest
from py_arkworks_bls12381 import G1Point, G2Point

from proofs import beacon, bls_arkworks, bls_py_ecc
from proofs.beacon import BeaconKey, is_public_key, randomness, verify
from tests.support.vectors import own

VECTORS = own("bls.json")

Case = dict[str, Any]


def point_outside_the_subgroup() -> bytes:
    """Return the first x that is on the curve in G1 but in no subgroup of prime order."""
    for x in range(1, 200):
        compressed = bytes([0x80]) + x.to_bytes(47, "big")
        try:
            point = G1Point.from_compressed_bytes_unchecked(compressed)
        except ValueError:
            continue
        if not point.is_in_subgroup():
            return compressed
    raise AssertionError("most points of G1's curve are outside the subgroup")


@pytest.mark.parametrize("case", VECTORS["sign"], ids=lambda case: str(case["i"]))
def test_keys_and_signatures_are_those_of_blst(case: Case) -> None:
    key = BeaconKey.from_seed(bytes.fromhex(case["ikm"]))
    message, signature = bytes.fromhex(case["msg"]), bytes.fromhex(case["sig"])
    assert f"{key.secret:064x}" == case["sk"]
    assert key.public_key.hex() == case["pk"]
    assert key.sign(message) == signature
    assert verify(key.public_key, message, signature) is case["verify"]
    assert randomness(signature) == hashlib.sha256(signature).digest()


def test_a_summed_key_verifies_what_all_signed_together() -> None:
    for case in VECTORS["fast_aggregate"]:
        total = G1Point.identity()
        for public_key in case["pks"]:
            total += G1Point.from_compressed_bytes(bytes.fromhex(public_key))
        message, signature = bytes.fromhex(case["msg"]), bytes.fromhex(case["sig"])
        assert verify(bytes(total.to_compressed_bytes()), message, signature) is case["valid"]


def test_our_signatures_sum_to_the_aggregate() -> None:
    signers = {
        case["pk"]: BeaconKey.from_seed(bytes.fromhex(case["ikm"])) for case in VECTORS["sign"]
    }
    for case in VECTORS["aggregate"]:
        total = G2Point.identity()
        for public_key, message in zip(case["pks"], case["msgs"], strict=True):
            signature = signers[public_key].sign(bytes.fromhex(message))
            total += G2Point.from_compressed_bytes(signature)
        assert bytes(total.to_compressed_bytes()).hex() == case["sig"]


@pytest.mark.parametrize(
    "library", [bls_arkworks, bls_py_ecc], ids=lambda library: library.__name__
)
@pytest.mark.parametrize("case", VECTORS["bad"], ids=lambda case: str(case["what"]))
def test_bad_public_keys_are_refused(library: beacon.Backend, case: Case) -> None:
    public_key = bytes.fromhex(case["pk"])
    assert not library.is_public_key(public_key)
    good = VECTORS["sign"][0]
    assert not library.verify(public_key, bytes.fromhex(good["msg"]), bytes.fromhex(good["sig"]))


@pytest.mark.parametrize(
    "library", [bls_arkworks, bls_py_ecc], ids=lambda library: library.__name__
)
def test_points_outside_the_subgroup_and_other_encodings_are_refused(
    library: beacon.Backend,
) -> None:
    good = bytes.fromhex(VECTORS["sign"][0]["pk"])
    assert library.is_public_key(good)
    for bad in (
        point_outside_the_subgroup(),
        b"",
        good[:-1],
        good + b"\0",
        bytes([0xC0]) + bytes(46) + b"\1",
        bytes([0xE0]) + bytes(47),
        bytes([good[0] & 0x7F]) + good[1:],
    ):
        assert not library.is_public_key(bad), bad.hex()


def test_a_signature_of_anything_else_is_refused() -> None:
    case, other = VECTORS["sign"][:2]
    public_key, message = bytes.fromhex(case["pk"]), bytes.fromhex(case["msg"])
    signature = bytes.fromhex(case["sig"])
    infinity = bytes([0xC0]) + bytes(95)
    assert is_public_key(public_key)
    for forged in (bytes.fromhex(other["sig"]), infinity, b"", signature[:-1], signature + b"\0"):
        assert not verify(public_key, message, forged)
    assert not verify(public_key, bytes.fromhex(other["msg"]), signature)
    assert not verify(bytes.fromhex(other["pk"]), message, signature)


def test_the_reference_signs_and_verifies_the_same_bytes() -> None:
    case = VECTORS["sign"][0]
    secret, message = int(case["sk"], 16), bytes.fromhex(case["msg"])
    assert bls_py_ecc.public_key(secret).hex() == case["pk"]
    signature = bls_py_ecc.sign(secret, message)
    assert signature.hex() == case["sig"]
    assert bls_py_ecc.verify(bytes.fromhex(case["pk"]), message, signature)
    assert not bls_py_ecc.verify(bytes.fromhex(case["pk"]), message + b"!", signature)


def test_a_short_seed_is_refused_and_a_key_hides_its_secret() -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        BeaconKey.from_seed(bytes(31))
    key = BeaconKey.from_seed(bytes(32))
    assert str(key.secret) not in repr(key)
