"""The arithmetic of time: when a sector's windows open and close, and which are a deal's last."""

from collections.abc import Iterable

from chain.deal import DealProposal
from chain.policy import Policy
from chain.sector import Sector
from chain.units import Epoch
from proofs.parameters import ProofType


def next_opening(policy: Policy, deadline_index: int, *, after_epoch: Epoch) -> Epoch:
    """Return the first opening of a deadline later than `after_epoch`."""
    offset = deadline_index * policy.deadline_epochs
    periods = max(0, (after_epoch - offset) // policy.proving_period_epochs + 1)
    return Epoch(periods * policy.proving_period_epochs + offset)


def final_opening(policy: Policy, proof_type: ProofType, proposal: DealProposal) -> Epoch:
    """Return when a deal's last window opens: the last that can be answered within the deal.

    A valid answer to it pays the deal to its end.
    """
    answered_by = policy.last_response_epoch(proof_type, Epoch(0))
    return Epoch(max(0, proposal.end_epoch - answered_by - 1))


def is_final(
    policy: Policy, proof_type: ProofType, window_epoch: Epoch, proposal: DealProposal
) -> bool:
    """Whether a window settles a deal to its end: no later one of its own would fit."""
    last = policy.last_response_epoch(proof_type, window_epoch)
    return last >= final_opening(policy, proof_type, proposal)


def next_window(
    policy: Policy,
    proof_type: ProofType,
    *,
    deadline_index: int,
    after_epoch: Epoch,
    proposals: Iterable[DealProposal],
) -> Epoch:
    """Return when a sector's next window opens.

    after_epoch:  when it was proven, or the last response epoch of the window before, so that
                  one sector's windows never overlap
    proposals:    of its deals that are not settled to their end
    """
    regular = next_opening(policy, deadline_index, after_epoch=after_epoch)
    return give_way(policy, proof_type, regular, after_epoch=after_epoch, proposals=proposals)


def give_way(
    policy: Policy,
    proof_type: ProofType,
    window_epoch: Epoch,
    *,
    after_epoch: Epoch,
    proposals: Iterable[DealProposal],
) -> Epoch:
    """Return the window, or the deal's final one that it would overlap or come after."""
    finals = (final_opening(policy, proof_type, proposal) for proposal in proposals)
    upcoming = min((final for final in finals if final > after_epoch), default=window_epoch)
    if upcoming <= policy.last_response_epoch(proof_type, window_epoch):
        return upcoming
    return window_epoch


def close_of(policy: Policy, proof_type: ProofType, window_epoch: Epoch) -> Epoch:
    """Return the first epoch that is too late for a window's proof."""
    return Epoch(policy.last_response_epoch(proof_type, window_epoch) + 1)


def last_declaration_epoch(policy: Policy, window_epoch: Epoch) -> Epoch:
    """Return the last block that takes a declaration that the window will be missed."""
    return Epoch(max(0, window_epoch - policy.declaration_epochs))


def declared_lately(policy: Policy, sector: Sector) -> tuple[Epoch, ...]:
    """Return the declared windows that count against declaring the sector's next one."""
    assert sector.window_epoch is not None, "only a window is declared"
    since_epoch = sector.window_epoch - policy.forgiven_miss_periods * policy.proving_period_epochs
    return tuple([epoch for epoch in sector.declared if epoch > since_epoch])


def open_windows(sectors: Iterable[Sector], *, head_epoch: Epoch) -> tuple[Sector, ...]:
    """Return the sectors whose window can be answered on this head, soonest to close first.

    A proof handed in now lands in the next block at the earliest.
    """
    answerable = [
        (sector.close_epoch, sector.number, sector)
        for sector in sectors
        if sector.window_epoch is not None and sector.close_epoch is not None
        if sector.window_epoch <= head_epoch < sector.close_epoch - 1
    ]
    return tuple(sector for _, _, sector in sorted(answerable, key=lambda found: found[:2]))
