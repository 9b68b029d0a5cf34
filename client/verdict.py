"""Is my file safe? An honest answer from what the ledger settled, and what it rests on."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from chain.deal import Deal, DealState
from chain.errors import NotFound
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
    """Every copy proven, none of them missed its last window."""

    AT_RISK = "at-risk"
    """At least one copy is proven, another one is not."""

    NOT_YET = "not-yet"
    """No copy is proven so far; some may still be."""

    LOST = "lost"
    """No provider answers for the file any more."""

    OVER = "over"
    """Every deal was kept to its end; nobody is paid for the file now."""


@dataclass(frozen=True, slots=True)
class CopyVerdict:
    """One copy: who keeps it, and how well that is proven."""

    deal_id: DealId
    provider_id: ProviderId
    state: DealState
    windows_proven: int
    windows_missed: int
    next_window_epoch: Epoch | None
    challenges_per_window: int
    """Expected within the file's own range: its own ones, and its share of the sector's."""

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
    def proven_copies(self) -> int:
        """Return how many copies are proven as of now."""
        return sum(copy.state is DealState.ACTIVE for copy in self.copies)


async def judge(ledger: Ledger, root_cid: CID, *, beacon_is_drand: bool) -> Verdict:
    """Return the verdict on a CID from what the ledger says now. Raises `NotFound`."""
    deals = await ledger.deals(root_cid=root_cid)
    if not deals:
        raise NotFound("deal for", root_cid)
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
    return verdict(placed, beacon_is_drand=beacon_is_drand)


def verdict(deals: Iterable[tuple[Deal, Sector | None]], *, beacon_is_drand: bool) -> Verdict:
    """Return the verdict on the file that these deals keep, each with its sector."""
    copies = tuple(_copy(deal, sector) for deal, sector in deals)
    live = [copy.state for copy in copies if copy.state.is_live]
    if not live:
        kept = copies and all(copy.state is DealState.COMPLETED for copy in copies)
        safety = Safety.OVER if kept else Safety.LOST
    elif DealState.ACTIVE not in live:
        safety = Safety.NOT_YET if DealState.PUBLISHED in live else Safety.AT_RISK
    else:
        all_active = all(copy.state is DealState.ACTIVE for copy in copies)
        safety = Safety.SAFE if all_active else Safety.AT_RISK
    return Verdict(safety=safety, copies=copies, beacon_is_drand=beacon_is_drand)


def _copy(deal: Deal, sector: Sector | None) -> CopyVerdict:
    return CopyVerdict(
        deal_id=deal.id,
        provider_id=deal.proposal.provider_id,
        state=deal.state,
        windows_proven=deal.windows_proven,
        windows_missed=deal.windows_missed,
        next_window_epoch=sector.window_epoch if sector and sector.state.is_live else None,
        challenges_per_window=_challenges(deal, sector.proof_type) if sector else 0,
    )


def _challenges(deal: Deal, proof_type: ProofType) -> int:
    parameters = parameters_of(proof_type)
    share = deal.proposal.piece_size_bytes / parameters.sector_size_bytes
    return parameters.piece_challenge_count + int(parameters.window_challenge_count * share)
