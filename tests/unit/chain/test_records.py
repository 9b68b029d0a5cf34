"""The ledger's values: valid by construction, one encoding, and numbers that are nothing else."""

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from chain.account import Account
from chain.beacon import DrandBeacon, OwnBeacon
from chain.block import Allocation, Genesis, Receipt
from chain.deal import Deal, DealProposal
from chain.errors import InsufficientFunds
from chain.keys import MAIN_PREFIX, SigningKey
from chain.messages import (
    ITEMS_MAX,
    DeclareFaults,
    DrawFaucet,
    Message,
    PreCommitSectors,
    PublishDeals,
    RegisterProvider,
    ReserveEscrow,
    SectorPreCommit,
    SectorProof,
    SignedMessage,
    SubmitWindowPost,
    Transfer,
    item_count,
)
from chain.policy import DEV, MAIN
from chain.provider import Ask
from chain.submission import Submission
from chain.units import Atto, DealId, Epoch, ProviderId, SectorNumber
from chain.view import Stored
from ipfs import dag_cbor
from ipfs.cid import CID, Codec
from ipfs.errors import MalformedBytes
from proofs.drand import QUICKNET, Scheme
from proofs.parameters import ProofType
from tests.support.world import World

KEY = SigningKey(b"k" * 32)
ADDRESS = KEY.address(MAIN_PREFIX)
OWN, OTHER_OWN = OwnBeacon(public_key=bytes(48)), OwnBeacon(public_key=b"\1" * 48)
MAIN_GENESIS = Genesis(
    policy=MAIN,
    ledger_address=ADDRESS,
    beacon=DrandBeacon.of(QUICKNET),
    timestamp_milliseconds=1_000 * QUICKNET.due_seconds(1_000),
)
SOME_CID = CID.of(Codec.RAW, b"some")
WORLD = World()
PROPOSAL = WORLD.person("alice").proposes(WORLD.provider("bob", atto=0))
MESSAGE = Message(
    chain_id="chain",
    sender=ADDRESS,
    nonce=3,
    expires_epoch=Epoch(9),
    body=Transfer(to=ADDRESS, amount_atto=Atto(2**200)),
)


@pytest.mark.parametrize(
    "body",
    [
        Transfer(to=ADDRESS, amount_atto=Atto(10**30)),
        DrawFaucet(amount_atto=Atto(0)),
        RegisterProvider(worker=ADDRESS, peer_id="peer", addresses=("/ip4/1.2.3.4/tcp/5",)),
        ReserveEscrow(proposal=PROPOSAL),
        PublishDeals(provider_id=ProviderId(1), proposal_cids=(SOME_CID, SOME_CID)),
        SubmitWindowPost(
            provider_id=ProviderId(1),
            window_epoch=Epoch(4),
            proofs=(SectorProof(number=SectorNumber(0), proof_cid=SOME_CID),),
        ),
        DeclareFaults(provider_id=ProviderId(1), window_epoch=Epoch(4), numbers=(SectorNumber(0),)),
    ],
    ids=lambda body: body.kind,
)
def test_a_message_crosses_both_wires(body: Any) -> None:
    signed = SignedMessage.sign(MESSAGE.evolve(body=body), KEY)
    assert SignedMessage.decode(signed.encode()) == signed
    assert SignedMessage.model_validate_json(signed.model_dump_json()) == signed
    assert signed.is_authentic()
    assert signed.id == signed.message.cid


def test_a_message_names_the_proofs_beside_it() -> None:
    proofs = tuple(
        SectorProof(number=SectorNumber(number), proof_cid=CID.of(Codec.RAW, bytes([number])))
        for number in range(3)
    )
    body = SubmitWindowPost(provider_id=ProviderId(1), window_epoch=Epoch(1), proofs=proofs)
    assert MESSAGE.evolve(body=body).proof_cids == tuple(proof.proof_cid for proof in proofs)
    assert MESSAGE.proof_cids == ()


WRONG_AMOUNTS = ["-1", "1.0", "1e3", "NaN", "", " 1", "+1", "1_000", "０", "0x1", str(2**256)]


@pytest.mark.parametrize("amount", [*WRONG_AMOUNTS, 1, 1.5, True, None, [], {}, "9" * 100_000])
def test_json_amounts_are_decimal_strings_and_nothing_else(amount: object) -> None:
    text = json.dumps({"kind": "draw-faucet", "amount_atto": amount})
    with pytest.raises(ValidationError):
        DrawFaucet.model_validate_json(text)


@pytest.mark.parametrize("epoch", [-1, 2**53 + 1, 2**64, 10**30, 1.0, "1e3", True, None])
def test_json_epochs_are_small_integers_and_nothing_else(epoch: object) -> None:
    text = MESSAGE.model_dump_json().replace('"expires_epoch":9', f'"expires_epoch":{epoch!r}')
    with pytest.raises(ValidationError):
        Message.model_validate_json(text.replace("True", "true").replace("None", "null"))


@pytest.mark.parametrize(
    "amount", [-1, 5, 1.5, "5", None, True, b"\0", b"\0\1", b"\1" * 33, b"\1" * 100_000]
)
def test_wire_amounts_are_the_shortest_bytes_and_nothing_else(amount: object) -> None:
    with pytest.raises(MalformedBytes):
        DrawFaucet.decode(dag_cbor.encode({"kind": "draw-faucet", "amount_atto": amount}))


def test_the_first_bad_item_of_a_batch_is_the_last_that_is_looked_at() -> None:
    for batch, name, item in (
        (PublishDeals, "proposal_cids", 0),
        (SubmitWindowPost, "proofs", {}),
        (Submission, "proofs", 0),
        (RegisterProvider, "addresses", 0),
    ):
        with pytest.raises(ValidationError) as caught:
            batch.model_validate({name: [item] * 1_000}, strict=False)
        assert caught.value.error_count() < 10, batch


def test_a_message_names_so_many_deals_and_no_more_in_however_many_sectors() -> None:
    def message(sector_count: int, deals_of_each: int) -> PreCommitSectors:
        sector = SectorPreCommit(
            number=SectorNumber(0),
            proof_type=ProofType.SDR_2KIB,
            comm_d=bytes(32),
            comm_r=bytes(32),
            ticket_epoch=Epoch(0),
            deal_ids=(DealId(1),) * deals_of_each,
        )
        return PreCommitSectors(provider_id=ProviderId(1), sectors=(sector,) * sector_count)

    assert item_count(message(16, 64)) == ITEMS_MAX
    with pytest.raises(ValidationError, match="at most"):
        message(17, 64)


@pytest.mark.parametrize(
    "name", ["piece_size_bytes_min", "piece_size_bytes_max", "duration_epochs_max"]
)
def test_an_ask_has_no_number_that_a_wire_has_no_room_for(name: str) -> None:
    ask = Ask(
        provider_id=ProviderId(1),
        chain_id="chain",
        proof_type=ProofType.SDR_2KIB,
        price_atto_per_gib_epoch=Atto(1),
        piece_size_bytes_min=128,
        piece_size_bytes_max=2**53,
        duration_epochs_max=2**53,
        expires_epoch=Epoch(1),
    )
    for number in (2**53 + 1, 2**64, 10**30):
        with pytest.raises(ValidationError):
            ask.evolve(**{name: number})


@given(st.integers(0, 2**256 - 1))
def test_every_amount_keeps_its_value(amount_atto: int) -> None:
    body = DrawFaucet(amount_atto=Atto(amount_atto))
    assert DrawFaucet.decode(body.encode()).amount_atto == amount_atto
    assert DrawFaucet.model_validate_json(body.model_dump_json()).amount_atto == amount_atto


@pytest.mark.parametrize(
    "changes",
    [
        {"end_epoch": PROPOSAL.start_epoch},
        {"publish_by_epoch": Epoch(PROPOSAL.start_epoch + 1)},
        {"piece_size_bytes": 500},
        {"piece_size_bytes": 64},
        {"label": "é" * 129},
        {"client": "thf1mistyped"},
        {"provider_id": ProviderId(0)},
    ],
)
def test_an_incoherent_proposal_does_not_exist(changes: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        PROPOSAL.evolve(**changes)


def test_a_proposals_quote_is_its_price_times_its_time() -> None:
    proposal = PROPOSAL.evolve(
        start_epoch=Epoch(100), end_epoch=Epoch(107), price_atto_per_epoch=Atto(3)
    )
    assert (proposal.duration_epochs, proposal.payment_atto) == (7, 21)
    assert DealProposal.decode(proposal.encode()).cid == proposal.cid
    assert proposal.evolve(nonce=1).cid != proposal.cid


def test_a_deal_is_settled_within_its_own_time() -> None:
    deal = Deal(
        id=DealId(1),
        proposal=PROPOSAL,
        published_epoch=Epoch(1),
        settled_until_epoch=PROPOSAL.start_epoch,
        collateral_atto=PROPOSAL.collateral_atto,
    )
    assert deal.unsettled_atto == PROPOSAL.payment_atto
    for epoch in (PROPOSAL.start_epoch - 1, PROPOSAL.end_epoch + 1):
        with pytest.raises(ValidationError):
            deal.evolve(settled_until_epoch=epoch)
    assert Stored(entity=Deal.decode(deal.encode())).entity == deal


@given(
    st.integers(0, 2**100), st.integers(0, 2**100), st.integers(0, 2**100), st.integers(0, 2**100)
)
def test_an_account_never_promises_what_it_lacks(
    received: int, locked: int, spent: int, unlocked: int
) -> None:
    account = Account(address=ADDRESS).receive(received)
    if locked > received:
        with pytest.raises(InsufficientFunds) as refusal:
            account.lock(locked)
        assert refusal.value.missing_atto == locked - received
        return
    account = account.lock(locked)
    if spent > received - locked:
        with pytest.raises(InsufficientFunds):
            account.spend(spent)
        return
    account = account.spend(spent)
    freed = min(unlocked, locked)
    after = account.unlock(freed)
    assert (after.balance_atto, after.locked_atto) == (received - spent, locked - freed)
    assert after.free_atto == account.free_atto + freed
    assert account.pay_locked(freed).free_atto == account.free_atto


def test_an_account_that_locks_more_than_it_has_does_not_exist() -> None:
    with pytest.raises(ValidationError):
        Account(address=ADDRESS, balance_atto=Atto(1), locked_atto=Atto(2))


def test_a_chain_is_named_after_all_that_it_begins_with() -> None:
    genesis = MAIN_GENESIS
    second = genesis.timestamp_milliseconds + 1_000 * QUICKNET.period_seconds
    variants = {
        genesis.chain_id,
        genesis.evolve(policy=MAIN.evolve(fault_fee_periods=4)).chain_id,
        genesis.evolve(timestamp_milliseconds=second).chain_id,
        genesis.evolve(policy=MAIN.evolve(name="other"), beacon=OWN).chain_id,
        genesis.evolve(policy=MAIN.evolve(name="other"), beacon=OTHER_OWN).chain_id,
        genesis.evolve(allocations=(Allocation(address=ADDRESS, amount_atto=Atto(1)),)).chain_id,
    }
    assert len(variants) == 6
    assert Genesis.decode(genesis.encode()) == genesis


def test_a_genesis_pays_nobody_on_another_network() -> None:
    terms: dict[str, Any] = {"beacon": OWN, "timestamp_milliseconds": 1}
    with pytest.raises(ValidationError, match="another network"):
        Genesis(policy=DEV, ledger_address=ADDRESS, **terms)
    allocation = Allocation(address=KEY.address("thf"), amount_atto=Atto(1))
    with pytest.raises(ValidationError, match="another network"):
        MAIN_GENESIS.evolve(allocations=(allocation,))


def test_main_takes_its_randomness_from_quicknet_and_nobody_else_claims_to() -> None:
    assert MAIN_GENESIS.beacon_is_drand
    named_alike = DrandBeacon.of(replace(QUICKNET, public_key=b"\1" * 96))
    for beacon in (OWN, named_alike):
        with pytest.raises(ValidationError, match="quicknet"):
            MAIN_GENESIS.evolve(beacon=beacon)
        other = MAIN_GENESIS.evolve(policy=MAIN.evolve(name="other"), beacon=beacon)
        assert not other.beacon_is_drand, "its key may be in one hand"


def test_a_chain_that_follows_drand_keeps_its_time() -> None:
    late = MAIN_GENESIS.timestamp_milliseconds + 1
    with pytest.raises(ValidationError, match="a round is due"):
        MAIN_GENESIS.evolve(timestamp_milliseconds=late)
    with pytest.raises(ValidationError, match="number of drand's rounds"):
        MAIN_GENESIS.evolve(policy=MAIN.evolve(name="other", epoch_seconds=2))
    with pytest.raises(ValidationError, match="chained"):
        DrandBeacon.of(replace(QUICKNET, scheme=Scheme.CHAINED))


def test_a_receipt_without_a_code_is_done() -> None:
    receipt = Receipt(message_id=SOME_CID, epoch=Epoch(1), fee_atto=Atto(0))
    assert receipt.is_done
    assert not receipt.evolve(code="not-found").is_done
    assert Receipt.decode(receipt.encode()) == receipt
