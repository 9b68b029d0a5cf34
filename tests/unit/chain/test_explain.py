"""Every state of a deal has someone whose move it is, until when, and what happens by itself."""

import pytest

from chain.deal import DealState
from chain.explain import Explanation, Party, explain
from tests.support.world import StoryDeal, World


def told(deal: StoryDeal) -> Explanation:
    now = deal.now
    sector = None if now.sector_number is None else deal.sector
    return explain(now, sector, deal.world.policy, deal.world.epoch)


def test_a_deal_is_explained_from_its_publication_to_its_end() -> None:
    world = World()
    alice, bob = world.person("alice", atto=10**6), world.provider("bob", atto=10**6)
    proposal = alice.proposes(bob)
    alice.reserves(proposal)
    deal = bob.publishes(proposal)
    published = told(deal)
    assert (published.whose_move, published.until_epoch) == (Party.PROVIDER, proposal.start_epoch)
    number = bob.seals(deal)
    assert told(deal).until_epoch == deal.sector.prove_by_epoch
    world.passes_until(proposal.start_epoch)
    bob.proves_replication(number)
    waiting = told(deal)
    assert (waiting.state, waiting.whose_move) == (DealState.ACTIVE, Party.LEDGER)
    assert deal.sector.window_epoch is not None
    assert deal.sector.close_epoch is not None
    assert waiting.until_epoch == deal.sector.window_epoch
    world.passes_until(deal.sector.window_epoch + 1)
    challenged = told(deal)
    assert challenged.whose_move is Party.PROVIDER
    assert challenged.until_epoch == deal.sector.close_epoch - 1
    world.passes_until(deal.sector.close_epoch)
    assert told(deal).state is DealState.FAULTY
    assert "terminated" in told(deal).then or told(deal).whose_move is Party.LEDGER
    world.passes(periods=12)
    over = told(deal)
    assert (over.whose_move, over.until_epoch) == (Party.NOBODY, None)


def test_a_deal_that_no_window_asks_about_any_more_waits_for_its_end() -> None:
    world = World()
    alice, bob = world.person("alice", atto=10**6), world.provider("bob", atto=10**6)
    deal = alice.stores_with(bob, periods=2)
    while not deal.now.is_settled:
        assert "window" in told(deal).now
        world.passes(epochs=1, proven_by=bob)
    assert deal.sector.window_epoch is None
    waiting = told(deal)
    end_epoch = deal.now.proposal.end_epoch
    assert (waiting.whose_move, waiting.until_epoch) == (Party.LEDGER, end_epoch)
    assert waiting.then == "the collateral goes back"
    # With its last window missed, while another deal of the sector still has one ahead.
    faulty = deal.now.evolve(state=DealState.FAULTY)
    told_faulty = explain(faulty, deal.sector, world.policy, world.epoch)
    assert told_faulty.then == "the collateral goes to the client"
    world.passes_until(end_epoch)
    assert deal.is_now(DealState.COMPLETED)
    assert told(deal).whose_move is Party.NOBODY


@pytest.mark.parametrize("is_precommitted", [True, False])
def test_a_lapsed_deals_money_goes_where_it_was_said_to_go(is_precommitted: bool) -> None:
    world = World()
    alice, bob = world.person("alice", atto=10**6), world.provider("bob", atto=10**6)
    proposal = alice.proposes(bob, collateral_atto=500)
    alice.reserves(proposal)
    deal, deposit_atto = bob.publishes(proposal), 0
    if is_precommitted:
        bob.seals(deal)
        deposit_atto = deal.sector.deposit_atto
    assert "collateral" in told(deal).then
    assert ("deposit" in told(deal).then) == is_precommitted
    until = told(deal).until_epoch
    assert until is not None
    world.passes_until(until)
    assert deal.is_now(DealState.PUBLISHED)
    world.passes_until(until + 1)
    assert deal.is_now(DealState.LAPSED)
    assert deal.now.compensation_atto == proposal.collateral_atto + deposit_atto
    assert "collateral, and the deposit" in told(deal).then


@pytest.mark.parametrize("answers_until_the_last_block", [True, False])
def test_the_last_block_said_to_take_a_move_takes_it_and_no_later_one(
    answers_until_the_last_block: bool,
) -> None:
    world = World()
    alice, bob = world.person("alice", atto=10**6), world.provider("bob", atto=10**6)
    deal = alice.stores_with(bob)
    assert deal.sector.window_epoch is not None
    world.passes_until(deal.sector.window_epoch + 1)
    until = told(deal).until_epoch
    assert until is not None
    if answers_until_the_last_block:
        world.passes_until(until)
        bob.worker.does(bob.window_answer(deal.sector))
        assert deal.now.windows_proven == 1
    else:
        world.passes_until(until + 1)
        assert deal.is_now(DealState.FAULTY)
