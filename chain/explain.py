"""What a deal waits for: whose move it is, until when, and what happens by itself."""

from enum import StrEnum
from typing import assert_never

from chain.deal import Deal, DealState
from chain.policy import Policy
from chain.sector import Sector
from chain.units import Epoch
from ipfs.record import Record


class Party(StrEnum):
    """Who may move a deal."""

    CLIENT = "client"
    PROVIDER = "provider"
    LEDGER = "ledger"
    NOBODY = "nobody"


class Explanation(Record):
    """One deal's present, in words.

    until_epoch:  the last block that takes the move; None when none is due
    now:          what the move is
    then:         what the ledger does by itself if it is not made
    """

    state: DealState
    whose_move: Party
    until_epoch: Epoch | None
    now: str
    then: str


def explain(deal: Deal, sector: Sector | None, policy: Policy, epoch: Epoch) -> Explanation:
    """Return whose move a deal waits for (docs/protocols/deal.md).

    sector:  the one that the deal is in, None before it is pre-committed
    epoch:   the block that is made next
    """
    match deal.state:
        case DealState.PUBLISHED:
            return _published(deal, sector)
        case DealState.ACTIVE | DealState.FAULTY:
            assert sector is not None, "a proven deal is in a sector"
            return _settled(deal) if deal.is_settled else _proven(deal, sector, policy, epoch)
        case DealState.COMPLETED:
            return _over(deal, "proven to its end and paid; the collateral went back")
        case DealState.FAILED:
            return _over(
                deal, "faulty at its end: unproven time refunded, collateral to the client"
            )
        case DealState.TERMINATED:
            return _over(
                deal, "given up: paid to the last proof, the rest and the collateral to the client"
            )
        case DealState.LAPSED:
            return _over(
                deal,
                "never proven: refunded; the collateral, and the deposit if there was one, "
                "to the client",
            )
        case _:
            assert_never(deal.state)


def _published(deal: Deal, sector: Sector | None) -> Explanation:
    if sector is None:
        return Explanation(
            state=deal.state,
            whose_move=Party.PROVIDER,
            until_epoch=deal.proposal.start_epoch,
            now="seal the piece and pre-commit its sector",
            then="the client is refunded and receives the collateral",
        )
    return Explanation(
        state=deal.state,
        whose_move=Party.PROVIDER,
        until_epoch=sector.prove_by_epoch,
        now="prove the replica",
        then="the client is refunded and receives the collateral and its share of the deposit",
    )


def _proven(deal: Deal, sector: Sector, policy: Policy, epoch: Epoch) -> Explanation:
    assert sector.window_epoch is not None, "a sector has a window until all of it is settled"
    assert sector.close_epoch is not None, "a window closes"
    is_open = sector.window_epoch < epoch
    last_epoch = Epoch(sector.close_epoch - 1)
    if deal.state is DealState.ACTIVE:
        unproven = "the sector turns faulty and the time since its last proof goes unpaid"
    else:
        periods = policy.fault_periods_allowed(deal.proposal.duration_epochs)
        fee = " (without a fee: its provider said so ahead)" if sector.is_declared else ""
        unproven = (
            f"it stays faulty and unpaid{fee}, missed {len(sector.missed)} times in a row by now; "
            f"after {periods} periods it is terminated, refunded and compensated: store it again "
            "then"
        )
    if is_open:
        return Explanation(
            state=deal.state,
            whose_move=Party.PROVIDER,
            until_epoch=last_epoch,
            now=f"answer the challenges of the window of epoch {sector.window_epoch}",
            then=unproven,
        )
    return Explanation(
        state=deal.state,
        whose_move=Party.LEDGER,
        until_epoch=sector.window_epoch,
        now=f"draw the challenges of the window of epoch {sector.window_epoch}",
        then=f"the provider answers them by epoch {last_epoch}, or {unproven}",
    )


def _settled(deal: Deal) -> Explanation:
    is_well = deal.state is DealState.ACTIVE
    return Explanation(
        state=deal.state,
        whose_move=Party.LEDGER,
        until_epoch=deal.proposal.end_epoch,
        now="end the deal: no window asks about it any more",
        then="the collateral goes " + ("back" if is_well else "to the client"),
    )


def _over(deal: Deal, then: str) -> Explanation:
    return Explanation(
        state=deal.state, whose_move=Party.NOBODY, until_epoch=None, now="nothing", then=then
    )
