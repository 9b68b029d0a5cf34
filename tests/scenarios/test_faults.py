"""Missed windows: what each costs, how a sector recovers, and what a halt of the ledger voids."""

import pytest

from chain import statements
from chain.apply import advance_epoch
from chain.deal import DealState
from chain.messages import SectorProof, SubmitWindowPost
from chain.sector import SectorState
from chain.units import Epoch
from ipfs.cid import CID, Codec
from tests.support.world import (
    STORY_POLICY,
    ProviderPerson,
    StoryDeal,
    World,
    honest_proof,
)

PERIOD_EPOCHS = STORY_POLICY.proving_period_epochs


def long_story() -> World:
    """A world of few epochs a period: a story of 43 missed windows stays short."""
    return World(STORY_POLICY.evolve(proving_period_epochs=8, deadlines_per_period=2))


@pytest.mark.parametrize("missed", [1, 2, 41, 42])
def test_offline_for_less_than_the_limit_it_recovers(missed: int) -> None:
    world = long_story()
    alice, bob = world.person("alice", atto=10_000), world.provider("bob", atto=10_000)
    deal = alice.stores_with(bob, periods=430)
    world.passes_window(deal, proven_by=bob)
    paid_atto = deal.now.paid_atto
    for _ in range(missed):
        world.passes_window(deal)
    assert deal.is_now(DealState.FAULTY)
    assert len(deal.sector.missed) == missed

    world.passes_window(deal, proven_by=bob)
    assert deal.is_now(DealState.ACTIVE)
    assert deal.sector.missed == ()
    period_atto = world.policy.proving_period_epochs
    assert deal.now.refunded_atto == missed * period_atto, "missed time stays unpaid"
    assert deal.now.paid_atto == paid_atto + period_atto, "the time since the last miss is paid"
    fees_atto = (missed - 1) * 3 * period_atto
    assert deal.now.compensation_atto == min(fees_atto, deal.now.proposal.collateral_atto)


def test_offline_for_43_windows_it_is_terminated() -> None:
    world = long_story()
    alice, bob = world.person("alice", atto=10_000), world.provider("bob", atto=10_000)
    deal = alice.stores_with(bob, periods=430)
    for _ in range(42):
        world.passes_window(deal)
    assert deal.is_now(DealState.FAULTY)
    world.passes_window(deal)
    assert deal.ends_as(DealState.TERMINATED)
    assert deal.now.compensation_atto == deal.now.proposal.collateral_atto


def test_after_thirty_periods_a_miss_is_forgiven_again() -> None:
    world = long_story()
    alice, bob = world.person("alice", atto=10_000), world.provider("bob", atto=10_000)
    deal = alice.stores_with(bob, periods=100)
    first = world.passes_window(deal)
    world.passes_until(first + 30 * 8 - 1, proven_by=bob)
    world.passes_window(deal)
    assert deal.now.compensation_atto == 0
    assert deal.now.windows_missed == 2


def test_recovery_answers_the_missed_windows_as_well() -> None:
    world = World()
    alice, bob = world.person("alice", atto=10_000), world.provider("bob", atto=10_000)
    deal = alice.stores_with(bob, periods=20)
    missed = world.passes_window(deal)
    opening = deal.sector.window_epoch
    assert opening is not None
    world.passes_until(opening + 1)

    sector = deal.sector
    only_now = statements.window_statement(
        chain_id=world.ledger.chain_id,
        policy=world.policy,
        sector=sector.evolve(missed=()),
        deals=world.ledger.deals_of(sector),
        beacons=world.ledger.beacons,
    )
    answer = SubmitWindowPost(
        provider_id=bob.id,
        window_epoch=opening,
        proofs=(SectorProof(number=sector.number, proof_cid=honest_proof(only_now)),),
    )
    [refusal] = bob.worker.says(answer).refusals
    assert refusal.code == "proof-invalid"
    assert deal.is_now(DealState.FAULTY)

    assert statements.challenged_epochs(world.policy, sector) == (missed, opening)
    bob.worker.does(bob.window_answer(sector))
    assert deal.is_now(DealState.ACTIVE)


def test_an_invalid_proof_may_be_made_good_within_its_window() -> None:
    world = World()
    alice, bob = world.person("alice", atto=10_000), world.provider("bob", atto=10_000)
    deal = alice.stores_with(bob)
    assert deal.sector.window_epoch is not None
    world.passes_until(deal.sector.window_epoch + 1)
    answer = bob.window_answer(deal.sector)
    wrong = SectorProof(number=deal.sector.number, proof_cid=CID.of(Codec.RAW, b"wrong bytes"))
    before = deal.now

    [refusal] = bob.worker.says(answer.evolve(proofs=(wrong,))).refusals
    assert refusal.code == "proof-invalid"
    assert deal.now == before
    bob.worker.does(answer)
    assert deal.now.windows_proven == 1


def test_a_proof_is_of_one_window_no_earlier_no_later_no_twice() -> None:
    world = World()
    alice, bob = world.person("alice", atto=10_000), world.provider("bob", atto=10_000)
    deal = alice.stores_with(bob)
    opening = deal.sector.window_epoch
    assert opening is not None
    world.passes_until(opening)
    answer = bob.window_answer(deal.sector)
    [early] = bob.worker.says(answer).refusals
    assert early.code == "too-early", "its seed is the beacon of the block being closed"
    [unopened] = bob.worker.says(answer.evolve(window_epoch=Epoch(opening + 16))).refusals
    assert unopened.code == "too-early"

    world.passes(epochs=1)
    bob.worker.does(answer)
    [again] = bob.worker.says(answer).refusals
    assert again.code == "too-late"

    following = deal.sector
    assert following.window_epoch == opening + PERIOD_EPOCHS
    world.passes_until(following.window_epoch + 1)
    replayed = answer.evolve(window_epoch=following.window_epoch)
    [replay] = bob.worker.says(replayed).refusals
    assert replay.code == "proof-invalid"


def test_a_window_closes_and_a_late_proof_is_refused() -> None:
    world = World()
    alice, bob = world.person("alice", atto=10_000), world.provider("bob", atto=10_000)
    deal = alice.stores_with(bob, periods=40)
    sector = deal.sector
    assert sector.window_epoch is not None
    assert sector.close_epoch == sector.window_epoch + 4
    world.passes_until(sector.close_epoch - 1)
    answer = bob.window_answer(sector)
    assert deal.is_now(DealState.ACTIVE)
    world.passes(epochs=1)
    assert deal.is_now(DealState.FAULTY)
    [late] = bob.worker.says(answer).refusals
    assert late.code == "too-late"


def test_one_bad_sector_leaves_its_neighbours_be() -> None:
    world = World()
    alice, bob = world.person("alice", atto=100_000), world.provider("bob", atto=100_000)
    deals = [alice.stores_with(bob, periods=40) for _ in range(5)]
    indexes = [deal.sector.deadline_index for deal in deals]
    assert set(indexes) == {0, 1, 2, 3}, "spread evenly"
    together = [deal for deal in deals if deal.sector.deadline_index == indexes[-1]]
    assert len(together) == 2
    closing = max(deal.sector.close_epoch or 0 for deal in deals)
    world.passes_until(closing, proven_by=bob)
    opening = together[0].sector.window_epoch
    assert opening is not None
    world.passes_until(opening + 1)
    good, bad = (bob.window_proof(deal.sector) for deal in together)
    answer = SubmitWindowPost(
        provider_id=bob.id,
        window_epoch=opening,
        proofs=(bad.evolve(proof_cid=good.proof_cid), good),
    )
    [refusal] = bob.worker.says(answer).refusals
    assert (refusal.index, refusal.code) == (0, "proof-invalid")
    world.passes_until(opening + 4)
    assert [deal.sector.state for deal in together] == [SectorState.ACTIVE, SectorState.FAULTY]


def test_a_halt_draws_open_windows_anew_and_punishes_nobody() -> None:
    world = World()
    alice, bob = world.person("alice", atto=10_000), world.provider("bob", atto=10_000)
    deal = alice.stores_with(bob)
    opening = deal.sector.window_epoch
    assert opening is not None
    world.passes_until(opening + 2)
    answer = bob.window_answer(deal.sector)

    world.passes(epochs=1, is_after_gap=True)
    assert deal.sector.window_epoch == opening + 3
    assert deal.sector.close_epoch == opening + 7
    [stale] = bob.worker.says(answer).refusals
    assert stale.code == "too-late", "its challenges were known all through the halt"
    world.passes(epochs=1, proven_by=bob)
    assert deal.now.windows_proven == 1
    assert deal.now.windows_missed == 0
    assert deal.now.settled_until_epoch == opening + 3


def test_a_halt_leaves_windows_that_are_not_open_alone() -> None:
    world = World()
    alice, bob = world.person("alice", atto=10_000), world.provider("bob", atto=10_000)
    deal = alice.stores_with(bob)
    before = deal.sector
    assert before.window_epoch is not None
    assert before.window_epoch > world.epoch + 1
    world.passes(epochs=1, is_after_gap=True)
    assert deal.sector == before


@pytest.mark.parametrize("is_proven", [True, False])
def test_a_deal_waits_for_its_last_window_drawn_anew(is_proven: bool) -> None:
    world = World()
    alice, bob = world.person("alice", atto=10_000), world.provider("bob", atto=10_000)
    deal = alice.stores_with(bob, periods=2)
    end = deal.now.proposal.end_epoch
    world.passes_until(end - 4, proven_by=bob)
    world.passes(epochs=2)
    world.passes(epochs=1, is_after_gap=True)
    assert deal.sector.window_epoch == end - 1
    world.passes_until(end)
    assert deal.is_now(DealState.ACTIVE), "it can't be told yet whether it was kept"
    world.passes_until(end + 2)
    if is_proven:
        bob.worker.does(bob.window_answer(deal.sector))
    world.passes_until(end + 3)
    assert deal.ends_as(DealState.COMPLETED if is_proven else DealState.FAILED)


def sealed_together(world: World, bob: ProviderPerson, ends_in: list[int]) -> list[StoryDeal]:
    """Return active deals of one sector, which end after this many epochs."""
    world.passes(epochs=-world.epoch % 4)
    alice = world.person("alice", atto=10_000)
    proposals = [
        alice.proposes(bob, piece=f"piece {epochs}").evolve(end_epoch=Epoch(world.epoch + epochs))
        for epochs in ends_in
    ]
    for proposal in proposals:
        alice.reserves(proposal)
    deals = [bob.publishes(proposal) for proposal in proposals]
    number = bob.seals(*deals)
    world.passes(epochs=3)
    bob.proves_replication(number)
    return deals


def test_a_sectors_windows_never_overlap() -> None:
    world = World()
    bob = world.provider("bob", atto=100_000)
    short, long = sealed_together(world, bob, [38, 100])
    openings = set()
    while long.sector.window_epoch is not None:
        openings.add(long.sector.window_epoch)
        world.passes(epochs=1, proven_by=bob)
    final = short.now.proposal.end_epoch - 4
    regular = final + 2
    assert final in openings
    assert {regular - PERIOD_EPOCHS, regular + PERIOD_EPOCHS} <= openings
    assert regular not in openings, "it would have opened while the deal's last one was open"


def test_a_sector_is_given_up_by_its_longest_deal_and_what_is_over_stays_over() -> None:
    world = World()
    bob = world.provider("bob", atto=100_000)
    over, short, long = sealed_together(world, bob, [20, 90, 350])
    world.passes_until(over.now.proposal.end_epoch, proven_by=bob)
    for _ in range(2):
        world.passes_window(long)
    assert short.is_now(DealState.FAULTY), "alone it would be given up by now"
    world.passes_window(long)
    assert short.ends_as(DealState.TERMINATED)
    assert long.ends_as(DealState.TERMINATED)
    assert over.ends_as(DealState.COMPLETED)


def test_windows_that_others_deals_end_with_make_no_outage_dearer() -> None:
    world = World()
    bob = world.provider("bob", atto=100_000)
    first, *_, long = sealed_together(world, bob, [100, 105, 110, 350])
    world.passes_until(first.now.proposal.end_epoch - 5, proven_by=bob)
    before = long.now
    world.passes(periods=1)
    assert long.now.windows_missed == 3, "to end the others' deals"
    assert long.is_now(DealState.FAULTY), "for a period, not for as many as there were windows"
    unpaid_atto = long.now.refunded_atto - before.refunded_atto
    assert 0 < long.now.compensation_atto < world.policy.fault_fee_periods * unpaid_atto


def test_the_statement_of_an_open_window_does_not_change_when_a_deal_ends() -> None:
    world = World()
    bob = world.provider("bob", atto=100_000)
    deals = sealed_together(world, bob, [35, 38, 100])
    seen: dict[Epoch, set[CID]] = {}
    ended_meanwhile = 0
    while deals[2].sector.window_epoch is not None:
        sector = deals[2].sector
        assert sector.window_epoch is not None
        if sector.window_epoch < world.epoch:
            seen.setdefault(sector.window_epoch, set()).add(bob.window_proof(sector).proof_cid)
            ended_meanwhile += deals[1].now.proposal.end_epoch == world.epoch
            if sector.close_epoch == world.epoch + 1:
                bob.worker.does(bob.window_answer(sector))
        world.passes(epochs=1)
    assert ended_meanwhile == 1
    assert all(len(proofs) == 1 for proofs in seen.values())
    assert deals[1].ends_as(DealState.COMPLETED)


def test_time_passing_twice_at_one_epoch_changes_nothing_more() -> None:
    world = World()
    alice, bob = world.person("alice", atto=10_000), world.provider("bob", atto=10_000)
    deal = alice.stores_with(bob)
    for _ in range(3 * PERIOD_EPOCHS):
        world.passes(epochs=1)
        assert advance_epoch(world.ledger).writes == ()
    assert deal.ends_as(DealState.TERMINATED)
