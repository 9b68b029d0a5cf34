"""Signatures, sums and possessions are those of blst and py_ecc; what is no point is refused."""

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from py_arkworks_bls12381 import G1Point, G2Point
from py_ecc import optimized_bls12_381
from py_ecc.bls import g2_primitives
from py_ecc.bls.ciphersuites import G2ProofOfPossession

from proofs import bls_arkworks, bls_py_ecc
from proofs.bls import (
    Curve,
    ProvenKey,
    PublicKey,
    SecretKey,
    aggregate,
    aggregate_verify,
    fast_aggregate_verify,
)
from proofs.errors import ProofRejected
from proofs.hashing import FIELD_MODULUS
from tests.support.vectors import own

Case = dict[str, Any]
VECTORS = own("bls.json")
SIGNED: list[Case] = VECTORS["sign"]
ORACLE: Any = G2ProofOfPossession
CURVE: Any = optimized_bls12_381
POINTS: Any = g2_primitives
INFINITY = bytes([0xC0]) + bytes(95)
MESSAGE = b"a message"

curves = pytest.mark.parametrize(
    "library", [bls_arkworks, bls_py_ecc], ids=lambda library: library.__name__
)
scalars = st.integers(1, FIELD_MODULUS - 1)


def key_of(case: Case) -> SecretKey:
    return SecretKey.from_seed(bytes.fromhex(case["ikm"]))


KEYS = {case["pk"]: key_of(case) for case in SIGNED}


def proven(secret: SecretKey, library: Curve = bls_arkworks) -> ProvenKey:
    return ProvenKey(PublicKey(secret.public_key, library), secret.prove_possession())


def outside(kind: type[G1Point] | type[G2Point], length: int) -> bytes:
    """Return the first x that is on the curve but in no subgroup of prime order."""
    for x in range(1, 200):
        compressed = bytes([0x80]) + x.to_bytes(length - 1, "big")
        try:
            point = kind.from_compressed_bytes_unchecked(compressed)
        except ValueError:
            continue
        if not point.is_in_subgroup():
            return compressed
    raise AssertionError("most points of the curve are outside the subgroup")


def strayed(signature: bytes) -> bytes:
    """Return a signature plus a point of the cofactor's order, which no pairing tells apart."""
    stray = CURVE.multiply(POINTS.signature_to_G2(outside(G2Point, 96)), CURVE.curve_order)
    assert not CURVE.is_inf(stray)
    return bytes(POINTS.G2_to_signature(CURVE.add(POINTS.signature_to_G2(signature), stray)))


@pytest.mark.parametrize("case", SIGNED, ids=lambda case: str(case["i"]))
def test_keys_and_signatures_are_those_of_blst(case: Case) -> None:
    secret, message = key_of(case), bytes.fromhex(case["msg"])
    assert f"{secret.scalar:064x}" == case["sk"]
    assert secret.public_key.hex() == case["pk"]
    assert secret.sign(message).hex() == case["sig"]
    assert PublicKey(secret.public_key).verify(message, bytes.fromhex(case["sig"])) is True


@curves
def test_both_libraries_say_what_blst_says(library: Curve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("proofs.bls.curve", lambda: library)
    case = SIGNED[0]
    secret, message = key_of(case), bytes.fromhex(case["msg"])
    assert secret.public_key.hex() == case["pk"]
    signature = secret.sign(message)
    assert signature.hex() == case["sig"]
    assert aggregate([signature, signature]) == ORACLE.Aggregate([signature, signature])
    key = PublicKey(secret.public_key, library)
    assert key.verify(message, signature)
    assert not key.verify(message + b"!", signature)


@curves
def test_what_all_signed_together_is_what_blst_says(library: Curve) -> None:
    [case] = VECTORS["fast_aggregate"]
    signers = [KEYS[public_key] for public_key in case["pks"]]
    message, signature = bytes.fromhex(case["msg"]), bytes.fromhex(case["sig"])
    assert aggregate([signer.sign(message) for signer in signers]) == signature
    keys = [proven(signer, library) for signer in signers]
    assert fast_aggregate_verify(keys, message, signature) is case["valid"]


@curves
def test_what_each_signed_is_what_blst_says(library: Curve) -> None:
    [case] = VECTORS["aggregate"]
    signers = [KEYS[public_key] for public_key in case["pks"]]
    messages = [bytes.fromhex(message) for message in case["msgs"]]
    signature = bytes.fromhex(case["sig"])
    pairs = list(zip(signers, messages, strict=True))
    assert aggregate([signer.sign(message) for signer, message in pairs]) == signature
    said = [(proven(signer, library), message) for signer, message in pairs]
    assert aggregate_verify(said, signature) is case["valid"]


@settings(max_examples=3, deadline=None)
@given(scalars, scalars, st.binary(max_size=40))
def test_py_ecc_agrees_on_everything_that_is_made(first: int, second: int, message: bytes) -> None:
    one, other = SecretKey(first), SecretKey(second)
    assert one.public_key == ORACLE.SkToPk(first)
    assert one.prove_possession() == ORACLE.PopProve(first)
    assert one.sign(message) == ORACLE.Sign(first, message)
    signatures = [one.sign(message), other.sign(message)]
    assert aggregate(signatures) == ORACLE.Aggregate(signatures)


@settings(max_examples=3, deadline=None)
@given(scalars, scalars, st.binary(max_size=40), st.integers(0, 767))
def test_py_ecc_agrees_on_what_holds(first: int, second: int, message: bytes, bit: int) -> None:
    one, other = SecretKey(first), SecretKey(second)
    signature = aggregate([one.sign(message), other.sign(message)])
    flipped = (int.from_bytes(signature) ^ 1 << bit).to_bytes(96)
    public_keys = [one.public_key, other.public_key]
    for said in (signature, flipped):
        ours = fast_aggregate_verify([proven(one), proven(other)], message, said)
        assert ours is ORACLE.FastAggregateVerify(public_keys, message, said)
        assert ours is (said == signature)


@given(st.lists(st.tuples(scalars, st.binary(max_size=8)), min_size=1, max_size=4), st.data())
@settings(max_examples=20, deadline=None)
def test_a_sum_holds_for_those_who_signed_and_nobody_else(
    signers: list[tuple[int, bytes]], data: st.DataObject
) -> None:
    secrets = [(SecretKey(scalar), message) for scalar, message in signers]
    signature = aggregate([secret.sign(message) for secret, message in secrets])
    said = [(proven(secret), message) for secret, message in secrets]
    assert aggregate_verify(data.draw(st.permutations(said)), signature)
    key, message = said[0]
    for forged in ([*said, said[0]], [(key, message + b"!"), *said[1:]], said[1:], []):
        assert not aggregate_verify(forged, signature)


def test_a_rogue_key_forges_a_sum_and_can_never_be_proven() -> None:
    """Whoever may choose its key after the others' signs for all of them, alone."""
    victim, mallory = SecretKey(123), SecretKey(456)
    theirs = G1Point.from_compressed_bytes(victim.public_key)
    rogue = G1Point.from_compressed_bytes(mallory.public_key) - theirs
    rogue_key = PublicKey(bytes(rogue.to_compressed_bytes()))

    total = PublicKey(bytes((theirs + rogue).to_compressed_bytes()))
    assert total.verify(MESSAGE, mallory.sign(MESSAGE)), "a bare sum believes mallory alone"
    for possession in (
        mallory.prove_possession(),
        victim.prove_possession(),
        mallory.sign(rogue_key.compressed),
        aggregate([mallory.prove_possession(), victim.prove_possession()]),
    ):
        with pytest.raises(ProofRejected, match="hold this key"):
            ProvenKey(rogue_key, possession)


def test_a_possession_is_the_keys_own_and_no_signature() -> None:
    secret, other = SecretKey(123), SecretKey(456)
    key = PublicKey(secret.public_key)
    assert ProvenKey(key, secret.prove_possession()).key == key
    in_g2 = PublicKey(bytes(G2Point().to_compressed_bytes()))
    for holder, possession in (
        (key, other.prove_possession()),
        (key, secret.sign(key.compressed)),
        (key, INFINITY),
        (key, b""),
        (in_g2, secret.prove_possession()),
    ):
        with pytest.raises(ProofRejected, match="hold this key"):
            ProvenKey(holder, possession)
    assert not key.verify(key.compressed, secret.prove_possession()), "the domains are apart"


def test_keys_and_signatures_that_cancel_each_other_are_nobodys() -> None:
    one, minus_one = SecretKey(123), SecretKey(FIELD_MODULUS - 123)
    nothing = aggregate([one.sign(MESSAGE), minus_one.sign(MESSAGE)])
    assert nothing == INFINITY
    keys = [proven(one), proven(minus_one)]
    assert not fast_aggregate_verify(keys, MESSAGE, nothing)
    assert not fast_aggregate_verify(keys, MESSAGE, one.sign(MESSAGE))
    assert not aggregate_verify([(key, MESSAGE) for key in keys], nothing)
    with pytest.raises(ProofRejected, match="signatures"):
        aggregate([nothing])


def test_nobody_signed_nothing() -> None:
    assert not fast_aggregate_verify([], MESSAGE, INFINITY)
    with pytest.raises(ProofRejected, match="nothing"):
        aggregate([])


@curves
@pytest.mark.parametrize("case", VECTORS["bad"], ids=lambda case: str(case["what"]))
def test_what_blst_refuses_is_no_key(library: Curve, case: Case) -> None:
    with pytest.raises(ProofRejected, match="not a BLS public key"):
        PublicKey(bytes.fromhex(case["pk"]), library)


def bad_encodings(good: bytes) -> Sequence[bytes]:
    length = len(good)
    return (
        outside(G1Point if length == 48 else G2Point, length),
        b"",
        good[:-1],
        good + b"\0",
        bytes([0xC0]) + bytes(length - 1),
        bytes([0xC0]) + bytes(length - 2) + b"\1",
        bytes([0xE0]) + bytes(length - 1),
        bytes([good[0] & 0x7F]) + good[1:],
    )


@curves
@pytest.mark.parametrize("generator", [G1Point(), G2Point()], ids=["G1", "G2"])
def test_points_outside_the_subgroup_and_other_encodings_are_no_keys(
    library: Curve, generator: G1Point | G2Point
) -> None:
    good = bytes(generator.to_compressed_bytes())
    assert PublicKey(good, library).compressed == good
    for bad in bad_encodings(good):
        with pytest.raises(ProofRejected):
            PublicKey(bad, library)


@curves
def test_a_signature_of_anything_else_is_refused(library: Curve) -> None:
    case, other = SIGNED[:2]
    key, message = PublicKey(bytes.fromhex(case["pk"]), library), bytes.fromhex(case["msg"])
    signature = bytes.fromhex(case["sig"])
    for forged in (*bad_encodings(signature), strayed(signature), bytes.fromhex(other["sig"])):
        assert not key.verify(message, forged), forged.hex()
    for refused in (*bad_encodings(signature), strayed(signature)):
        with pytest.raises(ProofRejected, match="signatures"):
            aggregate([signature, refused])


def test_a_secret_key_lies_in_its_range_and_hides() -> None:
    for scalar in (0, -1, FIELD_MODULUS):
        with pytest.raises(ValueError, match="order"):
            SecretKey(scalar)
    with pytest.raises(ValueError, match="32 bytes"):
        SecretKey.from_seed(bytes(31))
    assert str(SecretKey(987_654_321).scalar) not in repr(SecretKey(987_654_321))
