"""Both halves of a negotiation: every reject code it owns, and nothing out of turn."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chain.keys import TEST_PREFIX, SigningKey
from chain.units import Epoch, ProviderId
from ipfs.errors import MalformedBytes, OutOfTurn
from market.messages import Accept, DealReply, Propose, Reject, RejectCode, SignedProposal, Status
from market.messages import Progress as Stands
from market.negotiation import AcceptanceForged, ClientNegotiation, Listener, ProviderNegotiation
from tests.support.market import (
    CHAIN_ID,
    PROVIDER_ID,
    STRANGER,
    WORKER,
    deal_proposal,
    proposed,
)

WORKER_ADDRESS = WORKER.address(TEST_PREFIX)


def hearing(propose: Propose, *, head_epoch: int = 10, known: bool = False) -> ProviderNegotiation:
    listener = Listener(
        chain_id=CHAIN_ID,
        provider_id=PROVIDER_ID,
        head_epoch=Epoch(head_epoch),
        is_known=lambda _: known,
    )
    negotiation = ProviderNegotiation(listener)
    negotiation.receive(propose)
    return negotiation


def code_of(negotiation: ProviderNegotiation) -> RejectCode | None:
    return negotiation.answer.code if isinstance(negotiation.answer, Reject) else None


def test_a_sound_proposal_is_considered_and_its_acceptance_believed() -> None:
    propose = proposed()
    client = ClientNegotiation(propose, worker=WORKER_ADDRESS)
    provider = hearing(client.propose())
    assert provider.answer is None
    accept = provider.accept(fetch_by_epoch=Epoch(30), worker=WORKER)
    client.receive(DealReply.decode(DealReply(body=accept).encode()).body)
    assert client.answer == accept


@pytest.mark.parametrize(
    ("propose", "code"),
    [
        (proposed(deal_proposal(chain_id="another")), RejectCode.CHAIN),
        (proposed(deal_proposal(provider_id=ProviderId(8))), RejectCode.NOT_FOR_ME),
        (proposed(signer=STRANGER), RejectCode.SIGNATURE),
        (proposed(deal_proposal(publish_by_epoch=Epoch(10))), RejectCode.EXPIRED),
    ],
)
def test_an_unsound_proposal_is_rejected_by_code(propose: Propose, code: RejectCode) -> None:
    assert code_of(hearing(propose)) is code


def test_a_proposal_is_good_once() -> None:
    assert code_of(hearing(proposed(), known=True)) is RejectCode.REPLAYED


def test_it_is_in_time_until_the_epoch_it_names() -> None:
    propose = proposed(deal_proposal(publish_by_epoch=Epoch(40)))
    assert hearing(propose, head_epoch=39).answer is None
    assert code_of(hearing(propose, head_epoch=40)) is RejectCode.EXPIRED


@given(flipped=st.integers(0, 64 * 8 - 1))
def test_a_signature_with_any_bit_flipped_is_refused(flipped: int) -> None:
    signed = proposed().signed_proposal
    wrong = bytearray(signed.signature)
    wrong[flipped // 8] ^= 1 << flipped % 8
    forged = SignedProposal(proposal=signed.proposal, signature=bytes(wrong))
    propose = proposed().evolve(signed_proposal=forged)
    assert code_of(hearing(propose)) is RejectCode.SIGNATURE


@pytest.mark.parametrize("signer", [STRANGER, SigningKey(b"\1" * 32)])
def test_an_acceptance_by_someone_else_binds_nobody(signer: SigningKey) -> None:
    propose = proposed()
    client = ClientNegotiation(propose, worker=WORKER_ADDRESS)
    client.propose()
    forged = Accept.sign(propose.proposal.cid, fetch_by_epoch=Epoch(30), worker=signer)
    with pytest.raises(AcceptanceForged):
        client.receive(forged)
    assert client.answer is None


def test_the_client_takes_one_answer_to_its_own_proposal_only() -> None:
    propose = proposed()
    cid = propose.proposal.cid
    other_cid = deal_proposal(nonce=1).cid
    yes = Accept.sign(cid, fetch_by_epoch=Epoch(30), worker=WORKER)
    out_of_turn = (
        Accept.sign(other_cid, fetch_by_epoch=Epoch(30), worker=WORKER),
        Reject(proposal_cid=other_cid, code=RejectCode.BUSY, reason=""),
        Status(proposal_cid=cid, progress=Stands.UNKNOWN),
        propose,
    )
    client = ClientNegotiation(propose, worker=WORKER_ADDRESS)
    with pytest.raises(OutOfTurn):
        client.receive(yes)
    client.propose()
    for message in out_of_turn:
        with pytest.raises(OutOfTurn):
            client.receive(message)
    client.receive(yes)
    with pytest.raises(OutOfTurn):
        client.receive(yes)
    assert client.answer == yes


def test_the_provider_hears_one_proposal() -> None:
    negotiation = hearing(proposed())
    with pytest.raises(OutOfTurn):
        negotiation.receive(proposed())


def test_a_long_reason_is_cut_to_what_the_wire_takes() -> None:
    reject = hearing(proposed()).reject(RejectCode.BUSY, "because " * 1_000)
    assert DealReply.decode(DealReply(body=reject).encode()).body == reject


@given(st.binary(max_size=200))
def test_noise_is_no_reply(noise: bytes) -> None:
    with pytest.raises(MalformedBytes):
        DealReply.decode(noise)
