"""The invariants see what is broken: each way of breaking a sound state is named."""

from collections.abc import Callable

import pytest

from chain.account import Account
from chain.deal import Deal, DealState, Reservation, UsedProposal
from chain.invariants import violations, violations_of
from chain.sector import Sector, SectorState
from chain.units import Atto, DealId, Epoch
from chain.view import Counters, Draft, Entity, Transition
from tests.support.world import World


@pytest.fixture(scope="module")
def world() -> World:
    world = World()
    alice, bob = world.person("alice", atto=10_000), world.provider("bob", atto=10_000)
    alice.stores_with(bob)
    alice.reserves(alice.proposes(bob, nonce=1))
    return world


def one(world: World, kind: type[Entity]) -> Entity:
    found = (each for each in world.ledger.scan("") if isinstance(each, kind))
    return next(each for each in found if getattr(each, "deal_id", 1) is not None)


Break = Callable[[Entity], Entity]


@pytest.mark.parametrize(
    ("kind", "change", "named"),
    [
        (Counters, lambda it: it.evolve(minted_atto=Atto(1)), "money is conserved"),
        (Counters, lambda it: it.evolve(next_deal_id=DealId(1)), "given out"),
        (Account, lambda it: it.evolve(locked_atto=it.locked_atto + 1), "its promises need"),
        (Deal, lambda it: it.evolve(paid_atto=Atto(1)), "accounted for"),
        (Deal, lambda it: it.evolve(state=DealState.COMPLETED), "not settled"),
        (Deal, lambda it: it.evolve(state=DealState.PUBLISHED), "in a sector that is active"),
        (Deal, lambda it: it.evolve(sector_number=None), "holds a deal that is elsewhere"),
        (Deal, lambda it: it.evolve(sector_number=9), "it is not in sector 9"),
        (Sector, lambda it: it.evolve(deposit_atto=Atto(5)), "with a deposit"),
        (Sector, lambda it: it.evolve(deadline_index=4), "in no deadline"),
        (Sector, lambda it: it.evolve(window_epoch=None), "has a window exactly while"),
        (Sector, lambda it: it.evolve(window_epoch=Epoch(0)), "should have closed"),
        (Sector, lambda it: it.evolve(missed=(Epoch(1),)), "after 1 missed"),
        (Sector, lambda it: it.evolve(state=SectorState.FAULTY), "after 0 missed"),
        (Sector, lambda it: it.evolve(declared=(it.window_epoch,)), "after 0 missed"),
        (Sector, lambda it: it.evolve(declared=(1, 2, 3, 4)), "all declared faulty"),
        (Sector, lambda it: it.evolve(state=SectorState.EXPIRED), "but has a window"),
        (UsedProposal, lambda it: it.evolve(deal_id=None), "not found by its proposal"),
        (Reservation, lambda it: it.evolve(proposal=it.proposal.evolve(nonce=9)), "reservation"),
    ],
)
def test_a_broken_state_is_named(
    world: World, kind: type[Entity], change: Break, named: str
) -> None:
    assert list(violations(world.ledger)) == []
    broken = Draft(world.ledger)
    broken.put(change(one(world, kind)))
    assert any(named in violation for violation in violations(broken))
    transition = broken.transition()
    assert any(named in violation for violation in violations_of(world.ledger, transition))


def test_a_used_proposal_that_is_forgotten_too_soon_is_named(world: World) -> None:
    used = next(
        found
        for found in world.ledger.scan("proposal/")
        if isinstance(found, UsedProposal) and found.deal_id is None
    )
    forgets = Transition(removes=(used.key,))
    assert any("reservation" in broken for broken in violations_of(world.ledger, forgets))
