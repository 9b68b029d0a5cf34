"""Is my file safe? An honest answer from what the ledger settled, and what it rests on.

Copies are judged as they are now. A deal that was lost counts against the file until the time it
was made for is over, or until another deal replaced it: one published after it was to start. The
ledger does not say how many copies somebody wanted; this is the nearest it comes.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from chain.deal import Deal, DealState
from chain.errors import NotFound
from chain.keys import Address
from chain.ledger import Ledger
from chain.sector import Sector
from chain.units import DealId, Epoch, ProviderId
from ipfs.cid import CID
from proofs.parameters import ProofType
from proofs.registry import parameters_of

LOST_FRACTION_PERCENT = 1
"""The loss whose detection the verdict gives the odds of."""


class Safety(StrEnum):
    """The answer in a word."""

    SAFE = "safe"
    """Every copy that is due is proven, and none missed its last window."""

    AT_RISK = "at-risk"
    """Some copy that is due is not proven now: its window was missed, or its provider says that
    the next will be; it was lost, or is new."""

    NOT_YET = "not-yet"
    """No copy is proven now; at least one is still to be."""

    LOST = "lost"
    """No provider answers for the file any more, and not every deal was kept to its end."""

    OVER = "over"
    """Every deal was kept to its end, or replaced by one that was; nobody is paid now."""


class FileLost(Exception):
    """No provider answers for the file any more."""

    code = "file-lost"

    def __init__(self, root_cid: CID) -> None:
        super().__init__(f"{root_cid} is lost: no provider answers for it any more")
        self.root_cid = root_cid


@dataclass(frozen=True, slots=True)
class CopyVerdict:
    """One copy: who keeps it, and how well that is proven."""

    deal_id: DealId
    provider_id: ProviderId
    state: DealState
    windows_proven: int
    windows_missed: int
    is_declared: bool
    """Whether its provider has said that it will miss the next window."""

    next_window_epoch: Epoch | None
    challenges_per_window: int
    """Expected within the file's own range: its own ones, and its share of the sector's; none
    while no window asks about it."""

    is_due: bool
    """Whether the file should have this copy now: it is live, or was lost and not replaced."""

    @property
    def caught_percent(self) -> float:
        """Return the odds that one window shows a loss of 1 % of the file, in percent."""
        return 100 * (1 - (1 - LOST_FRACTION_PERCENT / 100) ** self.challenges_per_window)


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answer for one file."""

    safety: Safety
    copies: tuple[CopyVerdict, ...]
    beacon_is_drand: bool
    """False: the ledger's operator could have known the challenges early."""

    @property
    def due_copies(self) -> int:
        """Return how many copies the file should have now."""
        return sum(copy.is_due for copy in self.copies)

    @property
    def proven_copies(self) -> int:
        """Return how many copies are proven as of now."""
        return sum(copy.state is DealState.ACTIVE for copy in self.copies)


async def judge(
    ledger: Ledger, root_cid: CID, *, beacon_is_drand: bool, client: Address | None = None
) -> Verdict:
    """Return the verdict on a CID from what the ledger says now. Raises `NotFound`.

    client:  whose deals count; None: everybody's, so that a stranger's lost copy counts as well
    """
    deals = await ledger.deals(client=client, root_cid=root_cid)
    head = await ledger.head()
    if not deals:
        raise NotFound("deal for" if client is None else f"deal of {client} for", root_cid)
    sectors = {
        (sector.provider_id, sector.number): sector
        for provider_id in sorted({deal.proposal.provider_id for deal in deals})
        for sector in await ledger.sectors(provider_id)
    }
    placed = [
        (deal, None)
        if deal.sector_number is None
        else (deal, sectors.get((deal.proposal.provider_id, deal.sector_number)))
        for deal in deals
    ]
    return verdict(placed, head_epoch=head.header.epoch, beacon_is_drand=beacon_is_drand)


def verdict(
    deals: Iterable[tuple[Deal, Sector | None]], *, head_epoch: Epoch, beacon_is_drand: bool
) -> Verdict:
    """Return the verdict on the file that these deals keep, each with its sector."""
    placed = tuple(deals)
    missed = _unreplaced([deal for deal, _ in placed])
    copies = tuple(
        _copy(
            deal,
            sector,
            is_due=deal.state.is_live
            or (deal.id in missed and deal.proposal.end_epoch > head_epoch),
        )
        for deal, sector in placed
    )
    states = {copy.state for copy in copies if copy.is_due}
    if not any(state.is_live for state in states):
        is_kept = not missed and any(copy.state is DealState.COMPLETED for copy in copies)
        safety = Safety.OVER if is_kept else Safety.LOST
    elif states == {DealState.ACTIVE}:
        safety = Safety.SAFE
    elif states.isdisjoint((DealState.ACTIVE, DealState.FAULTY)):
        safety = Safety.NOT_YET
    else:
        safety = Safety.AT_RISK
    return Verdict(safety=safety, copies=copies, beacon_is_drand=beacon_is_drand)


def _unreplaced(deals: Sequence[Deal]) -> set[DealId]:
    """Return the lost deals that none was published for, once they were to have started.

    Deals of one order are published before any of them starts, so none of them replaces another.
    """
    lost = sorted(
        (
            deal
            for deal in deals
            if not deal.state.is_live and deal.state is not DealState.COMPLETED
        ),
        key=lambda deal: deal.proposal.start_epoch,
    )
    later = sorted(deals, key=lambda deal: deal.published_epoch, reverse=True)
    unreplaced: set[DealId] = set()
    for deal in lost:
        while later and later[-1].published_epoch <= deal.proposal.start_epoch:
            later.pop()
        if later:
            later.pop()
        else:
            unreplaced.add(deal.id)
    return unreplaced


def _copy(deal: Deal, sector: Sector | None, *, is_due: bool) -> CopyVerdict:
    asking = sector if deal.state in (DealState.ACTIVE, DealState.FAULTY) else None
    return CopyVerdict(
        deal_id=deal.id,
        provider_id=deal.proposal.provider_id,
        state=deal.state,
        windows_proven=deal.windows_proven,
        windows_missed=deal.windows_missed,
        is_declared=asking is not None and asking.is_declared,
        next_window_epoch=asking.window_epoch if asking else None,
        challenges_per_window=_challenges(deal, asking.proof_type) if asking else 0,
        is_due=is_due,
    )


def _challenges(deal: Deal, proof_type: ProofType) -> int:
    parameters = parameters_of(proof_type)
    share = deal.proposal.piece_size_bytes / parameters.sector_size_bytes
    return parameters.piece_challenge_count + int(parameters.window_challenge_count * share)
