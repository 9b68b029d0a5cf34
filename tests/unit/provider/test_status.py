"""What a client is told of its proposal, stage by stage."""

from dataclasses import replace
from typing import Any

import pytest

from chain.deal import DealState
from chain.units import SectorNumber
from market.messages import Progress, Status
from proofs.hashing import NODE_BYTES
from provider.facts import Facts
from provider.promise import Promise
from provider.sealing import SealingProgress
from provider.status import deal_status, sector_status, status_of
from tests.support.provider_facts import SEALED, deal, facts, plan, promise

NEW = promise()
RECEIVED = promise(is_received=True)
CID = NEW.proposal_cid
SIZE = NEW.proposal.piece_size_bytes
RESERVED = frozenset((CID,))
PUBLISHED = {CID: deal(RECEIVED)}
SEALING = {SectorNumber(0): SealingProgress("layer 1", done_nodes=10, total_nodes=40)}


def test_time_left_follows_from_the_rate() -> None:
    begun = SealingProgress("layer 1", done_nodes=10, total_nodes=40)
    assert begun.seconds_left is None
    assert replace(begun, nodes_per_second=3).seconds_left == 10
    assert replace(begun, done_nodes=40, nodes_per_second=3).seconds_left == 0


def told(kept: Promise, **changes: Any) -> Status:
    return status_of(
        kept, facts(20, promises=(kept,), **changes), transfers={CID: 77}, sealing=SEALING
    )


STAGES = [
    (told(NEW), Progress.AWAITS_ESCROW, 77, SIZE),
    (told(NEW, reserved=RESERVED), Progress.TRANSFERRING, 77, SIZE),
    (told(RECEIVED, reserved=RESERVED), Progress.RECEIVED, SIZE, SIZE),
    (told(RECEIVED, deals=PUBLISHED), Progress.PUBLISHED, 0, SIZE),
    (
        told(RECEIVED, deals=PUBLISHED, plans=(plan(RECEIVED),)),
        Progress.SEALING,
        10 * NODE_BYTES,
        40 * NODE_BYTES,
    ),
    (
        told(RECEIVED, deals=PUBLISHED, plans=(plan(RECEIVED, **SEALED),)),
        Progress.SEALED,
        0,
        SIZE,
    ),
    (
        told(RECEIVED, deals={CID: deal(RECEIVED, state=DealState.FAULTY)}),
        Progress.PROVEN,
        SIZE,
        SIZE,
    ),
    (told(NEW.evolve(closed_because="late")), Progress.DROPPED, 0, SIZE),
]


@pytest.mark.parametrize(
    ("status", "progress", "done_bytes", "total_bytes"), STAGES, ids=[row[1] for row in STAGES]
)
def test_each_stage_is_told(
    status: Status, progress: Progress, done_bytes: int, total_bytes: int
) -> None:
    assert status.progress is progress
    assert (status.done_bytes, status.total_bytes) == (done_bytes, total_bytes)
    assert status.acceptance == NEW.acceptance


def test_why_it_was_dropped_is_told() -> None:
    assert told(NEW.evolve(closed_because="too late")).detail == "too late"


def test_the_operator_sees_what_comes_next_and_until_when() -> None:
    at: Facts = facts(20, promises=(RECEIVED,), plans=(plan(RECEIVED),), deals=PUBLISHED)
    row = deal_status(RECEIVED, told(RECEIVED), at)
    assert row.next is not None
    assert row.next.what == "sector 0 to be proven"
    closed = RECEIVED.evolve(closed_because="over")
    assert deal_status(closed, told(closed), at).next is None
    shown = sector_status(plan(RECEIVED), at, SEALING)
    assert (shown.stage, shown.next.what) == ("layer 1", "Seal")
    assert shown.done_bytes == 10 * NODE_BYTES
