"""What a provider can have to do, by urgency; each duty says what it works on.

As text, a duty is what the operator reads of it in the log and in the status.
"""

from dataclasses import dataclass
from typing import ClassVar

from chain.provider import Ask
from chain.units import Epoch, SectorNumber
from ipfs.cid import CID


@dataclass(frozen=True, slots=True)
class DealDuty:
    """Something to be done for deals; not twice at a time for the same one."""

    urgency: ClassVar[int]
    doing: ClassVar[str]
    due_epoch: Epoch
    proposal_cids: tuple[CID, ...]

    @property
    def subjects(self) -> frozenset[object]:
        """Return what no other duty may work on meanwhile."""
        return frozenset(self.proposal_cids)

    def __str__(self) -> str:
        return f"{self.doing} {', '.join(map(str, self.proposal_cids))}"


@dataclass(frozen=True, slots=True)
class SectorDuty:
    """Something to be done for one sector; nothing else is done for it meanwhile."""

    urgency: ClassVar[int]
    doing: ClassVar[str]
    due_epoch: Epoch
    number: SectorNumber

    @property
    def subjects(self) -> frozenset[object]:
        """Return what no other duty may work on meanwhile."""
        return frozenset((self.number,))

    def __str__(self) -> str:
        return f"{self.doing} sector {self.number}"


@dataclass(frozen=True, slots=True)
class WindowDuty:
    """Something to be done about one window of some sectors, whatever else is done for them."""

    urgency: ClassVar[int]
    doing: ClassVar[str]
    due_epoch: Epoch
    window_epoch: Epoch
    numbers: tuple[SectorNumber, ...]

    @property
    def subjects(self) -> frozenset[object]:
        """Return what no other duty may work on meanwhile: the same for this window."""
        kind = type(self).__name__
        return frozenset((kind, number, self.window_epoch) for number in self.numbers)

    def __str__(self) -> str:
        numbers = ", ".join(map(str, self.numbers))
        sectors = "sector" if len(self.numbers) == 1 else "sectors"
        return f"{self.doing} the window of epoch {self.window_epoch} for {sectors} {numbers}"


class AnswerWindow(WindowDuty):
    """Prove that these sectors' replicas are still there, before the window closes."""

    urgency = 0
    doing = "answering"


class DeclareDamage(WindowDuty):
    """Tell the ledger that these sectors will miss the window, while that is free."""

    urgency = 0
    doing = "declaring damage before"


class ProveCommit(SectorDuty):
    """Answer the replication challenge."""

    urgency = 1
    doing = "proving the replica of"


class PreCommit(SectorDuty):
    """Commit to the sealed replica on the ledger."""

    urgency = 2
    doing = "committing to"


class Seal(SectorDuty):
    """Make the replica, under a ticket that is not too old."""

    urgency = 3
    doing = "sealing"


class Mend(SectorDuty):
    """Make a damaged replica again."""

    urgency = 3
    doing = "mending"


class Assign(DealDuty):
    """Give these published deals, in this order, a sector number of their own."""

    urgency = 4
    doing = "finding a sector for"


class Publish(DealDuty):
    """Open the deals on the ledger: their pieces are here."""

    urgency = 5
    doing = "publishing the deal of"


class FetchPiece(DealDuty):
    """Bring the blocks here and check their commitment."""

    urgency = 6
    doing = "fetching the piece of"


class Trim(SectorDuty):
    """Free what only sealing and the proof of replication needed."""

    urgency = 7
    doing = "trimming"


class ClearSector(SectorDuty):
    """Free everything of a sector that is over, or will never be."""

    urgency = 8
    doing = "clearing"


@dataclass(frozen=True, slots=True)
class OfferAsk:
    """Put our current terms into the registry: they changed, or the old ask expires soon."""

    urgency: ClassVar[int] = 10
    due_epoch: Epoch
    ask: Ask

    @property
    def subjects(self) -> frozenset[object]:
        """Return what no other duty may work on meanwhile."""
        return frozenset(("ask",))

    def __str__(self) -> str:
        return "posting the ask"


@dataclass(frozen=True, slots=True)
class DropPromise(DealDuty):
    """Close a promise that nothing more comes of, and free its blocks."""

    urgency: ClassVar[int] = 9
    doing: ClassVar[str] = "dropping"
    reason: str


class Scrub(SectorDuty):
    """Read a replica again, to know of damage before a window does."""

    urgency = 11
    doing = "scrubbing"


Duty = (
    AnswerWindow
    | DeclareDamage
    | ProveCommit
    | PreCommit
    | Seal
    | Mend
    | Assign
    | Publish
    | FetchPiece
    | Trim
    | ClearSector
    | DropPromise
    | OfferAsk
    | Scrub
)


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing is to be done now: what is waited for, and when that ends by itself."""

    what: str
    until_epoch: Epoch
