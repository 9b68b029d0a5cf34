"""Faults that a provider declares ahead: what they cost, how they heal, and what is refused."""

from collections.abc import Sequence

import pytest

from chain.deal import DealState
from chain.explain import explain
from chain.messages import DeclareFaults
from chain.sector import SectorState
from chain.statements import challenged_epochs
from chain.units import Epoch, SectorNumber
from tests.support.world import STORY_POLICY, Person, ProviderPerson, StoryDeal, World

PERIOD = STORY_POLICY.proving_period_epochs
FEE_ATTO = STORY_POLICY.fault_fee_periods * PERIOD
CUTOFF = 3
POLICY = STORY_POLICY.evolve(declaration_epochs=CUTOFF)


def stored(*, periods: int = 60) -> tuple[World, Person, ProviderPerson, StoryDeal]:
    """Return a deal of an atto an epoch that was proven once, right after its window closed."""
    world = World(POLICY)
    alice, bob = world.person("alice", atto=10_000), world.provider("bob", atto=10_000)
    deal = alice.stores_with(bob, periods=periods)
    world.passes_window(deal, proven_by=bob)
    return world, alice, bob, deal


def fault_of(deal: StoryDeal, numbers: Sequence[SectorNumber] | None = None) -> DeclareFaults:
    sector = deal.sector
    assert sector.window_epoch is not None
    return DeclareFaults(
        provider_id=sector.provider_id,
        window_epoch=sector.window_epoch,
        numbers=tuple(numbers or (sector.number,)),
    )


def miss(deal: StoryDeal, bob: ProviderPerson, *, is_declared: bool) -> int:
    """Let a window go by unanswered; return what the client was compensated with."""
    before_atto = deal.now.compensation_atto
    if is_declared:
        bob.worker.does(fault_of(deal))
    deal.world.passes_window(deal)
    return deal.now.compensation_atto - before_atto


def test_a_declared_miss_goes_unpaid_and_costs_no_fee() -> None:
    world, alice, bob, deal = stored()
    proven, money = deal.now, (alice.free_atto, bob.free_atto)
    bob.worker.does(fault_of(deal))
    assert deal.is_now(DealState.FAULTY)
    assert deal.sector.state is SectorState.FAULTY
    assert deal.now == proven.evolve(state=DealState.FAULTY), "no money moves before the window"
    told = explain(deal.now, deal.sector, world.policy, world.epoch)
    assert "without a fee" in told.then

    world.passes_window(deal)
    assert deal.now.refunded_atto == proven.refunded_atto + PERIOD
    assert deal.now.paid_atto == proven.paid_atto
    assert deal.now.windows_missed == 1
    assert (alice.free_atto, bob.free_atto) == (money[0] + PERIOD, money[1])
    assert deal.sector.forgiven_epoch is None, "the forgiven miss is still to be had"
    assert not deal.sector.is_declared, "it was said of that one window"


def test_what_is_free_is_free_so_often_and_no_oftener() -> None:
    world, _, bob, deal = stored()
    declared = [miss(deal, bob, is_declared=True) for _ in range(3)]
    assert declared == [0, 0, 0]
    [refusal] = bob.worker.says(fault_of(deal)).refusals
    assert refusal.code == "not-allowed"
    assert miss(deal, bob, is_declared=False) == FEE_ATTO
    world.passes_window(deal, proven_by=bob)
    assert miss(deal, bob, is_declared=False) == 0, "the first of a row, and none was forgiven yet"
    assert miss(deal, bob, is_declared=False) == FEE_ATTO


def test_a_declaration_counts_for_thirty_periods_from_its_window() -> None:
    world, _, bob, deal = stored(periods=100)
    first = deal.sector.window_epoch
    assert first is not None
    for _ in range(3):
        miss(deal, bob, is_declared=True)
    world.passes_until(first + 29 * PERIOD - CUTOFF, proven_by=bob)
    assert deal.sector.window_epoch == first + 29 * PERIOD
    assert bob.worker.says(fault_of(deal)).refusals
    world.passes_window(deal, proven_by=bob)
    assert miss(deal, bob, is_declared=True) == 0
    assert deal.sector.declared == (first + PERIOD, first + 2 * PERIOD, first + 30 * PERIOD)


def test_who_can_answer_after_all_is_well_again_and_paid() -> None:
    world, _, bob, deal = stored()
    paid_atto = deal.now.paid_atto
    bob.worker.does(fault_of(deal))
    world.passes_window(deal, proven_by=bob)
    assert deal.is_now(DealState.ACTIVE)
    assert deal.sector.state is SectorState.ACTIVE
    assert deal.now.paid_atto == paid_atto + PERIOD
    assert len(deal.sector.declared) == 1, "but it was said, and counts"


def test_a_sector_that_recovers_answers_the_declared_windows_as_well() -> None:
    world, _, bob, deal = stored()
    missed = deal.sector.window_epoch
    miss(deal, bob, is_declared=True)
    opening = deal.sector.window_epoch
    assert opening is not None
    assert challenged_epochs(world.policy, deal.sector) == (missed, opening)
    world.passes_until(opening + 1)
    bob.worker.does(bob.window_answer(deal.sector))
    assert deal.is_now(DealState.ACTIVE)


def test_declared_or_not_too_many_misses_in_a_row_end_the_deal() -> None:
    _, _, bob, deal = stored(periods=20)
    collateral_atto = deal.now.proposal.collateral_atto
    for _ in range(3):
        miss(deal, bob, is_declared=True)
    assert deal.ends_as(DealState.TERMINATED)
    assert deal.now.compensation_atto == collateral_atto


def test_a_last_window_declared_ends_the_deal_like_any_other_missed_one() -> None:
    world, _, bob, deal = stored(periods=2)
    while deal.now.proposal.end_epoch - (deal.sector.window_epoch or 0) > 4:
        world.passes_window(deal, proven_by=bob)
    miss(deal, bob, is_declared=True)
    assert deal.ends_as(DealState.FAILED)
    assert deal.now.compensation_atto == deal.now.proposal.collateral_atto


@pytest.mark.parametrize(("epochs_ahead", "code"), [(CUTOFF, None), (CUTOFF - 1, "too-late")])
def test_a_fault_is_declared_ahead_of_the_challenges_or_not_at_all(
    epochs_ahead: int, code: str | None
) -> None:
    world, _, bob, deal = stored()
    fault = fault_of(deal)
    world.passes_until(fault.window_epoch - epochs_ahead)
    receipt = bob.worker.says(fault)
    assert [refusal.code for refusal in receipt.refusals] == ([code] if code else [])
    assert deal.is_now(DealState.ACTIVE) == (code is not None)


def test_what_a_halt_draws_anew_is_still_declared() -> None:
    world, _, bob, deal = stored()
    bob.worker.does(fault_of(deal))
    opening = deal.sector.window_epoch
    assert opening is not None
    world.passes_until(opening + 1)
    world.passes(epochs=1, is_after_gap=True)
    assert deal.sector.declared == (deal.sector.window_epoch,) == (opening + 2,)
    world.passes_window(deal)
    assert (deal.now.windows_missed, deal.now.compensation_atto) == (1, 0)


def test_only_the_sectors_own_worker_declares_only_its_next_window_once() -> None:
    world, alice, bob, deal = stored()
    carol = world.provider("carol", atto=10_000)
    fault, before = fault_of(deal), deal.sector
    for stranger in (alice, bob, carol.worker):
        assert stranger.says(fault).code == "not-allowed"
    hostile = {
        "of a sector that is nobody's": (fault.evolve(numbers=(SectorNumber(99),)), "not-found"),
        "of another provider's": (fault.evolve(provider_id=carol.id), "not-found"),
        "of a window that is over": (
            fault.evolve(window_epoch=Epoch(fault.window_epoch - PERIOD)),
            "too-late",
        ),
        "of one after the next": (
            fault.evolve(window_epoch=Epoch(fault.window_epoch + PERIOD)),
            "too-early",
        ),
    }
    for what, (body, code) in hostile.items():
        worker = carol.worker if body.provider_id == carol.id else bob.worker
        [refusal] = worker.says(body).refusals
        assert refusal.code == code, what
    assert deal.sector == before

    twice = bob.worker.says(fault.evolve(numbers=fault.numbers * 2))
    assert [refusal.code for refusal in twice.refusals] == ["not-allowed"], "named twice"
    assert deal.sector.is_declared
    [again] = bob.worker.says(fault).refusals
    assert again.code == "already-exists"
    assert len(deal.sector.declared) == 1
    count = world.policy.declared_faults_batch_max + 1
    crowd = fault.evolve(numbers=tuple(map(SectorNumber, range(count))))
    assert bob.worker.says(crowd).code == "not-allowed"


def test_what_has_no_window_has_no_fault() -> None:
    world, _, bob, deal = stored(periods=2)
    waiting = world.person("dave", atto=1_000)
    proposal = waiting.proposes(bob, starts_in=30)
    waiting.reserves(proposal)
    unproven = bob.seals(bob.publishes(proposal))
    late = fault_of(deal)
    [refusal] = bob.worker.says(late.evolve(numbers=(unproven,))).refusals
    assert refusal.code == "wrong-state", "pre-committed"
    world.passes_until(deal.now.proposal.end_epoch)
    assert deal.sector.state in (SectorState.EXPIRED, SectorState.TERMINATED)
    [refusal] = bob.worker.says(late).refusals
    assert refusal.code == "wrong-state", "over"


def test_a_deal_that_is_settled_already_stays_as_it_was_proven() -> None:
    world = World(POLICY)
    alice, bob = world.person("alice", atto=10_000), world.provider("bob", atto=10_000)
    proposals = [
        alice.proposes(bob, piece=f"piece {epochs}").evolve(end_epoch=Epoch(world.epoch + epochs))
        for epochs in (40, 300)
    ]
    for proposal in proposals:
        alice.reserves(proposal)
    short, long = deals = [bob.publishes(proposal) for proposal in proposals]
    number = bob.seals(*deals)
    world.passes(epochs=3)
    bob.proves_replication(number)
    while not short.now.is_settled:
        world.passes(epochs=1, proven_by=bob)
    bob.worker.does(fault_of(long))
    assert long.is_now(DealState.FAULTY)
    world.passes_until(short.now.proposal.end_epoch)
    assert short.ends_as(DealState.COMPLETED)
