"""The verdict: honest in every state of every copy."""

import pytest

from chain.deal import Deal, DealProposal, DealState
from chain.keys import SigningKey
from chain.sector import Sector, SectorState
from chain.units import Atto, DealId, Epoch, ProviderId, SectorNumber
from client.verdict import Safety, verdict
from ipfs.cid import CID, Codec
from proofs.parameters import ProofType
from tests.support.candidates import CHAIN_ID

ROOT = CID.of(Codec.RAW, b"a file")
CLIENT = SigningKey(bytes(32)).address("thf")


def copy(number: int, state: DealState, *, piece_size_bytes: int = 8 << 20) -> Deal:
    proposal = DealProposal(
        piece_cid=ROOT,
        piece_size_bytes=piece_size_bytes,
        root_cid=ROOT,
        client=CLIENT,
        provider_id=ProviderId(number),
        start_epoch=Epoch(10),
        end_epoch=Epoch(100),
        publish_by_epoch=Epoch(5),
        price_atto_per_epoch=Atto(1),
        collateral_atto=Atto(1),
        chain_id=CHAIN_ID,
        nonce=0,
    )
    return Deal(
        id=DealId(number),
        proposal=proposal,
        state=state,
        published_epoch=Epoch(4),
        settled_until_epoch=Epoch(10),
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


@pytest.mark.parametrize(
    ("states", "safety", "proven"),
    [
        ([A, A], Safety.SAFE, 2),
        ([A, F], Safety.AT_RISK, 1),
        ([A, DealState.TERMINATED], Safety.AT_RISK, 1),
        ([A, P], Safety.AT_RISK, 1),
        ([P, P], Safety.NOT_YET, 0),
        ([F, F], Safety.AT_RISK, 0),
        ([DealState.TERMINATED, DealState.LAPSED], Safety.LOST, 0),
        ([DealState.COMPLETED, DealState.COMPLETED], Safety.OVER, 0),
        ([DealState.COMPLETED, DealState.FAILED], Safety.LOST, 0),
        ([], Safety.LOST, 0),
    ],
)
def test_the_word_fits_the_copies(states: list[DealState], safety: Safety, proven: int) -> None:
    copies = [(copy(number, state), sector()) for number, state in enumerate(states, 1)]
    told = verdict(copies, beacon_is_drand=False)
    assert (told.safety, told.proven_copies) == (safety, proven)


def test_the_odds_are_those_of_the_files_own_range() -> None:
    [whole] = verdict([(copy(1, A), sector())], beacon_is_drand=True).copies
    assert whole.challenges_per_window == 66 + 8
    assert whole.caught_percent == pytest.approx(100 * (1 - 0.99**74))
    [small] = verdict([(copy(1, A, piece_size_bytes=128), sector())], beacon_is_drand=True).copies
    assert small.challenges_per_window == 8, "its own challenges find a small piece too"


def test_a_copy_without_a_sector_claims_nothing() -> None:
    [unproven] = verdict([(copy(1, P), None)], beacon_is_drand=False).copies
    assert unproven.caught_percent == 0
    assert unproven.next_window_epoch is None
