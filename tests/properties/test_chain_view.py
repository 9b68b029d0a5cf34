"""A draft reads like the state that its changes make, and says exactly what they are."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chain.account import Account
from chain.deal import UsedProposal
from chain.errors import NotFound
from chain.keys import Address, SigningKey
from chain.policy import DEV
from chain.units import Atto, DealId, Epoch, ProviderId
from chain.view import Draft, Entity, LedgerView, MemoryLedger, Transition
from ipfs.cid import CID, Codec
from tests.support.world import StoryJudge

ADDRESSES = [SigningKey(bytes([number]) * 32).address("thf") for number in range(4)]


def empty_ledger() -> MemoryLedger:
    ledger = MemoryLedger(policy=DEV, chain_id="chain", ledger=ADDRESSES[0], judge=StoryJudge())
    return ledger.at(Epoch(5), bytes(32))


accounts = st.builds(
    lambda address, atto: Account(address=address, balance_atto=Atto(atto)),
    st.sampled_from(ADDRESSES),
    st.integers(0, 3),
)
used = st.builds(
    lambda name, epoch: UsedProposal(
        proposal_cid=CID.of(Codec.RAW, bytes([name])), publish_by_epoch=Epoch(epoch)
    ),
    st.integers(0, 4),
    st.integers(0, 9),
)
Step = tuple[bool, Entity]
steps = st.lists(st.tuples(st.booleans(), accounts | used), max_size=12)


def everything(view: LedgerView) -> list[object]:
    return [
        list(view.scan("")),
        list(view.scan("account/")),
        [list(view.due(Epoch(epoch))) for epoch in range(12)],
        [view.account(address) for address in ADDRESSES],
        view.counters(),
        view.beacon(Epoch(5)),
    ]


@given(steps, steps, steps)
def test_a_draft_reads_as_if_its_changes_were_made(
    first: list[Step], second: list[Step], third: list[Step]
) -> None:
    ledger = empty_ledger()
    below = Draft(ledger)
    for is_kept, entity in first:
        below.put(entity) if is_kept else below.remove(entity)
    ledger.write(below.transition())
    before = everything(ledger)

    draft = Draft(ledger)
    for is_kept, entity in second:
        draft.put(entity) if is_kept else draft.remove(entity)
    upper = Draft(draft)
    for is_kept, entity in third:
        upper.put(entity) if is_kept else upper.remove(entity)
    seen_above = everything(upper)
    assert everything(ledger) == before, "nothing below is touched"

    draft.write(upper.transition())
    assert everything(draft) == seen_above
    ledger.write(draft.transition())
    assert everything(ledger) == seen_above


def test_an_entity_is_written_once() -> None:
    account = Account(address=ADDRESSES[0])
    with pytest.raises(AssertionError, match="loses a write"):
        Transition(writes=(account, account.receive(1)))
    with pytest.raises(AssertionError, match="loses a write"):
        Transition(writes=(account,), removes=(account.key,))


def test_what_is_not_there_is_not_found() -> None:
    ledger = empty_ledger()
    cid = CID.of(Codec.RAW, b"")
    for missing in (
        lambda: ledger.provider(ProviderId(1)),
        lambda: ledger.deal(DealId(1)),
        lambda: ledger.reservation(cid),
    ):
        with pytest.raises(NotFound):
            missing()
    assert ledger.deal_of(cid) is None
    assert ledger.account(Address(ADDRESSES[1])).nonce == 0
