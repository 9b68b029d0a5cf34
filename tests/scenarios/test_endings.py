"""How a deal's money ends up, in every ending; the quote is always paid or given back, exactly."""

import pytest

from chain.amount import format_amount
from chain.apply import admit
from chain.deal import DealState
from chain.errors import InsufficientFunds, LedgerError
from chain.messages import (
    Body,
    DrawFaucet,
    ProveCommitSectors,
    PublishDeals,
    SectorProof,
    SignedMessage,
    SubmitWindowPost,
    Transfer,
)
from chain.sector import SectorState
from chain.units import Atto, Epoch, SectorNumber
from ipfs.cid import CID, Codec
from tests.support.world import STORY_POLICY, Person, ProviderPerson, World

PERIOD_EPOCHS = STORY_POLICY.proving_period_epochs
PRICE = 7
QUOTE = 10 * PERIOD_EPOCHS * PRICE
COLLATERAL = 30 * PERIOD_EPOCHS * PRICE
FEE = 3 * PERIOD_EPOCHS * PRICE


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def alice(world: World) -> Person:
    return world.person("alice", atto=10_000)


@pytest.fixture
def bob(world: World) -> ProviderPerson:
    return world.provider("bob", atto=10_000)


def test_proven_to_the_end_everything_is_paid(
    world: World, alice: Person, bob: ProviderPerson
) -> None:
    deal = alice.stores_with(bob, periods=10, price_atto_per_epoch=PRICE)
    assert alice.free_atto == 10_000 - QUOTE, "the whole price is promised up front"
    assert bob.free_atto == 10_000 - COLLATERAL

    opening = world.passes_window(deal, proven_by=bob)
    earned_atto = PRICE * (opening - deal.now.proposal.start_epoch)
    assert bob.free_atto == 10_000 - COLLATERAL + earned_atto, "proven time is earned at once"

    world.passes_until(deal.now.proposal.end_epoch, proven_by=bob)
    assert deal.ends_as(DealState.COMPLETED)
    assert deal.sector.state is SectorState.EXPIRED
    assert (alice.free_atto, bob.free_atto) == (10_000 - QUOTE, 10_000 + QUOTE)


def test_the_final_window_pays_the_tail(world: World, alice: Person, bob: ProviderPerson) -> None:
    deal = alice.stores_with(bob, periods=2, price_atto_per_epoch=PRICE)
    proposal = deal.now.proposal
    last_opening = proposal.end_epoch - 4  # three epochs to answer, all of them within the deal
    world.passes_until(last_opening, proven_by=bob)
    before = deal.sector
    assert before.window_epoch == last_opening
    assert deal.now.paid_atto < proposal.payment_atto

    world.passes(epochs=1, proven_by=bob)
    assert deal.now.paid_atto == proposal.payment_atto
    assert deal.is_now(DealState.ACTIVE), "it is kept until its end all the same"
    assert deal.sector == before.evolve(window_epoch=None, close_epoch=None), "nothing left to ask"

    world.passes_until(proposal.end_epoch)
    assert deal.ends_as(DealState.COMPLETED)


def test_time_alone_earns_nothing(world: World, alice: Person, bob: ProviderPerson) -> None:
    deal = alice.stores_with(bob, periods=10, price_atto_per_epoch=PRICE)
    assert deal.sector.close_epoch is not None
    world.passes_until(deal.sector.close_epoch - 1)
    assert (deal.now.paid_atto, deal.now.refunded_atto) == (0, 0)


def test_a_first_miss_is_forgiven_and_a_later_one_is_not(
    world: World, alice: Person, bob: ProviderPerson
) -> None:
    deal = alice.stores_with(bob, periods=10, price_atto_per_epoch=PRICE)
    start = deal.now.proposal.start_epoch

    missed = world.passes_window(deal)
    assert deal.is_now(DealState.FAULTY)
    assert deal.now.refunded_atto == PRICE * (missed - start), "unproven time is not paid"
    assert deal.now.compensation_atto == 0, "the first miss is free"

    proven = world.passes_window(deal, proven_by=bob)
    assert deal.is_now(DealState.ACTIVE)
    assert deal.now.paid_atto == PRICE * (proven - missed), "paid from the missed window on"
    assert deal.sector.missed == ()

    again = world.passes_window(deal)
    assert deal.now.compensation_atto == FEE, "a second miss within 30 periods costs the fee"
    assert deal.now.refunded_atto == PRICE * (missed - start + again - proven)

    world.passes_until(deal.now.proposal.end_epoch, proven_by=bob)
    assert deal.ends_as(DealState.COMPLETED)
    assert deal.now.windows_missed == 2
    lost_atto = deal.now.refunded_atto + FEE
    assert (alice.free_atto, bob.free_atto) == (
        10_000 - QUOTE + lost_atto,
        10_000 + QUOTE - lost_atto,
    )


def test_missed_for_too_long_it_is_terminated(
    world: World, alice: Person, bob: ProviderPerson
) -> None:
    deal = alice.stores_with(bob, periods=10, price_atto_per_epoch=PRICE)
    world.passes_window(deal, proven_by=bob)
    paid_atto = deal.now.paid_atto

    world.passes_window(deal)
    assert deal.is_now(DealState.FAULTY)
    world.passes_window(deal)
    assert deal.ends_as(DealState.TERMINATED)
    assert deal.sector.state is SectorState.TERMINATED
    assert deal.now.paid_atto == paid_atto
    assert deal.now.compensation_atto == COLLATERAL, "all that was left of it"
    assert (alice.free_atto, bob.free_atto) == (
        10_000 - paid_atto + COLLATERAL,
        10_000 + paid_atto - COLLATERAL,
    )


def test_faulty_at_its_end_it_has_failed(world: World, alice: Person, bob: ProviderPerson) -> None:
    deal = alice.stores_with(bob, periods=10, price_atto_per_epoch=PRICE)
    end = deal.now.proposal.end_epoch
    world.passes_until(end - 4, proven_by=bob)
    proven_until = deal.now.settled_until_epoch

    world.passes_until(end)
    assert deal.ends_as(DealState.FAILED)
    assert deal.now.refunded_atto == PRICE * (end - proven_until)
    assert deal.now.compensation_atto == COLLATERAL
    assert deal.sector.state is SectorState.EXPIRED


def test_a_reservation_lapses_by_itself(world: World, alice: Person, bob: ProviderPerson) -> None:
    proposal = alice.proposes(bob, price_atto_per_epoch=PRICE, published_within=2)
    alice.reserves(proposal)
    assert alice.free_atto == 10_000 - QUOTE
    world.passes(epochs=2)
    assert alice.free_atto == 10_000 - QUOTE, "it may still be published"
    world.passes(epochs=1)
    assert alice.free_atto == 10_000


def test_a_cancelled_proposal_is_free_at_once_and_gone(
    world: World, alice: Person, bob: ProviderPerson
) -> None:
    proposal = alice.proposes(bob, price_atto_per_epoch=PRICE)
    alice.reserves(proposal)
    alice.cancels(proposal)
    assert alice.free_atto == 10_000
    with pytest.raises(AssertionError, match="not-found"):
        bob.publishes(proposal)


def test_never_sealed_the_client_gets_price_and_collateral(
    world: World, alice: Person, bob: ProviderPerson
) -> None:
    proposal = alice.proposes(bob, price_atto_per_epoch=PRICE)
    alice.reserves(proposal)
    deal = bob.publishes(proposal)
    assert bob.free_atto == 10_000 - COLLATERAL
    world.passes_until(proposal.start_epoch)
    assert deal.is_now(DealState.PUBLISHED), "its first epoch is the last to pre-commit in"
    world.passes(epochs=1)
    assert deal.ends_as(DealState.LAPSED)
    assert (alice.free_atto, bob.free_atto) == (10_000 + COLLATERAL, 10_000 - COLLATERAL)


def test_never_proven_the_client_gets_the_deposit_as_well(
    world: World, alice: Person, bob: ProviderPerson
) -> None:
    proposal = alice.proposes(bob, periods=10, price_atto_per_epoch=PRICE)
    alice.reserves(proposal)
    deal = bob.publishes(proposal)
    bob.seals(deal)
    deposit_atto = PERIOD_EPOCHS * PRICE
    assert bob.free_atto == 10_000 - COLLATERAL - deposit_atto

    world.passes_until(deal.sector.prove_by_epoch)
    assert deal.is_now(DealState.PUBLISHED)
    world.passes(epochs=1)
    assert deal.ends_as(DealState.LAPSED)
    assert deal.sector.state is SectorState.TERMINATED
    assert deal.now.compensation_atto == COLLATERAL + deposit_atto
    assert alice.free_atto == 10_000 + COLLATERAL + deposit_atto


def test_proven_late_the_time_before_is_given_back(
    world: World, alice: Person, bob: ProviderPerson
) -> None:
    proposal = alice.proposes(bob, periods=10, price_atto_per_epoch=PRICE)
    alice.reserves(proposal)
    deal = bob.publishes(proposal)
    number = bob.seals(deal)
    world.passes_until(proposal.start_epoch + 5)
    bob.proves_replication(number)
    assert deal.now.refunded_atto == 5 * PRICE
    world.passes_until(proposal.end_epoch, proven_by=bob)
    assert deal.ends_as(DealState.COMPLETED)
    assert bob.free_atto == 10_000 + QUOTE - 5 * PRICE


def test_a_sector_of_two_deals_ends_with_the_longer_one(
    world: World, alice: Person, bob: ProviderPerson
) -> None:
    carol = world.person("carol", atto=10_000)
    short = alice.proposes(bob, periods=2, price_atto_per_epoch=PRICE, piece="short")
    long = carol.proposes(bob, periods=4, price_atto_per_epoch=1, piece="long")
    alice.reserves(short)
    carol.reserves(long)
    first, second = bob.publishes(short), bob.publishes(long)
    number = bob.seals(first, second)
    world.passes_until(short.start_epoch)
    bob.proves_replication(number)

    world.passes_until(short.end_epoch, proven_by=bob)
    assert first.ends_as(DealState.COMPLETED)
    assert second.is_now(DealState.ACTIVE)
    world.passes_until(long.end_epoch, proven_by=bob)
    assert second.ends_as(DealState.COMPLETED)
    assert second.now.paid_atto == long.payment_atto
    assert second.sector.state is SectorState.EXPIRED


def test_deals_that_end_close_together_share_their_last_window(
    world: World, alice: Person, bob: ProviderPerson
) -> None:
    proposals = [
        alice.proposes(bob, periods=2, starts_in=starts_in, piece=f"piece {starts_in}")
        for starts_in in (3, 4, 5)
    ]
    for proposal in proposals:
        alice.reserves(proposal)
    deals = [bob.publishes(proposal) for proposal in proposals]
    number = bob.seals(*deals)
    world.passes_until(proposals[0].start_epoch)
    bob.proves_replication(number)
    world.passes_until(proposals[0].end_epoch, proven_by=bob)
    assert all(deal.now.is_settled for deal in deals)
    world.passes_until(proposals[-1].end_epoch)
    assert all(deal.ends_as(DealState.COMPLETED) for deal in deals)


def test_a_fee_goes_to_the_ledger_and_a_valid_proofs_comes_back() -> None:
    fee_atto = 5
    world = World(STORY_POLICY.evolve(message_fee_atto=Atto(fee_atto)))
    alice, bob = world.person("alice", atto=10_000), world.provider("bob", atto=10_000)
    deal = alice.stores_with(bob, periods=2, price_atto_per_epoch=PRICE)
    world.passes_until(deal.now.proposal.end_epoch, proven_by=bob)
    assert deal.ends_as(DealState.COMPLETED)

    price_atto = deal.now.proposal.payment_atto
    assert alice.free_atto == 10_000 - price_atto - fee_atto, "one message: ReserveEscrow"
    assert bob.free_atto == 10_000 + price_atto - 3 * fee_atto, "register, publish, pre-commit"
    assert world.ledger.account(world.ledger.ledger).balance_atto == 4 * fee_atto
    assert bob.worker.account.balance_atto == 0, "the owner pays for its worker"


def test_a_batch_costs_as_much_as_its_items_would_alone() -> None:
    world = World(STORY_POLICY.evolve(message_fee_atto=Atto(5)))
    bob = world.provider("bob", atto=10_000)
    nothing = [CID.of(Codec.RAW, b"no proposal %d" % index) for index in range(64)]
    free_atto = bob.free_atto
    receipt = bob.worker.says(PublishDeals(provider_id=bob.id, proposal_cids=tuple(nothing)))
    assert len(receipt.refusals) == 64
    assert receipt.fee_atto == free_atto - bob.free_atto == 64 * 5


def proof_of(number: SectorNumber) -> SectorProof:
    return SectorProof(number=number, proof_cid=CID.of(Codec.RAW, b"not a proof"))


def test_a_provider_without_free_money_proves_all_the_same() -> None:
    world = World(STORY_POLICY.evolve(message_fee_atto=Atto(5)))
    alice, bob = world.person("alice", atto=10_000), world.provider("bob", atto=10_000)
    proposal = alice.proposes(bob, periods=4, price_atto_per_epoch=PRICE)
    alice.reserves(proposal)
    deal = bob.publishes(proposal)
    number = bob.seals(deal)
    bob.does(Transfer(to=alice.address, amount_atto=Atto(bob.free_atto - 5)))
    assert bob.free_atto == 0

    world.passes_until(proposal.start_epoch)
    bob.proves_replication(number)
    assert deal.is_now(DealState.ACTIVE)
    bob.does(Transfer(to=alice.address, amount_atto=Atto(bob.free_atto - 5)))
    world.passes_window(deal)
    assert deal.is_now(DealState.FAULTY)

    assert deal.sector.window_epoch is not None
    world.passes_until(deal.sector.window_epoch + 1)
    wrong = bob.window_answer(deal.sector).evolve(proofs=(proof_of(number),))
    assert bob.worker.says(wrong).fee_atto == 0, "there is nothing to take"
    bob.answers_windows()
    assert deal.is_now(DealState.ACTIVE)
    assert bob.free_atto > 0, "the window was paid, and cost nothing"


def test_only_a_proof_that_a_sector_waits_for_needs_no_money() -> None:
    world = World(STORY_POLICY.evolve(message_fee_atto=Atto(5)))
    alice, bob = world.person("alice", atto=10_000), world.provider("bob", atto=10_000)
    deal = alice.stores_with(bob)
    bob.does(Transfer(to=alice.address, amount_atto=Atto(bob.free_atto - 5)))
    active, unknown = (proof_of(number) for number in (deal.sector.number, SectorNumber(9)))
    for body in (
        ProveCommitSectors(provider_id=bob.id, proofs=(active,)),
        ProveCommitSectors(provider_id=bob.id, proofs=(unknown,)),
        SubmitWindowPost(provider_id=bob.id, window_epoch=Epoch(1), proofs=(unknown,)),
    ):
        with pytest.raises(LedgerError, match=f"needs {format_amount(5)}"):
            bob.worker.says(body)


def test_only_the_worker_of_a_waiting_sectors_provider_needs_no_money_and_only_for_now() -> None:
    world = World(STORY_POLICY.evolve(message_fee_atto=Atto(5)))
    alice, bob = world.person("alice", atto=10_000), world.provider("bob", atto=10_000)
    stranger, carol = world.person("stranger"), world.provider("carol", atto=5)
    proposal = alice.proposes(bob)
    alice.reserves(proposal)
    number = bob.seals(bob.publishes(proposal))
    bob.does(Transfer(to=alice.address, amount_atto=Atto(bob.free_atto - 5)))

    def is_free(person: Person, body: Body) -> bool:
        try:
            admit(world.ledger, SignedMessage.sign(person.message(body), person.key))
        except InsufficientFunds:
            return False
        return True

    replication = ProveCommitSectors(provider_id=bob.id, proofs=(proof_of(number),))
    assert not is_free(bob.worker, replication), "its challenges are not drawn yet"
    world.passes_until(proposal.start_epoch)
    assert is_free(bob.worker, replication)
    assert not is_free(stranger, replication)
    assert not is_free(carol.worker, replication)
    assert not is_free(carol.worker, replication.evolve(provider_id=carol.id))

    bob.proves_replication(number)
    bob.does(Transfer(to=alice.address, amount_atto=Atto(bob.free_atto - 5)))
    opening = world.ledger.sector(bob.id, number).window_epoch
    assert opening is not None
    answer = SubmitWindowPost(provider_id=bob.id, window_epoch=opening, proofs=(proof_of(number),))
    assert not is_free(bob.worker, answer), "the window is not open yet"
    world.passes_until(opening + 1)
    assert is_free(bob.worker, answer)
    assert not is_free(bob.worker, answer.evolve(window_epoch=Epoch(opening - 1)))
    assert not is_free(stranger, answer)


def test_a_refused_message_spends_nonce_and_fee_and_nothing_else() -> None:
    world = World(STORY_POLICY.evolve(message_fee_atto=Atto(5)))
    alice, bob = world.person("alice", atto=100), world.person("bob")
    receipt = alice.says(Transfer(to=bob.address, amount_atto=Atto(96)))
    assert receipt.code == "insufficient-funds"
    assert f"{format_amount(1)} are missing" in receipt.detail
    assert (alice.free_atto, bob.free_atto, alice.account.nonce) == (95, 0, 2)

    assert alice.says(Transfer(to=bob.address, amount_atto=Atto(90))).is_done
    with pytest.raises(LedgerError, match=f"needs {format_amount(5)}"):
        alice.says(Transfer(to=bob.address, amount_atto=Atto(0)))
    assert alice.account.nonce == 3, "who can't pay the fee never enters a block"


def test_the_faucet_costs_nothing_and_has_a_limit() -> None:
    world = World(STORY_POLICY.evolve(message_fee_atto=Atto(5), faucet_atto_max=Atto(50)))
    alice = world.person("alice", atto=50)
    assert alice.free_atto == 50
    assert alice.says(DrawFaucet(amount_atto=Atto(51))).code == "not-allowed"
    assert alice.free_atto == 50
    assert world.ledger.counters().minted_atto == 50
