"""How many sectors a disk answers for in time; how fast it reads is measured at the start."""

import os
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Final, Self

from chain.policy import Policy
from proofs.hashing import NODE_BYTES
from proofs.parameters import ProofType
from proofs.post import longest_proof_bytes
from proofs.registry import parameters_of

_TRIAL_BYTES: Final = 16 << 20
_TRIAL_READS: Final = 64
_TRIAL_STEP: Final = 37

_RESPONSE_SHARE: Final = 0.5
"""Of a response window, for reading; the rest is for the way to the ledger, and other readers."""


@dataclass(frozen=True, slots=True)
class Answering:
    """What answers take, and how long there is for them. The ledger spreads sectors evenly.

    read_seconds:      of one node that is not in memory, where the replicas lie
    response_seconds:  from a window's seed to the last block for its proof
    deadline_count:    of a period; each has a window
    """

    read_seconds: float
    response_seconds: int
    deadline_count: int

    @classmethod
    def of(cls, policy: Policy, proof_type: ProofType, *, read_seconds: float) -> Self:
        """Return what holds on a network that takes such sectors."""
        rule = policy.sector_rule(proof_type)
        assert rule is not None, "what is sold is what the network takes"
        response_seconds = rule.response_epochs * policy.epoch_seconds
        return cls(read_seconds, response_seconds, policy.deadlines_per_period)

    def seconds(self, proof_type: ProofType, *, piece_count: int) -> float:
        """Return what a window of one sector takes at most: a read for each node of the answer."""
        answer_bytes = longest_proof_bytes(
            parameters_of(proof_type), seed_count=1, piece_count=piece_count
        )
        return answer_bytes // NODE_BYTES * self.read_seconds

    def sectors_free(self, proof_type: ProofType, taken_seconds: float) -> int:
        """Return how many more sectors of a piece each are answered for in time.

        taken_seconds:  of the windows of all other sectors in a period
        """
        window_seconds = _RESPONSE_SHARE * self.response_seconds
        each_seconds = self.seconds(proof_type, piece_count=1)
        if each_seconds > window_seconds:
            return 0
        left_seconds = self.deadline_count * window_seconds - taken_seconds
        return max(0, int(left_seconds / each_seconds))


def cold_read_seconds(folder: Path) -> float:
    """Measure how long reading a node takes that is not in memory, on the disk of a folder.

    The median of some reads of a file that is deleted. Where the system can't be told to forget
    it, it is read from memory.

    Raises: `OSError` from the disk.
    """
    with tempfile.TemporaryFile(dir=folder) as file:
        file.write(os.urandom(_TRIAL_BYTES))
        file.flush()
        os.fsync(file.fileno())
        if hasattr(os, "posix_fadvise"):
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        # Up and down the file: what is read in order is read ahead.
        places = (turn * _TRIAL_STEP % _TRIAL_READS for turn in range(_TRIAL_READS))
        part_bytes = _TRIAL_BYTES // _TRIAL_READS
        return median(_read_seconds(file.fileno(), place * part_bytes) for place in places)


def _read_seconds(file: int, offset_bytes: int) -> float:
    began_seconds = time.perf_counter()
    os.pread(file, NODE_BYTES, offset_bytes)
    return time.perf_counter() - began_seconds
