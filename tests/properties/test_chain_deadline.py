"""Windows: never two at once, each deal one last one, and an epoch-by-epoch search agrees."""

from itertools import count, pairwise

from hypothesis import assume, given
from hypothesis import strategies as st

from chain.deadline import (
    close_of,
    final_opening,
    give_way,
    is_final,
    next_opening,
    next_window,
    open_windows,
)
from chain.deal import DealProposal
from chain.policy import DEV, Policy
from chain.sector import Sector, SectorState
from chain.units import Atto, DealId, Epoch, ProviderId, SectorNumber
from tests.support.world import PROOF_TYPE, World

PROPOSAL = World().person("alice").proposes(World().provider("bob", atto=0))


@st.composite
def policies(draw: st.DrawFn) -> Policy:
    response_epochs = draw(st.integers(1, 6))
    deadline_epochs = draw(st.integers(response_epochs + 1, 12))
    # One deadline that is all of the period must leave room to declare a fault in it.
    deadlines = draw(st.integers(1 + (deadline_epochs == response_epochs + 1), 4))
    rule = DEV.sectors[0].evolve(response_epochs=response_epochs)
    return DEV.evolve(
        proving_period_epochs=deadline_epochs * deadlines,
        deadlines_per_period=deadlines,
        sectors=(rule,),
    )


def ending(epoch: int) -> DealProposal:
    return PROPOSAL.evolve(publish_by_epoch=Epoch(0), start_epoch=Epoch(0), end_epoch=Epoch(epoch))


@given(policies(), st.data())
def test_the_next_opening_is_the_first_one_after(policy: Policy, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, policy.deadlines_per_period - 1))
    after = data.draw(st.integers(0, 500))
    found = next(
        epoch
        for epoch in count(after + 1)
        if epoch % policy.proving_period_epochs == index * policy.deadline_epochs
    )
    assert next_opening(policy, index, after_epoch=Epoch(after)) == found


@given(policies(), st.data())
def test_windows_never_overlap_and_each_deal_has_one_last(
    policy: Policy, data: st.DataObject
) -> None:
    index = data.draw(st.integers(0, policy.deadlines_per_period - 1))
    activation = Epoch(data.draw(st.integers(0, 60)))
    response = policy.sectors[0].response_epochs
    ends = data.draw(st.lists(st.integers(1, 200), min_size=1, max_size=6))
    waiting = [ending(activation + response + 1 + more) for more in ends]
    after, windows = activation, list[Epoch]()
    while waiting:
        opening = next_window(
            policy, PROOF_TYPE, deadline_index=index, after_epoch=after, proposals=waiting
        )
        assert opening > after, "one closes before the next opens"
        settled = [it for it in waiting if is_final(policy, PROOF_TYPE, opening, it)]
        close = close_of(policy, PROOF_TYPE, opening)
        assert all(close <= it.end_epoch for it in waiting), "it is answered within every deal"
        assert all(it.end_epoch - opening <= 2 * response + 1 for it in settled), "and at its end"
        finals = [final_opening(policy, PROOF_TYPE, it) for it in waiting]
        assert bool(settled) is (opening in finals), "a regular window gives way"
        if not settled:
            assert opening % policy.proving_period_epochs == index * policy.deadline_epochs
        waiting = [it for it in waiting if it not in settled]
        windows.append(opening)
        after = Epoch(close - 1)
    for earlier, later in pairwise(windows):
        assert later - earlier <= policy.proving_period_epochs + 2 * response


@given(policies(), st.integers(0, 100), st.lists(st.integers(1, 150), min_size=1, max_size=5))
def test_a_window_drawn_anew_is_now_or_a_last_one_soon(
    policy: Policy, now: int, ends: list[int]
) -> None:
    proposals = [ending(now + end) for end in ends]
    reopened = give_way(policy, PROOF_TYPE, Epoch(now), after_epoch=Epoch(now), proposals=proposals)
    finals = [final_opening(policy, PROOF_TYPE, it) for it in proposals]
    assert reopened == now or reopened in finals
    assert now <= reopened <= now + policy.sectors[0].response_epochs


@given(st.lists(st.tuples(st.integers(0, 20), st.booleans()), max_size=6), st.integers(0, 30))
def test_open_windows_are_those_whose_answer_still_lands(
    openings: list[tuple[int, bool]], head: int
) -> None:
    sectors = [
        Sector(
            provider_id=ProviderId(1),
            number=SectorNumber(number),
            proof_type=PROOF_TYPE,
            state=SectorState.ACTIVE,
            comm_d=bytes(32),
            comm_r=bytes(32),
            ticket_epoch=Epoch(0),
            precommit_epoch=Epoch(0),
            prove_by_epoch=Epoch(9),
            deposit_atto=Atto(0),
            deal_ids=(DealId(1),),
            window_epoch=Epoch(opening) if has_window else None,
            close_epoch=close_of(DEV, PROOF_TYPE, Epoch(opening)) if has_window else None,
        )
        for number, (opening, has_window) in enumerate(openings)
    ]
    found = open_windows(sectors, head_epoch=Epoch(head))
    landing = head + 1
    assert {sector.number for sector in found} == {
        number
        for number, (opening, has_window) in enumerate(openings)
        if has_window and opening < landing <= DEV.last_response_epoch(PROOF_TYPE, Epoch(opening))
    }
    closings = [sector.close_epoch or 0 for sector in found]
    assert closings == sorted(closings), "the most urgent first"


@given(policies(), st.integers(0, 10), st.integers(0, 300))
def test_a_short_deal_has_its_last_window_at_epoch_zero_at_the_earliest(
    policy: Policy, opening: int, end: int
) -> None:
    assume(end > 0)
    final = final_opening(policy, PROOF_TYPE, ending(end))
    assert final == max(0, end - policy.sectors[0].response_epochs - 1)
    if opening >= final:
        assert is_final(policy, PROOF_TYPE, Epoch(opening), ending(end))
