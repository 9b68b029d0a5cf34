"""Admission, code by code, each at its edge; and what counts as taken."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from chain.deal import DealProposal, RetrievalTerms
from chain.policy import DEV, MAIN
from chain.units import Atto, Epoch
from ipfs.cid import CID, Codec
from ipfs.piece_cid import piece_cid_v2
from market.messages import RejectCode
from proofs.parameters import ProofType
from provider.admission import (
    Capacity,
    Objection,
    capacity_left,
    decide,
    fetch_by_epoch,
    sector_bytes,
)
from provider.answering import Answering, cold_read_seconds
from provider.sealing_plan import SealingNeedsMemory, SealingPlan, plan_sealing
from tests.support.market import ask, deal_proposal
from tests.support.provider_facts import RULE, SEALING_EPOCHS, plan, promise

HEAD = Epoch(10)
ROOM = Capacity(
    used_bytes=0,
    free_bytes=10**9,
    free_atto=10**21,
    sectors_free=1,
    fetches_open=0,
    fetches_open_max=4,
    has_blocks_on_disk=True,
)
FAST = Answering(read_seconds=1e-5, response_seconds=3, deadline_count=4)
LEAST_COLLATERAL = DEV.collateral_atto(
    piece_size_bytes=1 << 20, duration_epochs=200, price_atto_per_epoch=1_000
)


def good(**changes: Any) -> DealProposal:
    return deal_proposal(**{"collateral_atto": LEAST_COLLATERAL, **changes})


def decided(
    proposal: DealProposal,
    capacity: Capacity = ROOM,
    *,
    client_free_atto: int = 10**9,
    **changes: Any,
) -> Objection | None:
    offered = ask(**{"duration_epochs_max": 200, "piece_size_bytes_min": 256, **changes})
    return decide(
        proposal,
        ask=offered,
        policy=DEV,
        head_epoch=HEAD,
        capacity=capacity,
        client_free_atto=client_free_atto,
    )


def room(**changes: Any) -> Capacity:
    return replace(ROOM, **changes)


NEEDED = (1 << 20) + sector_bytes(ProofType.SDR_8MIB)
LONG = DEV.proving_period_epochs * 13
TOO_SMALL = good(piece_size_bytes=128, price_atto_per_epoch=Atto(1))
OTHER_SIZE = piece_cid_v2(bytes(32), padding_bytes=0, height=6)
START_SOONEST = HEAD + SEALING_EPOCHS + 3


def test_what_the_ask_says_is_taken() -> None:
    assert decided(good()) is None


OBJECTIONS: list[tuple[str, DealProposal, dict[str, Any], RejectCode]] = [
    ("kind", good(), {"proof_type": ProofType.SDR_32GIB}, RejectCode.PROOF_TYPE),
    ("small", TOO_SMALL, {}, RejectCode.PIECE_TOO_SMALL),
    ("large", good(), {"piece_size_bytes_max": 1 << 19}, RejectCode.PIECE_TOO_LARGE),
    ("over a sector", good(piece_size_bytes=1 << 24), {"piece_size_bytes_max": 1 << 30},
     RejectCode.PIECE_TOO_LARGE),
    ("no piece", good(piece_cid=CID.of(Codec.RAW, b"")), {}, RejectCode.PIECE_CID),
    ("other size", good(piece_cid=OTHER_SIZE), {}, RejectCode.PIECE_CID),
    ("long", good(end_epoch=261), {}, RejectCode.DURATION),
    ("short", good(end_epoch=60 + 15), {}, RejectCode.DURATION),
    ("ask over", good(), {"expires_epoch": HEAD}, RejectCode.EXPIRED),
    ("no time to seal", good(start_epoch=START_SOONEST - 1, end_epoch=200, publish_by_epoch=20),
     {}, RejectCode.START),
    ("no time to fetch", good(publish_by_epoch=HEAD + 3), {}, RejectCode.START),
    ("far ahead", good(start_epoch=10 + 30 + 112 + 1, end_epoch=300), {}, RejectCode.START),
    ("cheap", good(price_atto_per_epoch=Atto(999)), {}, RejectCode.PRICE_TOO_LOW),
    ("cheap to fetch", good(), {"retrieval_price_atto_per_gib": Atto(1)},
     RejectCode.PRICE_TOO_LOW),
    ("little collateral", good(collateral_atto=Atto(LEAST_COLLATERAL - 1)), {},
     RejectCode.COLLATERAL),
    ("much collateral", good(collateral_atto=Atto(2 * LEAST_COLLATERAL + 1)), {},
     RejectCode.COLLATERAL),
]  # fmt: skip


@pytest.mark.parametrize(
    ("proposal", "terms", "code"),
    [row[1:] for row in OBJECTIONS],
    ids=[row[0] for row in OBJECTIONS],
)
def test_each_objection_has_its_code(
    proposal: DealProposal, terms: dict[str, Any], code: RejectCode
) -> None:
    objection = decided(proposal, **terms)
    assert objection is not None
    assert objection.code is code


@pytest.mark.parametrize(
    "proposal",
    [
        good(start_epoch=START_SOONEST, end_epoch=200, publish_by_epoch=20),
        good(publish_by_epoch=HEAD + 4),
        good(start_epoch=10 + 30 + 112, end_epoch=300),
        good(end_epoch=60 + 16),
        good(collateral_atto=Atto(2 * LEAST_COLLATERAL)),
        good(retrieval_terms=RetrievalTerms(price_atto_per_gib=Atto(5))),
    ],
)
def test_terms_at_the_edge_are_taken(proposal: DealProposal) -> None:
    assert decided(proposal) is None


@pytest.mark.parametrize(
    ("lacking", "enough", "code"),
    [
        ({"free_bytes": NEEDED - 1}, {"free_bytes": NEEDED}, RejectCode.NO_SPACE),
        (
            {"free_atto": LEAST_COLLATERAL - 1},
            {"free_atto": LEAST_COLLATERAL},
            RejectCode.COLLATERAL,
        ),
        ({"fetches_open": 4}, {"fetches_open": 3}, RejectCode.BUSY),
    ],
)
def test_what_is_lacking_has_its_code(
    lacking: dict[str, int], enough: dict[str, int], code: RejectCode
) -> None:
    objection = decided(good(), room(**lacking))
    assert objection is not None
    assert objection.code is code
    assert decided(good(), room(**enough)) is None


def test_an_accepted_piece_may_come_while_it_can_still_be_published_and_sealed() -> None:
    assert RULE is not None
    assert fetch_by_epoch(good(), RULE) == 38
    assert fetch_by_epoch(good(start_epoch=50), RULE) == 50 - SEALING_EPOCHS - 1


def test_what_was_promised_is_not_promised_again() -> None:
    waiting, received, sealed = promise(0), promise(1, is_received=True), promise(2)
    planned, sealing = plan(sealed), SealingPlan(ProofType.SDR_8MIB, workers=1, together=1)

    def left(
        limit_bytes: int, disk_free_bytes: int, *, has_blocks_on_disk: bool = True
    ) -> Capacity:
        return capacity_left(
            (waiting, received, sealed.evolve(is_received=True)),
            (planned,),
            published={sealed.proposal_cid},
            sealing=sealing,
            answering=FAST,
            limit_bytes=limit_bytes,
            disk_free_bytes=disk_free_bytes,
            has_blocks_on_disk=has_blocks_on_disk,
            free_atto=10**19,
            fetches_open_max=4,
        )

    piece, sector = 1 << 20, sector_bytes(ProofType.SDR_8MIB)
    used = 3 * piece + sector
    by_limit = left(limit_bytes=10**9, disk_free_bytes=10**12)
    assert by_limit.used_bytes == used
    assert by_limit.free_bytes == 10**9 - used - 2 * sector
    assert by_limit.free_atto == 10**19 - 2 * 10**18
    assert by_limit.fetches_open == 1
    # An answer about 8 MiB and one piece reads 1,408 nodes: 14 ms of the 1.5 s that are for it.
    assert by_limit.sectors_free == int(4 * 1.5 / 0.01408) - 3
    by_disk = left(limit_bytes=10**12, disk_free_bytes=10**9)
    assert by_disk.free_bytes == 10**9 - 2 * sector - piece - sealing.disk_bytes
    elsewhere = left(limit_bytes=10**9, disk_free_bytes=10**12, has_blocks_on_disk=False)
    assert (elsewhere.used_bytes, elsewhere.fetches_open) == (sector, 1)
    assert elsewhere.free_bytes == 10**9 - 3 * sector
    elsewhere = left(limit_bytes=10**12, disk_free_bytes=10**9, has_blocks_on_disk=False)
    assert elsewhere.free_bytes == 10**9 - 2 * sector - sealing.disk_bytes
    assert decided(good(), room(free_bytes=sector, has_blocks_on_disk=False)) is None
    assert decided(good(), room(free_bytes=sector)) is not None


def test_a_disk_that_is_too_slow_takes_no_sector_more() -> None:
    objection = decided(good(), room(sectors_free=0))
    assert objection is not None
    assert (objection.code, "too slow" in objection.reason) == (RejectCode.BUSY, True)


def test_what_is_answered_for_in_time_follows_from_how_fast_the_disk_reads(tmp_path: Path) -> None:
    kind = ProofType.SDR_512MIB

    def sectors(read_seconds: float, taken_seconds: float = 0) -> int:
        answering = Answering.of(MAIN, kind, read_seconds=read_seconds)
        return answering.sectors_free(kind, taken_seconds)

    # 1,852 reads; 3 of the 6 seconds; 48 deadlines.
    assert sectors(25e-6) == int(48 * 3 / 0.0463)
    assert sectors(25e-6, taken_seconds=100) == int(44 / 0.0463)
    assert sectors(25e-6, taken_seconds=200) == 0
    assert sectors(1.6e-3) == 48, "one a window"
    assert sectors(1.7e-3) == 0, "a spinning disk does not answer in 3 seconds"
    many = Answering.of(MAIN, kind, read_seconds=25e-6).seconds(kind, piece_count=64)
    assert many == pytest.approx((66 + 64 * 8) * 25 * 25e-6, rel=0.01)
    assert 0 < cold_read_seconds(tmp_path) < 10
    assert list(tmp_path.iterdir()) == []


def test_sealing_takes_what_its_plan_says() -> None:
    size_bytes = 8 << 20
    one = SealingPlan(ProofType.SDR_8MIB, workers=1, together=1)
    pairs = SealingPlan(ProofType.SDR_8MIB, workers=3, together=2)
    besides_bytes = 256 << 20
    assert (one.sectors_max, pairs.sectors_max) == (1, 12), "as many wait as are sealed in pairs"
    assert one.memory_bytes == 2 * size_bytes + besides_bytes
    assert pairs.memory_bytes == 3 * (4 * size_bytes + besides_bytes)
    # 2 layers, 2 trees of twice the size, pieces and data; of 6 more only the pieces.
    assert one.disk_bytes == 8 * size_bytes
    assert pairs.disk_bytes == (6 * 8 + 6) * size_bytes


@pytest.mark.parametrize(
    ("memory_gib", "disk_gib", "workers", "together"),
    [
        (5, 40, 1, 2),
        (4, 40, 1, 1),
        (5, 30, 1, 1),
        (5, 40, 2, 1),
        (10, 80, 2, 2),
        (1.25, 1, 1, 1),
    ],
)
def test_sectors_are_sealed_in_pairs_where_there_is_room(
    memory_gib: float, disk_gib: float, workers: int, together: int
) -> None:
    found = plan_sealing(
        ProofType.SDR_512MIB,
        workers=workers,
        together=None,
        memory_bytes=int(memory_gib * 2**30),
        disk_free_bytes=int(disk_gib * 2**30),
    )
    assert found == SealingPlan(ProofType.SDR_512MIB, workers, together)


@pytest.mark.parametrize(
    ("workers", "together", "memory_bytes"),
    [(1, None, (5 << 28) - 1), (1, 2, (9 << 28) - 1), (2, 1, (10 << 28) - 1)],
)
def test_what_the_memory_is_too_small_for_is_refused_before_any_deal(
    workers: int, together: int | None, memory_bytes: int
) -> None:
    def plan_with(memory_bytes: int) -> SealingPlan:
        return plan_sealing(
            ProofType.SDR_512MIB,
            workers=workers,
            together=together,
            memory_bytes=memory_bytes,
            disk_free_bytes=1 << 40,
        )

    with pytest.raises(SealingNeedsMemory, match="sealing_workers"):
        plan_with(memory_bytes)
    assert plan_with(memory_bytes + 1).memory_bytes == memory_bytes + 1


def test_whoever_could_not_pay_the_price_takes_nobodys_place() -> None:
    price_atto = good().payment_atto
    poor = decided(good(), client_free_atto=price_atto - 1)
    assert poor is not None
    assert poor.code is RejectCode.FUNDS
    assert decided(good(), client_free_atto=price_atto) is None
