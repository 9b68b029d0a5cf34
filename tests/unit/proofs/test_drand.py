"""What drand published is believed, and nothing else; both BLS libraries agree on it."""

from dataclasses import replace
from typing import Any

import pytest
from eth_typing import BLSPubkey
from py_arkworks_bls12381 import G2Point
from py_ecc import optimized_bls12_381
from py_ecc.bls import g2_primitives

from proofs import bls_arkworks, bls_py_ecc
from proofs.drand import QUICKNET, DrandChain, Round, Scheme, verify_round
from proofs.errors import ProofRejected
from tests.support.drand import PUBLISHED, RANDOMNESS_1000
from tests.support.vectors import foreign

CURVE: Any = optimized_bls12_381
LIBRARIES = [bls_arkworks, bls_py_ecc]


@pytest.fixture(params=LIBRARIES, ids=lambda library: library.__name__)
def library(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr("proofs.bls.curve", lambda: request.param)
    return request.param


def is_signed(chain: DrandChain, published: Round) -> bool:
    try:
        verify_round(replace(chain), published)  # a new chain: its key is of this library
    except ProofRejected:
        return False
    return True


@pytest.mark.usefixtures("library")
def test_rounds_are_judged_as_drand_judges_them() -> None:
    for case in foreign("drand.json")["vectors"]:
        key, scheme = bytes.fromhex(case["public_key"]), Scheme(case["scheme"])
        chain = DrandChain(bytes(32), scheme, key, genesis_seconds=0, period_seconds=30)
        before = bytes.fromhex(case.get("previous_signature", ""))
        published = Round(case["round"], bytes.fromhex(case["signature"]), before)
        assert published.randomness.hex() == case["randomness"]
        assert is_signed(chain, published) is case["valid"], case


@pytest.mark.usefixtures("library")
def test_a_round_of_quicknet_holds_and_only_as_itself() -> None:
    published = PUBLISHED[1000]
    assert published.randomness.hex() == RANDOMNESS_1000
    assert is_signed(QUICKNET, published)
    assert not is_signed(QUICKNET, replace(published, number=1001))


def test_every_known_round_of_quicknet_holds() -> None:
    assert all(is_signed(QUICKNET, published) for published in PUBLISHED.values())


@pytest.mark.parametrize(
    "forged",
    [
        replace(PUBLISHED[1000], number=0),
        replace(PUBLISHED[1000], number=-1),
        replace(PUBLISHED[1000], number=1 << 64),
        replace(PUBLISHED[1000], signature=PUBLISHED[1001].signature),
        replace(PUBLISHED[1000], signature=PUBLISHED[1000].signature + b"\0"),
        replace(PUBLISHED[1000], signature=PUBLISHED[1000].signature[:-1]),
        replace(PUBLISHED[1000], signature=b"\xc0" + bytes(47)),
        replace(PUBLISHED[1000], signature=bytes(48)),
        replace(PUBLISHED[1000], signature=b""),
        replace(PUBLISHED[1000], previous_signature=PUBLISHED[1001].signature),
    ],
)
def test_a_forged_round_is_refused(forged: Round) -> None:
    assert not is_signed(QUICKNET, forged)


def test_another_scheme_or_key_does_not_hold() -> None:
    published = PUBLISHED[1000]
    assert not is_signed(replace(QUICKNET, scheme=Scheme.UNCHAINED), published)
    assert not is_signed(replace(QUICKNET, scheme=Scheme.CHAINED), published)
    other_key = bytes(G2Point().to_compressed_bytes())
    assert not is_signed(replace(QUICKNET, public_key=other_key), published)


@pytest.mark.usefixtures("library")
def test_infinity_is_nobody_s_key() -> None:
    """Under it, infinity would sign everything."""
    nobody = replace(QUICKNET, public_key=b"\xc0" + bytes(95))
    assert not is_signed(nobody, replace(PUBLISHED[1000], signature=b"\xc0" + bytes(47)))


def point_outside_the_subgroup() -> bytes:
    for x in range(1, 200):
        compressed = bytes([0x80]) + x.to_bytes(95, "big")
        try:
            point = G2Point.from_compressed_bytes_unchecked(compressed)
        except ValueError:
            continue
        if not point.is_in_subgroup():
            return compressed
    raise AssertionError("most points of G2's curve are outside the subgroup")


@pytest.mark.usefixtures("library")
def test_a_key_outside_the_subgroup_is_refused() -> None:
    assert not is_signed(
        replace(QUICKNET, public_key=point_outside_the_subgroup()), PUBLISHED[1000]
    )


def outside_the_subgroup(signature: bytes) -> bytes:
    """Return a signature plus a point of the cofactor's order, which no pairing tells apart."""
    for x in range(1, 200):
        compressed = (0b100 << 381) + x
        try:
            point = g2_primitives.pubkey_to_G1(BLSPubkey(compressed.to_bytes(48, "big")))
        except ValueError:
            continue
        stray = CURVE.multiply(point, CURVE.curve_order)
        if not CURVE.is_inf(stray):
            honest = g2_primitives.pubkey_to_G1(BLSPubkey(signature))
            return bytes(g2_primitives.G1_to_pubkey(CURVE.add(honest, stray)))
    raise AssertionError("most points of G1's curve are outside the subgroup")


@pytest.mark.usefixtures("library")
def test_a_round_has_one_signature_only() -> None:
    """With a second one that verifies, whoever publishes would choose the randomness."""
    forged = replace(PUBLISHED[1000], signature=outside_the_subgroup(PUBLISHED[1000].signature))
    assert not is_signed(QUICKNET, forged)


def test_rounds_are_counted_from_one_as_drand_does() -> None:
    assert QUICKNET.round_at(QUICKNET.genesis_seconds - 1) == 0
    assert QUICKNET.round_at(QUICKNET.genesis_seconds) == 1
    assert QUICKNET.round_at(QUICKNET.genesis_seconds + 2.9) == 1
    assert QUICKNET.round_at(QUICKNET.genesis_seconds + 3) == 2
    for number in (1, 2, 1000):
        assert QUICKNET.round_at(QUICKNET.due_seconds(number)) == number
    assert QUICKNET.due_seconds(1000) == 1_692_806_364, "2023-08-23 15:59:24 UTC"
