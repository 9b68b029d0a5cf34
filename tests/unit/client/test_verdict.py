"""The verdict: honest in every state of every copy."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chain.deal import Deal, DealProposal, DealState
from chain.errors import NotFound
from chain.keys import SigningKey
from chain.sector import Sector, SectorState
from chain.units import Atto, DealId, Epoch, ProviderId, SectorNumber
from client.selection import StorageTerms
from client.storing import Stage, Step, quote_piece, store_piece
from client.verdict import Safety, Verdict, judge, verdict
from ipfs.cid import CID, Codec
from proofs.parameters import ProofType
from tests.support.candidates import CHAIN_ID
from tests.support.client_town import client_of, town

ROOT = CID.of(Codec.RAW, b"a file")
CLIENT = SigningKey(bytes(32)).address("thf")


def copy(
    number: int,
    state: DealState,
    *,
    piece_size_bytes: int = 8 << 20,
    published_epoch: int = 4,
    end_epoch: int = 100,
) -> Deal:
    start_epoch = published_epoch + 6
    proposal = DealProposal(
        piece_cid=ROOT,
        piece_size_bytes=piece_size_bytes,
        root_cid=ROOT,
        client=CLIENT,
        provider_id=ProviderId(number),
        start_epoch=Epoch(start_epoch),
        end_epoch=Epoch(end_epoch),
        publish_by_epoch=Epoch(published_epoch + 1),
        price_atto_per_epoch=Atto(1),
        collateral_atto=Atto(1),
        chain_id=CHAIN_ID,
        nonce=0,
    )
    return Deal(
        id=DealId(number),
        proposal=proposal,
        state=state,
        published_epoch=Epoch(published_epoch),
        settled_until_epoch=Epoch(start_epoch),
        collateral_atto=Atto(1),
    )


def sector(state: SectorState = SectorState.ACTIVE) -> Sector:
    return Sector(
        provider_id=ProviderId(1),
        number=SectorNumber(0),
        proof_type=ProofType.SDR_8MIB,
        state=state,
        comm_d=bytes(32),
        comm_r=bytes(32),
        ticket_epoch=Epoch(4),
        precommit_epoch=Epoch(5),
        prove_by_epoch=Epoch(50),
        deposit_atto=Atto(0),
        deal_ids=(DealId(1),),
        window_epoch=Epoch(16),
    )


A, F, P = DealState.ACTIVE, DealState.FAULTY, DealState.PUBLISHED
COMPLETED, LAPSED, TERMINATED = DealState.COMPLETED, DealState.LAPSED, DealState.TERMINATED


def judged(*deals: Deal, head_epoch: int = 50) -> Verdict:
    placed = [(deal, sector()) for deal in deals]
    return verdict(placed, head_epoch=Epoch(head_epoch), beacon_is_drand=False)


@pytest.mark.parametrize(
    ("states", "safety", "due", "proven"),
    [
        ([A, A], Safety.SAFE, 2, 2),
        ([A, COMPLETED], Safety.SAFE, 1, 1),
        ([A, F], Safety.AT_RISK, 2, 1),
        ([A, TERMINATED], Safety.AT_RISK, 2, 1),
        ([A, P], Safety.AT_RISK, 2, 1),
        ([F, F], Safety.AT_RISK, 2, 0),
        ([F, P], Safety.AT_RISK, 2, 0),
        ([P, P], Safety.NOT_YET, 2, 0),
        ([P, TERMINATED], Safety.NOT_YET, 2, 0),
        ([TERMINATED, LAPSED], Safety.LOST, 2, 0),
        ([COMPLETED, COMPLETED], Safety.OVER, 0, 0),
        ([COMPLETED, DealState.FAILED], Safety.LOST, 1, 0),
        ([], Safety.LOST, 0, 0),
    ],
)
def test_the_word_fits_the_copies(
    states: list[DealState], safety: Safety, due: int, proven: int
) -> None:
    told = judged(*(copy(number, state) for number, state in enumerate(states, 1)))
    assert (told.safety, told.due_copies, told.proven_copies) == (safety, due, proven)


def test_a_lost_copy_counts_until_it_is_replaced_or_its_time_is_over() -> None:
    kept, lost = copy(1, A, end_epoch=900), copy(2, TERMINATED, end_epoch=100)
    assert judged(kept, lost, head_epoch=99).safety is Safety.AT_RISK
    assert judged(kept, lost, head_epoch=100).safety is Safety.SAFE, "nobody promised it for now"

    mate = copy(3, A, published_epoch=5, end_epoch=900)
    assert judged(kept, lost, mate).safety is Safety.AT_RISK, "of the same order: no replacement"

    new = copy(4, A, published_epoch=40, end_epoch=900)
    assert judged(kept, lost, new).safety is Safety.SAFE
    late = copy(5, LAPSED, published_epoch=20, end_epoch=200)
    assert judged(kept, lost, late).safety is Safety.AT_RISK, "the replacement was lost as well"
    assert judged(kept, lost, late, new).safety is Safety.SAFE, "and was replaced in its turn"


def test_what_was_replaced_and_kept_to_its_end_is_over() -> None:
    lapsed, kept = copy(1, LAPSED), copy(2, COMPLETED, published_epoch=20, end_epoch=110)
    assert judged(lapsed, kept, head_epoch=200).safety is Safety.OVER
    assert judged(lapsed, head_epoch=200).safety is Safety.LOST


@given(
    st.lists(
        st.tuples(st.sampled_from([A, COMPLETED, LAPSED, TERMINATED]), st.integers(0, 40)),
        max_size=6,
    )
)
def test_as_many_lost_copies_are_replaced_as_can_be(made: list[tuple[DealState, int]]) -> None:
    deals = [
        copy(number, state, published_epoch=epoch) for number, (state, epoch) in enumerate(made, 1)
    ]
    lost = [deal for deal in deals if deal.state in (LAPSED, TERMINATED)]
    told = judged(*deals)
    due_and_lost = sum(one.is_due and not one.state.is_live for one in told.copies)
    assert due_and_lost == len(lost) - most_replaced(lost, deals)


def most_replaced(lost: list[Deal], others: list[Deal]) -> int:
    """Return how many of the lost can each have a later deal of its own, by trying all ways."""
    if not lost:
        return 0
    first, *rest = lost
    ways = (
        1 + most_replaced(rest, [one for one in others if one is not deal])
        for deal in others
        if deal.published_epoch > first.proposal.start_epoch
    )
    return max((most_replaced(rest, others), *ways))


def test_the_odds_are_those_of_the_files_own_range() -> None:
    [whole] = judged(copy(1, A)).copies
    assert whole.challenges_per_window == 66 + 8
    assert whole.caught_percent == pytest.approx(100 * (1 - 0.99**74))
    [small] = judged(copy(1, A, piece_size_bytes=128)).copies
    assert small.challenges_per_window == 8, "its own challenges find a small piece too"


def test_a_fault_that_was_declared_is_told_before_its_window() -> None:
    declared = sector(SectorState.FAULTY).evolve(declared=(Epoch(16),))
    told = verdict([(copy(1, F), declared)], head_epoch=Epoch(10), beacon_is_drand=False)
    assert told.safety is Safety.AT_RISK
    assert [(one.is_declared, one.next_window_epoch) for one in told.copies] == [(True, 16)]
    [missed] = judged(copy(1, F)).copies
    assert not missed.is_declared


@pytest.mark.parametrize("state", [P, COMPLETED, TERMINATED])
def test_a_copy_that_no_window_asks_about_claims_nothing(state: DealState) -> None:
    [copied] = judged(copy(1, state)).copies
    assert (copied.caught_percent, copied.next_window_epoch) == (0, None)


class Reserved(Exception):
    """The money is set aside: as far as this test goes."""


def stop_when_reserved(step: Step) -> None:
    if step.stage is Stage.RESERVED:
        raise Reserved


async def test_whose_deals_count_can_be_said(tmp_path: Path) -> None:
    async with (
        town(tmp_path) as place,
        client_of(place) as alice,
        client_of(place, name="bob") as bob,
    ):
        provider = await place.feigned()
        provider.sells()
        provider.answers(provider.accept)
        prepared = await alice.file("judged")
        with pytest.raises(NotFound):
            await judge(place.ledger, prepared.root_cid, beacon_is_drand=False)
        terms = StorageTerms(duration_epochs=160)
        agreed = await place.passing(quote_piece(alice.session, prepared, terms))
        with pytest.raises(Reserved):
            await place.passing(
                store_piece(alice.session, alice.payer, prepared, terms, agreed, stop_when_reserved)
            )
        [proposal] = provider.proposals
        await place.passing(provider.publish(proposal))
        for client in (alice.payer.address, None):
            told = await judge(
                place.ledger, prepared.root_cid, beacon_is_drand=False, client=client
            )
            assert told.safety is Safety.NOT_YET
        with pytest.raises(NotFound):
            await judge(
                place.ledger, prepared.root_cid, beacon_is_drand=False, client=bob.payer.address
            )
