"""The agenda, row by row, and its law: whatever is open has a duty, or waits until an epoch."""

from collections.abc import Sequence
from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chain.deal import DealState
from chain.policy import DEV
from chain.provider import Ask
from chain.sector import Sector, SectorState
from chain.units import Atto, Epoch, SectorNumber
from provider.agenda import agenda, plan_step, promise_step
from provider.duties import (
    AnswerWindow,
    Assign,
    ClearSector,
    DeclareDamage,
    DropPromise,
    Duty,
    FetchPiece,
    Mend,
    OfferAsk,
    PreCommit,
    ProveCommit,
    Publish,
    Scrub,
    Seal,
    Trim,
    Wait,
)
from provider.facts import Facts
from tests.support.market import ask, deal_proposal
from tests.support.provider_facts import (
    END,
    FETCH_BY,
    PUBLISH_BY,
    SEALED,
    SEALING_EPOCHS,
    START,
    deal,
    facts,
    plan,
    promise,
    sector,
)

Kind = type[Duty]

NEW = promise()
RECEIVED = promise(is_received=True)
CID = NEW.proposal_cid
RESERVED = frozenset((CID,))
PUBLISHED = {CID: deal(RECEIVED)}
ACTIVE = {CID: deal(RECEIVED, state=DealState.ACTIVE, sector_number=0)}
LIVE = sector(
    state=SectorState.ACTIVE, deadline_index=0, window_epoch=Epoch(64), close_epoch=Epoch(68)
)


def kinds(found: tuple[Duty, ...]) -> list[Kind]:
    return [type(duty) for duty in found]


PROMISES: list[tuple[str, Facts, Sequence[Kind]]] = [
    ("no money yet", facts(10, promises=(NEW,)), []),
    ("no money in time", facts(FETCH_BY + 1, promises=(NEW,)), [DropPromise]),
    ("money there", facts(10, promises=(NEW,), reserved=RESERVED), [FetchPiece]),
    ("last call", facts(FETCH_BY, promises=(NEW,), reserved=RESERVED), [FetchPiece]),
    ("blocks late", facts(FETCH_BY + 1, promises=(NEW,), reserved=RESERVED), [DropPromise]),
    ("received", facts(20, promises=(RECEIVED,), reserved=RESERVED), [Publish]),
    (
        "last chance to publish",
        facts(PUBLISH_BY - 1, promises=(RECEIVED,), reserved=RESERVED),
        [Publish],
    ),
    (
        "too late to publish",
        facts(PUBLISH_BY, promises=(RECEIVED,), reserved=RESERVED),
        [DropPromise],
    ),
    ("the client cancelled", facts(20, promises=(RECEIVED,)), [DropPromise]),
    ("published", facts(21, promises=(RECEIVED,), deals=PUBLISHED), [Assign]),
    ("lapses", facts(START, promises=(RECEIVED,), deals=PUBLISHED), []),
    ("active", facts(70, promises=(RECEIVED,), deals=ACTIVE), []),
    *(
        (
            f"over: {state}",
            facts(70, promises=(RECEIVED,), deals={CID: deal(RECEIVED, state=state)}),
            [DropPromise],
        )
        for state in DealState
        if not state.is_live
    ),
]


@pytest.mark.parametrize(
    ("at", "expected"), [row[1:] for row in PROMISES], ids=[row[0] for row in PROMISES]
)
def test_a_promise_has_its_duty(at: Facts, expected: Sequence[Kind]) -> None:
    assert kinds(agenda(at)) == expected


def in_sector(head: int, known: dict[str, Any] | None = None, **changes: Any) -> Facts:
    planned = plan(RECEIVED, **changes)
    given = {"promises": (RECEIVED,), "plans": (planned,), "deals": PUBLISHED, **(known or {})}
    return facts(head, **given)


PLANS: list[tuple[str, Facts, Sequence[Kind]]] = [
    ("planned", in_sector(22), [Seal]),
    ("being sealed", in_sector(23, ticket_epoch=22), [Seal]),
    ("sealed", in_sector(25, **SEALED), [PreCommit]),
    (
        "sealed, ticket too old",
        in_sector(22 + 25, {"policy": DEV.evolve(ticket_age_max_epochs=25)}, **SEALED),
        [Seal],
    ),
    (
        "sealed, ticket just good",
        in_sector(22 + 24, {"policy": DEV.evolve(ticket_age_max_epochs=25)}, **SEALED),
        [PreCommit],
    ),
    ("not in time", in_sector(START, **SEALED), [ClearSector]),
    (
        "its deal lapsed",
        in_sector(START + 1, {"deals": {CID: deal(RECEIVED, state=DealState.LAPSED)}}, **SEALED),
        [ClearSector, DropPromise],
    ),
    ("before its challenge", in_sector(31, {"sectors": {0: sector()}}, **SEALED), []),
    ("challenged", in_sector(32, {"sectors": {0: sector()}}, **SEALED), [ProveCommit]),
    ("challenged, last call", in_sector(58, {"sectors": {0: sector()}}, **SEALED), [ProveCommit]),
    ("not proven", in_sector(59, {"sectors": {0: sector()}}, **SEALED), []),
    ("proven", in_sector(60, {"sectors": {0: LIVE}, "deals": ACTIVE}, **SEALED), [Trim]),
    (
        "window open",
        in_sector(64, {"sectors": {0: LIVE}, "deals": ACTIVE}, **SEALED, is_trimmed=True),
        [AnswerWindow],
    ),
    (
        "window about to close",
        in_sector(67, {"sectors": {0: LIVE}, "deals": ACTIVE}, **SEALED, is_trimmed=True),
        [],
    ),
    (
        "faulty, window open",
        in_sector(
            66,
            {"sectors": {0: LIVE.evolve(state=SectorState.FAULTY, missed=(48,))}, "deals": ACTIVE},
            **SEALED,
        ),
        [AnswerWindow, Trim],
    ),
    (
        "settled to its end",
        in_sector(
            END - 1,
            {"sectors": {0: LIVE.evolve(window_epoch=None, close_epoch=None)}, "deals": ACTIVE},
            **SEALED,
            is_trimmed=True,
        ),
        [],
    ),
    *(
        (
            f"sector {state}",
            in_sector(70, {"sectors": {0: sector(state=state)}, "deals": ACTIVE}, **SEALED),
            [ClearSector],
        )
        for state in (SectorState.EXPIRED, SectorState.TERMINATED)
    ),
]


@pytest.mark.parametrize(
    ("at", "expected"), [row[1:] for row in PLANS], ids=[row[0] for row in PLANS]
)
def test_a_sector_has_its_duty(at: Facts, expected: Sequence[Kind]) -> None:
    assert kinds(agenda(at)) == expected


DAMAGED = frozenset((SectorNumber(0),))
DECLARED = LIVE.evolve(state=SectorState.FAULTY, declared=(LIVE.window_epoch,))
USED_UP = LIVE.evolve(declared=(16, 32, 48))


@pytest.mark.parametrize(
    ("head", "found", "damaged", "expected"),
    [
        (62, LIVE, frozenset(), []),
        (62, LIVE, DAMAGED, [DeclareDamage, Mend]),
        # DEV takes it one epoch before the window at the latest, in the block after this head.
        (63, LIVE, DAMAGED, [Mend]),
        (62, DECLARED, DAMAGED, [Mend]),
        (62, USED_UP, DAMAGED, [Mend]),
        (64, LIVE, DAMAGED, [AnswerWindow, Mend]),
        (64, DECLARED, DAMAGED, [Mend]),
        (64, DECLARED, frozenset(), [AnswerWindow]),
    ],
)
def test_what_is_damaged_is_declared_in_time_mended_and_only_then_answered(
    head: int, found: Sector, damaged: frozenset[SectorNumber], expected: Sequence[Kind]
) -> None:
    known = {"sectors": {0: found}, "deals": ACTIVE, "damaged": damaged}
    assert kinds(agenda(in_sector(head, known, **SEALED, is_trimmed=True))) == expected


def test_faults_are_declared_window_by_window_in_batches_that_the_ledger_takes() -> None:
    count = DEV.declared_faults_batch_max + 1
    sectors = {SectorNumber(at): LIVE.evolve(number=at) for at in range(count)}
    other = SectorNumber(count)
    sectors[other] = LIVE.evolve(number=other, window_epoch=Epoch(68), close_epoch=Epoch(72))
    duties = agenda(facts(62, sectors=sectors, damaged=frozenset(sectors)))
    declared = [duty for duty in duties if isinstance(duty, DeclareDamage)]
    assert [len(duty.numbers) for duty in declared] == [DEV.declared_faults_batch_max, 1, 1]
    assert [duty.window_epoch for duty in declared] == [64, 64, 68]
    assert [duty.due_epoch for duty in declared] == [63, 63, 67]


@pytest.mark.parametrize(
    ("scrubbed_epoch", "is_due"), [(None, True), (Epoch(43), False), (Epoch(42), True)]
)
def test_a_replica_is_read_again_when_its_time_has_come(
    scrubbed_epoch: Epoch | None, is_due: bool
) -> None:
    known = {"sectors": {0: LIVE}, "deals": ACTIVE, "scrub_interval_epochs": 20}
    planned = in_sector(62, known, **SEALED, is_trimmed=True, scrubbed_epoch=scrubbed_epoch)
    assert kinds(agenda(planned)) == ([Scrub] if is_due else [])


def test_a_window_comes_before_all_else() -> None:
    at = in_sector(
        64,
        {"sectors": {7: LIVE.evolve(number=7)}, "posted_ask": None, "deals": {CID: deal(RECEIVED)}},
    )
    later = deal_proposal(start_epoch=200, end_epoch=400, publish_by_epoch=150)
    waiting = promise(proposal=later, is_received=True)
    at = facts(
        64,
        promises=(waiting,),
        reserved=frozenset((waiting.proposal_cid,)),
        sectors=at.sectors,
        posted_ask=None,
    )
    assert kinds(agenda(at)) == [AnswerWindow, Publish, OfferAsk]


def test_windows_are_answered_in_batches_that_the_ledger_takes() -> None:
    count = DEV.window_proofs_batch_max + 1
    sectors = {SectorNumber(at): LIVE.evolve(number=at) for at in range(count)}
    duties = agenda(facts(64, sectors=sectors))
    assert sorted(len(duty.subjects) for duty in duties) == [1, DEV.window_proofs_batch_max]
    assert len(frozenset().union(*(duty.subjects for duty in duties))) == count


@pytest.mark.parametrize(
    ("posted", "is_due"),
    [
        (None, True),
        (ask(expires_epoch=Epoch(10 + 128)), False),
        (ask(expires_epoch=Epoch(10 + 64)), False),
        (ask(expires_epoch=Epoch(10 + 63)), True),
        (ask(expires_epoch=Epoch(10 + 128), price_atto_per_gib_epoch=Atto(1)), True),
    ],
)
def test_the_ask_is_renewed_at_half_its_time_or_when_terms_change(
    posted: Ask | None, is_due: bool
) -> None:
    found = agenda(facts(10, posted_ask=posted))
    assert kinds(found) == ([OfferAsk] if is_due else [])


def test_nothing_is_sealed_that_would_not_start_in_time() -> None:
    # Published by 59 it would be sealed until 59 + 15: after its start.
    proposal = deal_proposal(start_epoch=START, publish_by_epoch=START, end_epoch=END)
    late = promise(proposal=proposal, is_received=True)
    reserved = frozenset((proposal.cid,))
    last = START - SEALING_EPOCHS
    assert kinds(agenda(facts(last, promises=(late,), reserved=reserved))) == [Publish]
    assert kinds(agenda(facts(last + 1, promises=(late,), reserved=reserved))) == [DropPromise]


epochs = st.integers(0, END + 20)


@st.composite
def any_facts(draw: st.DrawFn) -> Facts:
    """Whatever a crash or a slow reader may put together, sound or not."""
    head = draw(epochs)
    kept = promise(is_received=draw(st.booleans()))
    state = draw(st.sampled_from([None, *DealState]))
    if state is DealState.PUBLISHED and head > START:
        head = START  # the ledger has let it lapse by then
    if state in (DealState.ACTIVE, DealState.FAULTY):
        head = min(head, END - 1)
    deals = {} if state is None else {CID: deal(kept, state=state)}
    planned = draw(
        st.sampled_from(
            [(), (plan(kept),), (plan(kept, ticket_epoch=22),), (plan(kept, **SEALED),)]
        )
    )
    found = draw(st.sampled_from([None, *SectorState]))
    sectors = {}
    if planned and found is not None:
        head = min(head, 59) if found is SectorState.PRECOMMITTED else head
        window = {"window_epoch": Epoch(head), "close_epoch": Epoch(head + 4)}
        sectors = {SectorNumber(0): sector(state=found, **(window if found.is_live else {}))}
    return facts(
        head,
        promises=(kept,),
        plans=planned,
        reserved=draw(st.sampled_from([frozenset(), RESERVED])),
        deals=deals,
        sectors=sectors,
        posted_ask=draw(st.sampled_from([None, ask(expires_epoch=Epoch(head + 128))])),
        damaged=draw(st.sampled_from([frozenset(), DAMAGED])),
        scrub_interval_epochs=draw(st.integers(1, 100)),
    )


@given(any_facts())
def test_whatever_is_open_has_a_duty_or_waits_until_an_epoch(at: Facts) -> None:
    duties = agenda(at)
    subjects: set[object] = set().union(*(duty.subjects for duty in duties))
    for kept in at.promises:
        step = promise_step(kept, at)
        if isinstance(step, Wait):
            is_moving = kept.proposal_cid in subjects or bool(at.plans)
            assert step.until_epoch > at.head_epoch or is_moving
        else:
            assert step in duties
    for planned in at.plans:
        step = plan_step(planned, at)
        if isinstance(step, Wait):
            assert step.until_epoch > at.head_epoch
        else:
            assert step in duties


@given(any_facts())
def test_the_agenda_is_what_the_facts_are_and_most_urgent_first(at: Facts) -> None:
    duties = agenda(at)
    assert duties == agenda(at)
    assert [duty.urgency for duty in duties] == sorted(duty.urgency for duty in duties)
    for one, other in product(duties, duties):
        if type(one) is type(other) and one is not other:
            assert not one.subjects & other.subjects, "the same work twice"
