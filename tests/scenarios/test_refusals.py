"""What the ledger refuses: what never enters a block, and what spends a fee for nothing."""

from collections.abc import Callable

import pytest

from chain.amount import format_amount
from chain.apply import Outcome, admit, apply, charge
from chain.deal import DealProposal
from chain.errors import (
    Expired,
    ExpiresTooLate,
    LedgerError,
    NotFound,
    WrongChain,
    WrongNonce,
    WrongSignature,
)
from chain.keys import MAIN_PREFIX, Address
from chain.messages import (
    CancelProposal,
    Message,
    PostAsk,
    PublishDeals,
    RegisterProvider,
    ReserveEscrow,
    SignedMessage,
    Transfer,
    UpdateProvider,
)
from chain.provider import Ask
from chain.units import Atto, Epoch, ProviderId
from chain.view import Draft
from ipfs.cid import CID, Codec
from ipfs.piece_cid import piece_cid_v1, piece_cid_v2
from proofs.parameters import ProofType
from tests.support.world import Person, ProviderPerson, World

ED25519_ORDER = 2**252 + 27742317777372353535851937790883648493


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def alice(world: World) -> Person:
    return world.person("alice", atto=10_000)


@pytest.fixture
def bob(world: World) -> ProviderPerson:
    return world.provider("bob", atto=100_000)


def gift(alice: Person, to: Person) -> Message:
    return alice.message(Transfer(to=to.address, amount_atto=Atto(1)))


def test_what_can_not_be_admitted_changes_nothing(world: World, alice: Person) -> None:
    bob = world.person("bob")
    message = gift(alice, bob)
    of_main = alice.key.address(MAIN_PREFIX)
    latest = Epoch(world.epoch + world.policy.message_epochs_max)
    cases: dict[type[LedgerError], Message] = {
        WrongNonce: message.evolve(nonce=message.nonce + 1),
        Expired: message.evolve(expires_epoch=Epoch(world.epoch - 1)),
        ExpiresTooLate: message.evolve(expires_epoch=Epoch(latest + 1)),
    }
    before = dict(world.ledger.entities)
    for refusal, refused in cases.items():
        with pytest.raises(refusal):
            apply(world.ledger, SignedMessage.sign(refused, alice.key))
    for elsewhere in (message.evolve(chain_id="another"), message.evolve(sender=of_main)):
        with pytest.raises(WrongChain):
            apply(world.ledger, SignedMessage.sign(elsewhere, alice.key))
    assert world.ledger.entities == before

    for edge in (message.evolve(expires_epoch=world.epoch), message.evolve(expires_epoch=latest)):
        admit(world.ledger, SignedMessage.sign(edge, alice.key))


def test_a_replay_is_refused_by_its_nonce(world: World, alice: Person) -> None:
    signed = SignedMessage.sign(gift(alice, world.person("bob")), alice.key)
    world.settle(signed)
    with pytest.raises(WrongNonce) as refusal:
        world.settle(signed)
    assert (refusal.value.expected, refusal.value.found) == (2, 1)


def test_only_the_senders_own_signature_counts(world: World, alice: Person) -> None:
    mallory = world.person("mallory")
    message = gift(alice, mallory)
    good = SignedMessage.sign(message, alice.key)
    scalar = int.from_bytes(good.signature[32:], "little")
    malleated = good.signature[:32] + (scalar + ED25519_ORDER).to_bytes(32, "little")
    other = SignedMessage.sign(message.evolve(nonce=5), alice.key)
    for signature in (
        SignedMessage.sign(message, mallory.key).signature,
        alice.key.sign("ask", message.cid.encode()),
        other.signature,
        malleated,
        good.signature[:-1],
        b"",
    ):
        with pytest.raises(WrongSignature):
            apply(world.ledger, good.evolve(signature=signature))
    assert good.id == good.evolve(signature=malleated).id == message.cid


def test_a_balance_is_spent_once(world: World) -> None:
    alice, bob = world.person("alice", atto=100), world.person("bob")
    codes = [alice.says(Transfer(to=bob.address, amount_atto=Atto(30))).code for _ in range(64)]
    assert codes.count(None) == 100 // 30
    assert set(codes) == {None, "insufficient-funds"}
    assert (alice.free_atto, bob.free_atto) == (10, 90)


def test_what_is_locked_is_not_spent(world: World, alice: Person, bob: ProviderPerson) -> None:
    alice.reserves(alice.proposes(bob, periods=10, price_atto_per_epoch=60))
    assert alice.free_atto == 400
    refused = alice.says(Transfer(to=bob.address, amount_atto=Atto(401)))
    assert refused.code == "insufficient-funds"
    assert alice.says(Transfer(to=bob.address, amount_atto=Atto(400))).is_done


def test_money_to_oneself_is_no_money_made(world: World, alice: Person) -> None:
    assert alice.says(Transfer(to=alice.address, amount_atto=Atto(10_000))).is_done
    assert alice.free_atto == 10_000


def test_money_to_another_network_is_refused(world: World, alice: Person) -> None:
    elsewhere = alice.key.address(MAIN_PREFIX)
    refused = alice.says(Transfer(to=elsewhere, amount_atto=Atto(1)))
    assert refused.code == "wrong-chain"
    registered = alice.says(RegisterProvider(worker=elsewhere, peer_id="peer", addresses=()))
    assert registered.code == "wrong-chain"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda it: it.evolve(chain_id="another chain"), "wrong-chain"),
        (lambda it: it.evolve(provider_id=ProviderId(99)), "not-found"),
        (lambda it: it.evolve(publish_by_epoch=Epoch(0)), "expired"),
        (lambda it: it.evolve(end_epoch=Epoch(it.start_epoch + 15)), "terms-refused"),
        (lambda it: it.evolve(end_epoch=Epoch(it.start_epoch + 1278 * 16 + 1)), "terms-refused"),
        (lambda it: it.evolve(collateral_atto=Atto(it.collateral_atto - 1)), "terms-refused"),
        (lambda it: it.evolve(piece_size_bytes=256), "terms-refused"),
        (lambda it: it.evolve(piece_cid=it.root_cid), "terms-refused"),
        (lambda it: it.evolve(piece_size_bytes=2**30, piece_cid=big_piece()), "terms-refused"),
        (lambda it: it.evolve(price_atto_per_epoch=Atto(10**9)), "terms-refused"),
        (
            lambda it: it.evolve(
                price_atto_per_epoch=Atto(2**255), collateral_atto=Atto(2**256 - 1)
            ),
            "terms-refused",
        ),
    ],
)
def test_a_proposal_that_breaks_a_rule_locks_nothing(
    world: World,
    alice: Person,
    bob: ProviderPerson,
    change: Callable[[DealProposal], DealProposal],
    code: str,
) -> None:
    proposal = alice.proposes(bob)
    assert alice.says(ReserveEscrow(proposal=change(proposal))).code == code
    assert alice.free_atto == 10_000
    alice.reserves(proposal)


def big_piece() -> CID:
    return piece_cid_v2(bytes(32), padding_bytes=0, height=25)


def test_a_version_1_piece_cid_is_taken(world: World, alice: Person, bob: ProviderPerson) -> None:
    proposal = alice.proposes(bob)
    alice.reserves(proposal.evolve(piece_cid=piece_cid_v1(proposal.piece_cid.digest[-32:])))


def test_a_price_beyond_every_balance_is_refused_with_what_is_missing(
    world: World, alice: Person, bob: ProviderPerson
) -> None:
    proposal = alice.proposes(bob, periods=10, price_atto_per_epoch=100)
    refused = alice.says(ReserveEscrow(proposal=proposal))
    assert refused.code == "insufficient-funds"
    assert f"{format_amount(6000)} are missing" in refused.detail


def test_a_proposal_is_good_once(world: World, alice: Person, bob: ProviderPerson) -> None:
    cancelled = alice.proposes(bob, nonce=1, starts_in=9, published_within=5)
    published = alice.proposes(bob, nonce=2, starts_in=9, published_within=5)
    lapsed = alice.proposes(bob, nonce=3, published_within=1)
    for proposal in (cancelled, published, lapsed):
        alice.reserves(proposal)
        assert alice.says(ReserveEscrow(proposal=proposal)).code == "already-exists"
    alice.cancels(cancelled)
    deal = bob.publishes(published)
    world.passes(epochs=2)
    again = [
        alice.says(ReserveEscrow(proposal=proposal)).code
        for proposal in (cancelled, published, lapsed)
    ]
    assert again == ["already-exists", "already-exists", "expired"]
    assert alice.says(CancelProposal(proposal_cid=published.cid)).code == "not-found"
    found = world.ledger.deal_of(published.cid)
    assert found is not None
    assert found.id == deal.id
    assert world.ledger.deal_of(cancelled.cid) is None

    world.passes_until(published.end_epoch)
    assert alice.says(ReserveEscrow(proposal=published)).code == "expired"
    assert world.ledger.get(f"proposal/{cancelled.cid}") is None, "the state forgets what is void"


def test_a_proposal_is_its_clients(world: World, alice: Person, bob: ProviderPerson) -> None:
    mallory = world.person("mallory", atto=10_000)
    proposal = alice.proposes(bob)
    assert mallory.says(ReserveEscrow(proposal=proposal)).code == "not-allowed"
    alice.reserves(proposal)
    assert mallory.says(CancelProposal(proposal_cid=proposal.cid)).code == "not-allowed"


def test_only_its_provider_publishes_it_through_its_worker(
    world: World, alice: Person, bob: ProviderPerson
) -> None:
    carol = world.provider("carol", atto=10_000)
    proposal = alice.proposes(bob)
    alice.reserves(proposal)
    body = PublishDeals(provider_id=bob.id, proposal_cids=(proposal.cid,))
    assert carol.worker.says(body).code == "not-allowed"
    assert bob.says(body).code == "not-allowed", "the owner's key stays cold"
    [refusal] = carol.worker.says(body.evolve(provider_id=carol.id)).refusals
    assert refusal.code == "not-allowed"
    assert bob.publishes(proposal).now.proposal == proposal


def test_who_can_not_cover_the_collateral_publishes_nothing(world: World, alice: Person) -> None:
    poor = world.provider("poor", atto=479)
    proposal = alice.proposes(poor, periods=10)
    assert proposal.collateral_atto == 480
    alice.reserves(proposal)
    body = PublishDeals(provider_id=poor.id, proposal_cids=(proposal.cid,))
    [refusal] = poor.worker.says(body).refusals
    assert refusal.code == "insufficient-funds"
    assert world.ledger.reservation(proposal.cid).proposal == proposal


def test_the_registry_is_changed_by_its_own(
    world: World, alice: Person, bob: ProviderPerson
) -> None:
    update = UpdateProvider(provider_id=bob.id, peer_id="moved", addresses=("/ip4/1.2.3.4/tcp/1",))
    assert alice.says(update).code == "not-allowed"
    assert alice.says(update.evolve(provider_id=ProviderId(99))).code == "not-found"
    assert bob.says(update).is_done
    assert bob.worker.says(update.evolve(peer_id="again")).is_done
    assert world.ledger.provider(bob.id).peer_id == "again"

    ask = Ask(
        provider_id=bob.id,
        chain_id=world.ledger.chain_id,
        proof_type=ProofType.SDR_2KIB,
        price_atto_per_gib_epoch=Atto(1),
        piece_size_bytes_min=128,
        piece_size_bytes_max=2048,
        duration_epochs_max=100,
        expires_epoch=Epoch(world.epoch),
    )
    refused = {
        "not-found": ask.evolve(provider_id=ProviderId(99)),
        "wrong-chain": ask.evolve(chain_id="another"),
        "expired": ask.evolve(expires_epoch=Epoch(0)),
        "not-allowed": ask.evolve(proof_type=ProofType.SDR_64GIB),
    }
    for code, bad in refused.items():
        assert bob.worker.says(PostAsk(ask=bad)).code == code
    assert bob.says(PostAsk(ask=ask)).code == "not-allowed"
    assert world.ledger.provider(bob.id).ask is None
    assert bob.worker.says(PostAsk(ask=ask)).is_done
    assert world.ledger.provider(bob.id).ask == ask


def test_messages_wait_in_line_on_top_of_the_view(world: World, alice: Person) -> None:
    bob = world.person("bob")
    first = gift(alice, bob)
    waiting = Draft(world.ledger)
    waiting.write(charge(waiting, first))
    second = SignedMessage.sign(first.evolve(nonce=first.nonce + 1), alice.key)
    admit(waiting, second)
    with pytest.raises(WrongNonce):
        admit(world.ledger, second)
    with pytest.raises(NotFound):
        world.ledger.provider(ProviderId(1))


def test_a_refusal_is_the_same_wherever_it_is_found(world: World, alice: Person) -> None:
    nowhere = Address(alice.key.address("thf"))
    body = CancelProposal(proposal_cid=CID.of(Codec.RAW, nowhere.encode()))
    signed = SignedMessage.sign(alice.message(body), alice.key)
    outcomes: list[Outcome] = [apply(world.ledger, signed), apply(Draft(world.ledger), signed)]
    assert outcomes[0] == outcomes[1]
    assert outcomes[0].receipt.code == "not-found"
