"""How many sectors a provider seals at a time, and what that takes: decided once, at its start."""

from dataclasses import dataclass

from proofs.parameters import ProofType
from proofs.registry import parameters_of
from proofs.seal import sealing_memory_bytes


@dataclass(frozen=True, slots=True)
class SealingPlan:
    """How many sectors are sealed at a time: so much, and no more, is needed for that.

    together:  of one worker at once, 1 or 2
    """

    proof_type: ProofType
    workers: int
    together: int

    @property
    def sectors_max(self) -> int:
        """Return how many sectors may be on their way. For pairs to form, as many wait."""
        waiting = 2 if self.together > 1 else 1
        return self.workers * self.together * waiting

    @property
    def memory_bytes(self) -> int:
        """Return what the workers take of memory, at most."""
        parameters = parameters_of(self.proof_type)
        return self.workers * sealing_memory_bytes(parameters, self.together)

    @property
    def disk_bytes(self) -> int:
        """Return what sectors on their way take besides what stays: pieces, data, trees, labels.

        Of those that wait only the pieces are there.
        """
        parameters = parameters_of(self.proof_type)
        sealed_at_once = self.workers * self.together
        return parameters.sector_size_bytes * (
            sealed_at_once * (6 + parameters.layers) + self.sectors_max - sealed_at_once
        )


class SealingNeedsMemory(Exception):
    """This machine can't seal what its provider is to sell."""

    code = "sealing-needs-memory"

    def __init__(self, plan: SealingPlan, memory_bytes: int) -> None:
        super().__init__(
            f"sealing {plan.workers * plan.together} sectors {plan.proof_type} at once takes "
            f"{plan.memory_bytes} bytes of memory, and there are {memory_bytes}: set fewer "
            "sealing_workers, sealing_together = 1, or a smaller proof_type"
        )
        self.plan = plan
        self.memory_bytes = memory_bytes


def plan_sealing(
    proof_type: ProofType,
    *,
    workers: int,
    together: int | None,
    memory_bytes: int,
    disk_free_bytes: int,
) -> SealingPlan:
    """Return how sectors are sealed: as the operator set it, else as there is room for it.

    memory_bytes:  the machine's

    Raises `SealingNeedsMemory` if that can't go well.
    """
    if together is None:
        pairs = SealingPlan(proof_type, workers, 2)
        has_room = (
            2 * pairs.memory_bytes <= memory_bytes and 2 * pairs.disk_bytes <= disk_free_bytes
        )
        together = 2 if has_room else 1
    plan = SealingPlan(proof_type, workers, together)
    if plan.memory_bytes > memory_bytes:
        raise SealingNeedsMemory(plan, memory_bytes)
    return plan
