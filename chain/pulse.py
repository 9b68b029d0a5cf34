"""When the next block is due, and what it begins with: its time and its beacon."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from chain.beacon import DrandBeacon
from chain.block import Genesis, Header
from chain.closing import LedgerKeys
from chain.drand import DrandClient, RoundUnavailable
from chain.policy import Policy
from chain.units import Epoch
from proofs.drand import Round

RETRY_SECONDS: Final = 0.25
"""Between two attempts at a round that nobody has: drand publishes within a second of the time."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Pulse:
    """What a block begins with.

    signature:  the beacon's, of the block's epoch, or of the drand round of its time
    """

    timestamp_milliseconds: int
    signature: bytes


class Pulses(Protocol):
    """Where a ledger's time and randomness come from."""

    async def due(self, parent: Header) -> None:
        """Return when the block on top of this one is due."""

    async def next(self, parent: Header) -> Pulse:
        """Return what the block on top of this one begins with, as soon as that is known."""


class OwnPulses:
    """By the ledger's own clock and key: an epoch after the other, whatever happens.

    clock:  milliseconds since 1970
    """

    def __init__(self, genesis: Genesis, keys: LedgerKeys, clock: Callable[[], int]) -> None:
        self._genesis = genesis
        self._keys = keys
        self._clock = clock
        self._due: float | None = None

    async def due(self, parent: Header) -> None:
        """Return when the block is due; after a halt it goes on, and never catches up."""
        now = asyncio.get_running_loop().time
        epoch_seconds = self._genesis.policy.epoch_seconds
        if self._due is None:
            since_seconds = (self._clock() - parent.timestamp_milliseconds) / 1_000
            self._due = now() + min(max(epoch_seconds - since_seconds, 0), epoch_seconds)
        await asyncio.sleep(self._due - now())
        if now() - self._due > epoch_seconds / 2:
            log.warning("the ledger stood still for %.1f s", now() - self._due)
            self._due = now()
        self._due += epoch_seconds

    async def next(self, parent: Header) -> Pulse:
        """Return the time now and the next epoch's beacon."""
        # A clock that was set back must not make an epoch end before it began.
        timestamp = max(self._clock(), parent.timestamp_milliseconds)
        epoch = Epoch(parent.epoch + 1)
        signature = await asyncio.to_thread(self._keys.sign_beacon, self._genesis.chain_id, epoch)
        return Pulse(timestamp, signature)


class DrandPulses:
    """By drand: a block is due with a round, waits for it, and has its time.

    Where drand stands still, so does the ledger. A round that came too late is left out, for a
    seed must not be known long before its window opens; so many epochs later the gap shows.
    """

    def __init__(
        self, beacon: DrandBeacon, policy: Policy, client: DrandClient, clock: Callable[[], int]
    ) -> None:
        self._beacon = beacon
        self._epoch_milliseconds = policy.epoch_seconds * 1_000
        self._late_milliseconds = policy.void_gap_epochs * self._epoch_milliseconds
        self._client = client
        self._clock = clock
        self._taken_milliseconds = 0

    async def due(self, parent: Header) -> None:
        """Return at once: to wait for its round is what a pulse takes."""

    async def next(self, parent: Header) -> Pulse:
        """Return a round's time and signature once it is published, for as long as that takes."""
        earliest = parent.timestamp_milliseconds + self._epoch_milliseconds
        published = await self._fresh_round(earliest)
        return Pulse(self._beacon.due_milliseconds(published.number), published.signature)

    async def first_round(self) -> Round:
        """Return the next round that is due: a chain begins with it."""
        return await self._fresh_round(self._clock())

    async def _fresh_round(self, earliest_milliseconds: int) -> Round:
        is_waited_for = False
        while True:
            number = self._beacon.first_round_from(
                max(
                    earliest_milliseconds,
                    self._taken_milliseconds + self._epoch_milliseconds // 2,
                    self._clock() - self._epoch_milliseconds,
                )
            )
            due_milliseconds = self._beacon.due_milliseconds(number)
            await asyncio.sleep((due_milliseconds - self._clock()) / 1_000)
            try:
                published = await self._client.round(number)
            except RoundUnavailable as error:
                half_milliseconds = self._epoch_milliseconds // 2
                is_late = self._clock() - due_milliseconds > half_milliseconds
                if is_late and not is_waited_for:
                    log.warning("the ledger waits for drand: %s", error)
                    is_waited_for = True
                await asyncio.sleep(half_milliseconds / 1_000 if is_late else RETRY_SECONDS)
                continue
            if self._clock() - due_milliseconds <= self._late_milliseconds:
                self._taken_milliseconds = self._clock()
                if is_waited_for:
                    log.info("drand is back with round %d", number)
                return published
