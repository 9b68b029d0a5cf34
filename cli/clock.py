"""Epochs as people and programs reckon time: by the clock, as if the ledger never stands still."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Self

from cli.words import format_epochs

if TYPE_CHECKING:
    from chain.block import Genesis
    from chain.ledger import Ledger


@dataclass(frozen=True, slots=True)
class Clock:
    """What the time was at one epoch, and how long epochs are."""

    head_epoch: int
    head_milliseconds: int
    epoch_seconds: int

    @classmethod
    async def of(cls, ledger: "Ledger", genesis: "Genesis") -> Self:
        """Return the clock that a ledger's head sets."""
        head = (await ledger.head()).header
        return cls(head.epoch, head.timestamp_milliseconds, genesis.policy.epoch_seconds)

    def time_of(self, epoch: int) -> datetime:
        """Return when an epoch's block is made, or was: exact for the head alone."""
        head = datetime.fromtimestamp(self.head_milliseconds / 1_000, UTC)
        return head + timedelta(seconds=(epoch - self.head_epoch) * self.epoch_seconds)

    def iso(self, epoch: int | None) -> str | None:
        """Return the time of an epoch for programs: ISO 8601, UTC, whole seconds."""
        return None if epoch is None else self.time_of(epoch).isoformat(timespec="seconds")

    def told(self, epoch: int | None) -> str:
        """Return an epoch for people: how far off, and the local time; `-` for none."""
        if epoch is None:
            return "-"
        when, head = (self.time_of(each).astimezone() for each in (epoch, self.head_epoch))
        shown = when.strftime("%H:%M" if when.date() == head.date() else "%Y-%m-%d %H:%M")
        return f"{epoch} ({self._away(epoch)}, {shown})"

    def told_window(self, epoch: int | None) -> str:
        """Return for people when the next window opens; it may be open already."""
        is_open = epoch is not None and epoch <= self.head_epoch
        return "open now" if is_open else self.told(epoch)

    def _away(self, epoch: int) -> str:
        epochs = epoch - self.head_epoch
        lasting = format_epochs(abs(epochs), epoch_seconds=self.epoch_seconds)
        if epochs == 0:
            return "now"
        return f"in about {lasting}" if epochs > 0 else f"{lasting} ago"
