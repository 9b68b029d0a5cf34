"""Choosing providers: the cheapest that take the terms, no owner twice, the total exact."""

from collections.abc import Collection
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chain.keys import Address
from chain.policy import DEV
from chain.units import Epoch
from client.errors import NotEnoughProviders
from client.selection import Candidate, Quote, StorageTerms, largest_piece_bytes, quote
from ipfs.cid import CID, Codec
from proofs.parameters import ProofType
from tests.support.candidates import candidate

PIECE = CID.of(Codec.RAW, b"a piece")
GIB = 1 << 30


def quoted(
    *candidates: Candidate,
    size_bytes: int = 1 << 20,
    keepers: Collection[Address] = (),
    **terms: Any,
) -> Quote:
    return quote(
        candidates,
        StorageTerms(**{"duration_epochs": 100, **terms}),
        piece_cid=PIECE,
        piece_size_bytes=size_bytes,
        policy=DEV,
        head_epoch=Epoch(5),
        keepers=keepers,
    )


def ids(offers: tuple[object, ...]) -> list[int]:
    return [offer.candidate.provider.id for offer in offers]  # type: ignore[attr-defined]


def test_the_cheapest_are_chosen_and_equals_are_spares() -> None:
    found = quoted(
        candidate(1, price_atto=3 * GIB),
        candidate(2, price_atto=GIB),
        candidate(3, price_atto=2 * GIB),
        candidate(4, price_atto=2 * GIB),
        copies=2,
    )
    assert ids(found.chosen)[0] == 2
    assert {ids(found.chosen)[1], ids(found.spares)[0]} == {3, 4}
    assert len(found.spares) == 1, "a dearer one would break the quote"


def test_two_copies_never_have_the_same_owner() -> None:
    one_owner = [candidate(number, owner=7) for number in (1, 2, 3)]
    with pytest.raises(NotEnoughProviders) as refusal:
        quoted(*one_owner, copies=2)
    assert (refusal.value.needed, refusal.value.found) == (2, 1)
    assert "nobody else" in str(refusal.value)
    assert len(ids(quoted(*one_owner, candidate(4), copies=2).chosen)) == 2


def test_copies_go_to_different_networks_while_there_are_others() -> None:
    crowd = [candidate(number, ip=f"5.6.{number}.1", price_atto=GIB) for number in range(1, 101)]
    elsewhere = [
        candidate(201, ip="8.8.8.8", price_atto=3 * GIB),
        candidate(202, ip="9.9.9.9", price_atto=2 * GIB),
    ]
    chosen = ids(quoted(*crowd, *elsewhere, copies=3).chosen)
    assert chosen[1:] == [202, 201]
    assert chosen[0] in range(1, 101), "the cheapest is still the first"
    assert len(ids(quoted(*crowd, copies=3).chosen)) == 3, "where all are in one, it is taken"
    kept = quoted(*crowd, *elsewhere, copies=2, keepers=[crowd[0].provider.owner])
    assert ids(kept.chosen) == [202], "where a copy is already counts too"


def test_a_lan_is_no_network_of_anybody() -> None:
    near = [
        candidate(1, ip="192.168.0.1", price_atto=GIB),
        candidate(2, ip="192.168.0.2", price_atto=GIB),
        candidate(3, ip="8.8.8.8", price_atto=2 * GIB),
    ]
    assert set(ids(quoted(*near, copies=2).chosen)) == {1, 2}


@pytest.mark.parametrize(
    ("unfit", "terms", "reason"),
    [
        (candidate(1, piece_size_bytes_max=1 << 19), {}, "takes pieces"),
        (candidate(1, duration_epochs_max=50), {}, "keeps for 16 to 50 epochs"),
        (candidate(1, expires_epoch=5), {}, "expired"),
        (
            candidate(1, price_atto=11),
            {"price_atto_per_gib_epoch_max": 10},
            f"you offer 0.{10:018}".rstrip("0"),
        ),
        (
            candidate(1, proof_type=ProofType.SDR_2KIB),
            {"sector_size_bytes": 8 << 20},
            "sectors of 2048",
        ),
        (candidate(1, proof_type=ProofType.SDR_32GIB), {}, "network does not take"),
        (
            candidate(1, price_atto=2**256 - 1),
            {"duration_epochs": 10_000},
            "any account can hold",
        ),
        (candidate(1, retrieval_price_atto=1), {}, "getting it back"),
    ],
)
def test_who_does_not_take_the_terms_is_told_why(
    unfit: Candidate, terms: dict[str, Any], reason: str
) -> None:
    with pytest.raises(NotEnoughProviders) as refusal:
        quoted(unfit, **terms)
    assert quoted(unfit, candidate(2, price_atto=10), **terms).chosen[0].candidate.provider.id == 2
    assert reason in refusal.value.reasons[unfit.provider.id]
    assert reason in str(refusal.value)


@pytest.mark.parametrize("duration", [0, 15, 1278 * 16 + 1, 2**53])
def test_no_ask_lets_a_deal_last_longer_or_shorter_than_the_network_does(duration: int) -> None:
    with pytest.raises(NotEnoughProviders, match="keeps for 16 to 20448 epochs"):
        quoted(candidate(1, duration_epochs_max=2**53), duration_epochs=duration)


def test_owners_who_keep_a_copy_are_not_asked_for_another() -> None:
    candidates = [candidate(1, price_atto=1), candidate(2, price_atto=2), candidate(3, owner=1)]
    keeper = candidates[0].provider.owner
    found = quoted(*candidates, copies=2, keepers=[keeper])
    assert ids(found.chosen) == [2]
    with pytest.raises(NotEnoughProviders) as refusal:
        quoted(*candidates, copies=3, keepers=[keeper])
    assert (refusal.value.needed, refusal.value.found) == (2, 1)
    assert quoted(*candidates, copies=1, keepers=[keeper]) == Quote((), ())


def test_no_piece_is_larger_than_its_sector_whatever_the_ask_says() -> None:
    boastful = candidate(1, piece_size_bytes_max=2**53)
    assert largest_piece_bytes([boastful], StorageTerms(duration_epochs=1)) == 8 << 20
    other = StorageTerms(duration_epochs=1, sector_size_bytes=512 << 20)
    assert largest_piece_bytes([boastful], other) is None
    with pytest.raises(NotEnoughProviders, match="takes pieces"):
        quoted(boastful, size_bytes=16 << 20)


@given(
    prices=st.lists(st.integers(0, 10**24), min_size=1, max_size=6),
    size_log2=st.integers(7, 23),
    duration=st.integers(16, 10_000),
)
def test_the_total_is_exactly_what_the_deals_will_lock(
    prices: list[int], size_log2: int, duration: int
) -> None:
    candidates = [candidate(number, price_atto=price) for number, price in enumerate(prices, 1)]
    found = quoted(
        *candidates, size_bytes=1 << size_log2, copies=len(prices), duration_epochs=duration
    )
    # Rounded up to the atto a deal and epoch, as `Ask.price_atto_per_epoch` promises.
    expected = sum(-(-price * (1 << size_log2) // GIB) * duration for price in prices)
    assert found.total_atto == expected
    assert not found.spares
