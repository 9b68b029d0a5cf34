"""The provider at work: at every head it does what is due, and it answers who asks."""

import asyncio
import logging
from collections import Counter
from typing import Final

from chain.block import Header
from chain.errors import LedgerError
from chain.ledger import LedgerUnreachable
from chain.units import Epoch, ProviderId
from ipfs.blockstore import BlockNotFound
from ipfs.cid import CID
from ipfs.errors import PeerError
from ipfs.host import Host, NetworkError
from market.stream import serve_asks, serve_deals
from provider.agenda import agenda
from provider.desk import Desk
from provider.duties import Duty
from provider.facts import Facts, FactsReader
from provider.roster import Key, Roster, key_of
from provider.sealing import SealingFailed
from provider.status import (
    DealStatus,
    Earnings,
    ProviderStatus,
    SectorStatus,
    deal_status,
    sector_status,
)
from provider.work import perform
from provider.workshop import DutyRefused, ReplicaLost, Workshop

ANNOUNCEMENTS_MAX: Final = 4
"""Roots announced at a time: each is a walk through the DHT."""

FAILURES: Final = (
    LedgerError,
    LedgerUnreachable,
    DutyRefused,
    ReplicaLost,
    SealingFailed,
    NetworkError,
    PeerError,
    BlockNotFound,
    OSError,
)
"""What the world can do to a duty: it is logged, shown, and tried again a little later."""

log = logging.getLogger(__name__)


class ProviderNode:
    """Does the agenda of every head until cancelled. Stopping is being cancelled at any point.

    facts:  reads the facts at a head
    """

    def __init__(
        self,
        shop: Workshop,
        desk: Desk,
        roster: Roster,
        *,
        host: Host,
        facts: FactsReader,
    ) -> None:
        self._shop = shop
        self._desk = desk
        self._roster = roster
        self._host = host
        self._facts = facts
        self._head: Header | None = None
        self._news = asyncio.Event()
        self._tasks: dict[Key, asyncio.Task[None]] = {}
        self._troubles: dict[Key, str] = {}
        self._announced: set[CID] = set()
        self._announcing = asyncio.Semaphore(ANNOUNCEMENTS_MAX)

    @property
    def provider_id(self) -> ProviderId:
        """Our number in the registry."""
        return self._shop.provider_id

    @property
    def _head_epoch(self) -> Epoch:
        return self.facts.head_epoch if self._head is None else self._head.epoch

    @property
    def facts(self) -> Facts:
        """What was last known, and is acted upon."""
        return self._desk.facts

    @property
    def under_way(self) -> tuple[Duty, ...]:
        """What is being done now."""
        return self._roster.under_way

    def serve(self) -> None:
        """Answer clients from now on."""
        serve_asks(self._host, self._desk.signed_ask)
        serve_deals(self._host, consider=self._desk.consider, status=self._desk.status)

    async def run(self) -> None:
        """Work until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._follow_heads())
            while True:
                await self._news.wait()
                self._news.clear()
                assert self._head is not None, "a head is what is new first"
                try:
                    facts = await self._facts.at(self._head)
                except (LedgerUnreachable, LedgerError) as error:
                    log.warning("the facts can't be read: %s", error)
                    continue
                self._take_turn(facts, group)

    async def status(self) -> ProviderStatus:
        """Return how the provider stands, at the head that was seen last."""
        facts, space = self._desk.facts, await self._desk.space()
        openings = [sector.window_epoch for sector in facts.sectors.values()]
        progress = [self._desk.status_of(promise).progress for promise in facts.promises]
        deals = facts.deals.values()
        damaged = [
            f"sector {number} is damaged: {'; '.join(found)}"
            for number, found in (await self._shop.disk.damages()).items()
        ]
        return ProviderStatus(
            provider_id=self._shop.provider_id,
            peer_id=str(self._host.peer_id),
            addresses=tuple(map(str, self._host.addresses)),
            head_epoch=facts.head_epoch,
            head_milliseconds=facts.head_milliseconds,
            epoch_seconds=facts.policy.epoch_seconds,
            ask=self._desk.ask,
            deals=dict(Counter(progress)),
            sectors=dict(Counter(sector.state for sector in facts.sectors.values())),
            next_window_epoch=min((epoch for epoch in openings if epoch is not None), default=None),
            used_bytes=space.used_bytes,
            free_bytes=max(0, space.free_bytes),
            earnings=Earnings.of(deals),
            windows_proven=sum(deal.windows_proven for deal in deals),
            windows_missed=sum(deal.windows_missed for deal in deals),
            under_way=tuple(map(str, self.under_way)),
            troubles=(*self._troubles.values(), *damaged),
        )

    async def deals(self) -> tuple[DealStatus, ...]:
        """Return how every promise stands, closed ones too."""
        facts = self._desk.facts
        return tuple(
            deal_status(promise, self._desk.status_of(promise), facts)
            for promise in await self._shop.store.promises(closed=True)
        )

    async def sectors(self) -> tuple[SectorStatus, ...]:
        """Return how every sector stands."""
        facts = self._desk.facts
        sealing = self._shop.sealing.progress
        return tuple(sector_status(plan, facts, sealing) for plan in facts.plans)

    async def _follow_heads(self) -> None:
        async for head in self._shop.ledger.heads():
            self._head = head.header
            self._news.set()

    def _take_turn(self, facts: Facts, group: asyncio.TaskGroup) -> None:
        self._desk.facts = facts
        duties = agenda(facts)
        turn = self._roster.turn(duties, facts.head_epoch)
        for key in self._troubles.keys() - {key_of(duty) for duty in duties}:
            del self._troubles[key]
        for key in turn.stop:
            if not self._tasks[key].cancelling():
                self._tasks[key].cancel()
        for duty in turn.start:
            self._tasks[key_of(duty)] = group.create_task(self._perform(duty))
        held = {promise.proposal.root_cid for promise in facts.promises if promise.is_received}
        for root in held - self._announced:
            self._announced.add(root)
            group.create_task(self._announce(root))

    async def _announce(self, root: CID) -> None:
        """Tell the DHT, once a run, that we have a DAG; it is the routing's to say it again."""
        async with self._announcing:
            await self._shop.routing.provide(root)

    async def _perform(self, duty: Duty) -> None:
        """Do a duty to its end; what the world does to it is not ours to die of."""
        log.info("%s: begun", duty)
        key, failed = key_of(duty), True
        try:
            await perform(duty, self._shop)
            failed = False
            self._troubles.pop(key, None)
            log.info("%s: done", duty)
        except FAILURES as error:
            self._troubles[key] = f"{duty}: {error}"
            log.warning("%s: %s", duty, error)
        except asyncio.CancelledError:
            log.info("%s: stopped", duty)
            raise
        finally:
            del self._tasks[key]
            self._roster.ended(duty, self._head_epoch, failed=failed)
            self._news.set()
