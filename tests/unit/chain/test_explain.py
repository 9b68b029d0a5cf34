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
