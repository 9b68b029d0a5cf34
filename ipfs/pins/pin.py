"""Pins: reasons to keep a DAG; and the port to where they are written down."""

from collections.abc import Sequence
from typing import Annotated, ClassVar, Protocol

from pydantic import Field

from ipfs.cid import CID
from ipfs.record import Record


class Pin(Record):
    """A reason to keep a DAG. There may be many for one; each ends by itself.

    is_recursive:  keep all that the block leads to, else the block alone
    reason:        who wants it or what for; a second pin of the root for it replaces the first
    until_epoch:   the first epoch that it does not hold in, by the caller's clock; None: for good
    """

    root: CID
    is_recursive: bool = True
    reason: Annotated[str, Field(max_length=256)] = ""
    until_epoch: Annotated[int, Field(ge=0)] | None = None

    def holds_at(self, epoch: int | None) -> bool:
        """Whether it still holds; where no epoch is known, every pin does."""
        return epoch is None or self.until_epoch is None or epoch < self.until_epoch


class PinNotFound(LookupError):
    """Nothing is pinned under this CID, or not for this reason."""

    code: ClassVar[str] = "pin-not-found"

    def __init__(self, cid: CID, reason: str | None) -> None:
        super().__init__(f"{cid} is not pinned" + (f" for {reason!r}" if reason else ""))
        self.cid = cid
        self.reason = reason


class PinsDamaged(Exception):
    """The list of pins is not as it was written; nothing may be collected by it."""

    code: ClassVar[str] = "pins-damaged"


class Pins(Protocol):
    """Where pins are written down; durable when a call returns. Raises `PinsDamaged`."""

    def add(self, pin: Pin) -> None:
        """Write a pin down, in place of one of the same CID and reason."""

    def remove(self, cid: CID, reason: str | None = None) -> None:
        """Strike the CID's pins, or that for one reason. Raises `PinNotFound`."""

    def strike(self, pin: Pin) -> None:
        """Strike this pin unless it is gone, or another was written in its place."""

    def all(self) -> Sequence[Pin]:
        """Return every pin."""
