"""What the store has taken it still has after a restart; numbers are given out once."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy.exc import IntegrityError

from chain.schema import OtherSchema
from chain.units import Epoch, SectorNumber
from proofs.parameters import ProofType
from provider.promise import Commitments
from provider.store import ProviderStore
from tests.support.provider_facts import promise

SMALL = ProofType.SDR_2KIB


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'provider.sqlite'}"


@pytest.fixture
def store(url: str) -> Iterator[ProviderStore]:
    opened = ProviderStore(url)
    yield opened
    opened.close()


async def test_promises_and_plans_outlive_the_process(url: str, store: ProviderStore) -> None:
    kept, dropped = promise(0), promise(1)
    await store.add_promise(kept)
    await store.add_promise(dropped)
    await store.change_promise(kept.proposal_cid, is_received=True)
    await store.change_promise(dropped.proposal_cid, closed_because="late")
    planned = await store.assign([kept.proposal_cid], SMALL, above=None)
    sealed = Commitments(comm_d=bytes(32), comm_r=bytes(31) + b"\1")
    await store.change_plan(planned.number, ticket_epoch=Epoch(7), sealed=sealed)

    again = ProviderStore(url)
    assert await again.promises() == (kept.evolve(is_received=True),)
    assert len(await again.promises(closed=True)) == 2
    assert await again.promise(dropped.proposal_cid) == dropped.evolve(closed_because="late")
    assert await again.promise(promise(2).proposal_cid) is None
    assert await again.plans() == (planned.evolve(ticket_epoch=7, sealed=sealed),)
    assert await again.plan(planned.number) == (await again.plans())[0]
    again.close()


async def test_a_promise_is_made_once(store: ProviderStore) -> None:
    await store.add_promise(promise())
    with pytest.raises(IntegrityError):
        await store.add_promise(promise(is_received=True))
    assert await store.promises() == (promise(),)


async def test_a_sector_number_is_never_given_out_again(url: str, store: ProviderStore) -> None:
    cids = [promise(nonce).proposal_cid for nonce in range(4)]
    first = await store.assign(cids[:1], SMALL, above=None)
    await store.change_plan(first.number, is_cleared=True)
    second = await store.assign(cids[1:2], SMALL, above=None)
    beyond_the_ledger = await store.assign(cids[2:3], SMALL, above=SectorNumber(40))
    again = ProviderStore(url)
    last = await again.assign(cids[3:], SMALL, above=SectorNumber(3))
    numbers = [first.number, second.number, beyond_the_ledger.number, last.number]
    assert numbers == [0, 1, 41, 42]
    assert await again.plans() == (second, beyond_the_ledger, last)
    again.close()


async def test_assigning_again_gives_the_number_that_was_given(store: ProviderStore) -> None:
    cids = [promise(nonce).proposal_cid for nonce in range(2)]
    assert await store.assign(cids, SMALL, above=None) == await store.assign(
        cids, SMALL, above=None
    )
    assert len(await store.plans()) == 1


async def test_a_cleared_sectors_deals_may_be_given_another_number(store: ProviderStore) -> None:
    cids = [promise().proposal_cid]
    first = await store.assign(cids, SMALL, above=None)
    await store.change_plan(first.number, is_cleared=True)
    second = await store.assign(cids, SMALL, above=None)
    assert second.number > first.number


def test_a_store_of_another_version_is_refused_by_name(url: str, store: ProviderStore) -> None:
    with sqlite3.connect(url.removeprefix("sqlite:///")) as disk:
        disk.execute("UPDATE schema_version SET version = 99")
    disk.close()
    with pytest.raises(OtherSchema, match="version 99"):
        ProviderStore(url)
