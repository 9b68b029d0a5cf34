"""The arithmetic of time: when a sector's windows open, and when a deal's last one does."""

from collections.abc import Iterable

from chain.deal import DealProposal
from chain.policy import Policy
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
    rule = policy.sector_rule(proof_type)
    assert rule is not None, "a sector on the ledger is of a kind that the network takes"
    return Epoch(max(0, proposal.end_epoch - rule.response_epochs - 1))


def next_window(
    policy: Policy,
    proof_type: ProofType,
    *,
    deadline_index: int,
    after_epoch: Epoch,
    proposals: Iterable[DealProposal],
) -> Epoch:
    """Return when a sector's next window opens.

    proposals:  of its live deals

    A regular window that would overlap a deal's final one gives way to it.
    """
    regular = next_opening(policy, deadline_index, after_epoch=after_epoch)
    rule = policy.sector_rule(proof_type)
    assert rule is not None, "a sector on the ledger is of a kind that the network takes"
    finals = (final_opening(policy, proof_type, proposal) for proposal in proposals)
    upcoming = [final for final in finals if final > after_epoch]
    first_final = min(upcoming, default=None)
    if first_final is not None and first_final <= regular + rule.response_epochs:
        return first_final
    return regular
