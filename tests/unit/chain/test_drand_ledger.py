"""A ledger that follows drand: a block is a round; what is no round of its time is no block."""

import asyncio
import logging
import sqlite3
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chain import http
from chain.api import create_app
from chain.audit import AuditFailed, audit_folder
from chain.beacon import DrandBeacon
from chain.block import Genesis, Header, LedgerBlock, SignedHeader
from chain.config import DrandSettings, LedgerConfig
from chain.drand import DrandClient
from chain.keys import MAIN_PREFIX
from chain.ledger import LedgerUnreachable
from chain.node import run_node
from chain.policy import DEV, MAIN
from chain.pulse import DrandPulses
from chain.remote import RemoteLedger
from chain.store import DATABASE_NAME
from chain.units import Epoch
from proofs.drand import QUICKNET
from proofs.errors import ProofRejected
from tests.support.drand import PUBLISHED, HeldChain, Manner, drand_in_a_thread, source_of
from tests.support.nodes import (
    HandClock,
    SealingProvider,
    SteppedLedger,
    key_of,
    stepped_ledger,
)


@dataclass
class DrandClock(HandClock):
    """A clock whose every passing publishes the newest round, until drand stands still."""

    held: HeldChain = field(default_factory=HeldChain)
    is_drand_up: bool = True

    def passes(self, seconds: int) -> None:
        super().passes(seconds)
        if self.is_drand_up:
            self.held.publish(self.milliseconds)


def settings_of(held: HeldChain, *urls: str) -> LedgerConfig:
    drand = DrandSettings(urls=urls or ("http://unused",), **asdict(held.chain))
    return LedgerConfig(port=0, drand=drand)


@asynccontextmanager
async def drand_ledger(
    folder: Path, *manners: Manner
) -> AsyncIterator[tuple[SteppedLedger, DrandClock]]:
    """A stepped ledger on a drand chain that servers publish, each in its manner."""
    clock = DrandClock()
    held, chain = clock.held, clock.held.chain
    async with AsyncExitStack() as stack:
        urls = [
            (await stack.enter_async_context(source_of(manner, chain, held.rounds))).url
            for manner in manners or (Manner.HONEST,)
        ]
        client = DrandClient(chain, urls, answer_seconds=60, hedge_seconds=0.05)
        await stack.enter_async_context(client)
        pulses = DrandPulses(DrandBeacon.of(chain), DEV, client, clock)
        first = held.publish(clock.milliseconds)
        on = stack.enter_context(
            stepped_ledger(folder, settings_of(held), clock=clock, pulses=pulses, published=first)
        )
        yield on, clock


async def test_every_block_carries_the_round_of_its_time(tmp_path: Path) -> None:
    async with drand_ledger(tmp_path) as (on, clock):
        genesis, began = on.node.genesis, on.node.genesis.timestamp_milliseconds
        for epoch in range(1, 6):
            header = (await on.closes()).header
            assert header.timestamp_milliseconds == began + 1_000 * epoch
            published = clock.held.rounds[clock.held.chain.round_at(clock() // 1_000)]
            assert header.beacon == published.signature
            assert await on.ledger.beacon(Epoch(epoch)) == published.randomness
        assert not genesis.beacon_is_drand, "nobody but quicknet's members is drand"
        assert audit_folder(tmp_path).blocks == 6


async def test_a_deal_is_sealed_proven_and_read_afar_on_drands_randomness(tmp_path: Path) -> None:
    async with drand_ledger(tmp_path / "ledger") as (on, _):
        await on.funds("alice", "bob")
        bob = await SealingProvider.registers(on, "bob", tmp_path)
        _, number = await bob.activates("alice")
        body, proof = await bob.window_answer(number)
        await on.does(bob.worker, body, [proof])
        app = create_app(on.node)
        async with (
            http.serving(app, host="127.0.0.1", port=0) as url,
            RemoteLedger(url) as remote,
        ):
            assert await remote.head() == on.node.head
            for epoch in range(on.epoch + 1):
                assert await remote.beacon(Epoch(epoch)) == await on.ledger.beacon(Epoch(epoch))
        assert audit_folder(on.folder).verdicts_checked == 2


@pytest.mark.parametrize(
    "manners",
    [
        (Manner.STALE_AND_LYING, Manner.SILENT, Manner.HONEST),
        (Manner.SILENT, Manner.OTHER_RANDOMNESS, Manner.BROKEN, Manner.HONEST),
    ],
)
async def test_sources_that_lie_or_hang_do_not_stop_the_ledger(
    tmp_path: Path, manners: tuple[Manner, ...]
) -> None:
    async with drand_ledger(tmp_path, *manners) as (on, _):
        await on.closes(2)
        assert audit_folder(tmp_path).blocks == 3


async def test_where_drand_stands_still_the_ledger_waits_and_its_open_windows_are_void(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with drand_ledger(tmp_path / "ledger") as (on, clock):
        await on.funds("alice", "bob")
        bob = await SealingProvider.registers(on, "bob", tmp_path)
        _, number = await bob.activates("alice")
        await bob.window_answer(number)
        head, opened = on.node.head, (await bob.sector(number)).window_epoch

        clock.is_drand_up = False
        clock.passes(1)
        with caplog.at_level(logging.INFO, logger="chain.pulse"):
            closing = asyncio.create_task(on.node.close_epoch())
            clock.passes(600)
            while "waits for drand" not in caplog.text:  # noqa: ASYNC110  the log is no event
                await asyncio.sleep(0)
            assert await on.ledger.head() == head, "it answers, and has no block"
            assert not closing.done()
            clock.is_drand_up = True
            clock.passes(1)
            block = await closing
            assert "drand is back" in caplog.text
        assert block.header.epoch == head.header.epoch + 1, "no epoch passed without drand"
        gap = block.header.timestamp_milliseconds - head.header.timestamp_milliseconds
        assert gap >= 600_000
        redrawn = (await bob.sector(number)).window_epoch
        assert opened is not None
        assert redrawn is not None
        assert redrawn > opened
        audit_folder(on.folder)


async def test_a_round_that_was_out_for_long_is_left_out(tmp_path: Path) -> None:
    """A ledger that was cut off goes on with the newest round: the others' seeds are known."""
    async with drand_ledger(tmp_path) as (on, clock):
        before = await on.closes()
        for _ in range(60):
            clock.passes(1)
        block = await on.node.close_epoch()
        late = clock() - block.header.timestamp_milliseconds
        assert 0 <= late <= 1_000 * DEV.epoch_seconds
        assert block.header.epoch == before.header.epoch + 1
        audit_folder(tmp_path)


async def test_blocks_do_not_catch_up_after_a_late_round(tmp_path: Path) -> None:
    async with drand_ledger(tmp_path) as (on, clock):
        clock.passes(1)
        clock.milliseconds += 900
        first = await on.node.close_epoch()
        clock.milliseconds += 100
        clock.held.publish(clock.milliseconds)
        closing = asyncio.create_task(on.node.close_epoch())
        clock.passes(1)
        second = await closing
        gap = second.header.timestamp_milliseconds - first.header.timestamp_milliseconds
        assert gap == 2_000, "a block a tenth of a second after the last leaves nobody time"


def forgeries(genesis: Genesis, held: HeldChain, honest: Header) -> list[Header]:
    """Headers that the ledger's operator would like to be believed."""
    second = 1_000
    at = honest.timestamp_milliseconds
    number = held.chain.round_at(at // 1_000)
    stranger = HeldChain(secret=held.secret + held.secret)
    return [
        honest.evolve(beacon=held.sign(number - 1).signature),
        honest.evolve(beacon=held.sign(number + 1).signature),
        honest.evolve(beacon=stranger.sign(number).signature),
        honest.evolve(beacon=b"\xc0" + bytes(47)),
        honest.evolve(beacon=honest.beacon + bytes(48)),
        honest.evolve(timestamp_milliseconds=at + second),
        honest.evolve(timestamp_milliseconds=at + 1),
        honest.evolve(timestamp_milliseconds=at - 1),
        honest.evolve(timestamp_milliseconds=at - second, beacon=held.sign(number - 1).signature),
        honest.evolve(timestamp_milliseconds=0, beacon=held.sign(1).signature),
    ]


async def test_what_is_no_round_of_its_time_is_refused_near_and_far(tmp_path: Path) -> None:
    async with drand_ledger(tmp_path) as (on, clock):
        honest = (await on.closes(2)).header
        app = create_app(on.node)
        async with (
            http.serving(app, host="127.0.0.1", port=0) as url,
            RemoteLedger(url) as remote,
        ):
            on.node.genesis.verify_beacon(honest)
            assert (await remote.head()).header == honest
            for forged in forgeries(on.node.genesis, clock.held, honest):
                with pytest.raises(ProofRejected):
                    on.node.genesis.verify_beacon(forged)
                on.node._head = SignedHeader.sign(forged, on.keys.signing)
                with pytest.raises(LedgerUnreachable, match="not the chain's beacon"):
                    await remote.head()


async def test_an_operator_who_draws_a_round_twice_is_found_by_the_audit(tmp_path: Path) -> None:
    """Two blocks of one round, each rightly signed: as if an epoch had taken no time."""
    async with drand_ledger(tmp_path) as (on, clock):
        clock.passes(60)
        first, second = await on.node.close_epoch(), await on.closes()
        twice = second.header.evolve(
            timestamp_milliseconds=first.header.timestamp_milliseconds, beacon=first.header.beacon
        )
        on.node.genesis.verify_beacon(twice)
        forged = second.evolve(signed_header=SignedHeader.sign(twice, on.keys.signing))
        write(tmp_path, forged)
        with pytest.raises(AuditFailed, match="older than its parent"):
            audit_folder(tmp_path)
        early = second.header.evolve(beacon=first.header.beacon)
        write(tmp_path, second.evolve(signed_header=SignedHeader.sign(early, on.keys.signing)))
        with pytest.raises(AuditFailed, match="the beacon is another"):
            audit_folder(tmp_path)


def write(folder: Path, block: LedgerBlock) -> None:
    with sqlite3.connect(folder / DATABASE_NAME) as disk:
        disk.execute(
            "UPDATE blocks SET record = ?, header = ? WHERE epoch = ?",
            (block.encode(), block.signed_header.encode(), block.header.epoch),
        )
    disk.close()


def test_quicknets_published_rounds_make_blocks_of_main() -> None:
    """Only the rounds are real; whose blocks they are does not matter to a beacon."""
    beacon = DrandBeacon.of(QUICKNET)
    genesis = Genesis(
        policy=MAIN,
        ledger_address=key_of("operator").address(MAIN_PREFIX),
        beacon=beacon,
        timestamp_milliseconds=beacon.due_milliseconds(1_000),
    )
    for epoch, (number, published) in enumerate(PUBLISHED.items()):
        header = Header(
            chain_id=genesis.chain_id,
            epoch=Epoch(epoch),
            timestamp_milliseconds=beacon.due_milliseconds(number),
            parent=None,
            beacon=published.signature,
            **dict.fromkeys(("message_root", "receipt_root", "verdict_root"), bytes(32)),
            state_root=bytes(32),
        )
        genesis.verify_beacon(header)
        with pytest.raises(ProofRejected):
            genesis.verify_beacon(header.evolve(epoch=Epoch(epoch + 1)))
    assert genesis.beacon_is_drand


@given(st.integers(0, 2**52), st.integers(1, 100), st.integers(0, 10**9))
def test_a_time_belongs_to_one_round(milliseconds: int, period: int, genesis_seconds: int) -> None:
    settings = DrandSettings(genesis_seconds=genesis_seconds, period_seconds=period)
    beacon = settings.beacon
    number = beacon.first_round_from(milliseconds)
    due = beacon.due_milliseconds(number)
    assert due >= milliseconds
    assert number == 1 or beacon.due_milliseconds(number - 1) < milliseconds
    assert beacon.round_due(due) == number
    assert beacon.round_due(milliseconds) == (number if due == milliseconds else None)


async def test_a_node_begins_and_goes_on_with_a_drand_that_it_is_told_of(tmp_path: Path) -> None:
    """The whole node, by real clocks, with drand's server in a thread of its own."""
    held, dead = HeldChain(), "http://127.0.0.1:9"
    genesis: list[Genesis] = []
    loop = asyncio.get_running_loop()
    with drand_in_a_thread(held) as url:
        for urls in ((dead, url), (url,)):
            ready: asyncio.Future[str] = loop.create_future()
            config = settings_of(held, *urls)
            running = asyncio.create_task(run_node(tmp_path, config, on_ready=ready.set_result))
            async with RemoteLedger(await ready) as ledger:
                genesis.append(await ledger.genesis())
                head = await ledger.head()
                async for newer in ledger.heads():
                    if newer.header.epoch >= head.header.epoch + 2:
                        break
            running.cancel()
            with pytest.raises(asyncio.CancelledError):
                await running
    assert genesis[0] == genesis[1]
    assert genesis[0].beacon == DrandBeacon.of(held.chain)
    assert audit_folder(tmp_path).blocks >= 5
