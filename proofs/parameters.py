"""What is fixed by a sector's proof type: sizes, layers, challenge counts, with their sources."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from proofs.hashing import NODE_BYTES

BASE_DEGREE: Final = 6
"""Parents within a layer (rust-fil-proofs `storage-proofs-core/src/drgraph.rs`)."""

EXPANSION_DEGREE: Final = 8
"""Parents in the layer before (rust-fil-proofs `stacked/vanilla/graph.rs`)."""

DEGREE: Final = BASE_DEGREE + EXPANSION_DEGREE

LABEL_PARENTS: Final = 37
"""Parents hashed into one label, the node's own repeated (`stacked/vanilla/graph.rs`)."""

CHAINED_COMPRESSIONS: Final = 19
"""SHA-256 compressions of a label that wait for the predecessor: 37 nodes and the padding."""

COMPRESSION_NANOSECONDS: Final = 21
"""The fastest to be expected of any core: 128 cycles at 6 GHz. A constant, never measured."""


PIECE_NODES_MIN: Final = 4
"""One fr32 quad (rust-fil-proofs `filecoin-proofs/src/constants.rs`, MIN_PIECE_SIZE)."""


class ProofType(StrEnum):
    """The kinds of sector there are, by the name the protocol uses."""

    SDR_2KIB = "sdr-sha256-2KiB"
    SDR_8MIB = "sdr-sha256-8MiB"
    SDR_512MIB = "sdr-sha256-512MiB"
    SDR_32GIB = "sdr-sha256-32GiB"
    SDR_64GIB = "sdr-sha256-64GiB"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProofParameters:
    """Everything about a proof type that prover and verifier must agree on."""

    proof_type: ProofType
    registered_proof_id: int
    """StackedDrg…V1_1 (rust-fil-proofs `filecoin-proofs-api/src/registry.rs`)."""

    sector_size_bytes: int
    layers: int
    """11 for real sectors, 2 for tests (rust-fil-proofs `filecoin-proofs/src/constants.rs`)."""

    porep_challenge_count: int
    """176 is Filecoin's figure for ten bits (`constants.rs`, POREP_MINIMUM_CHALLENGES)."""

    window_challenge_count: int = 66
    """A provider that lost 1 % of a sector is caught with 48 % in one window."""

    piece_challenge_count: int = 8
    """Inside each piece's own range, in either proof: the sector's would miss a small piece."""

    for_tests: bool = False
    """Small enough to be sealed again within a response window: proves nothing of storage."""

    def __post_init__(self) -> None:
        if self.node_count < 2 or self.node_count & (self.node_count - 1):
            raise ValueError("a sector holds a power of two of nodes")
        if self.sector_size_bytes != self.node_count * NODE_BYTES:
            raise ValueError("a sector holds whole nodes")
        if min(self.layers, self.porep_challenge_count, self.window_challenge_count) < 1:
            raise ValueError("layers and challenge counts start at one")

    @property
    def node_count(self) -> int:
        """Return the number of 32-byte nodes in a sector: the leaves of its trees."""
        return self.sector_size_bytes // NODE_BYTES

    @property
    def tree_depth(self) -> int:
        """Return the number of siblings that prove one leaf."""
        return self.node_count.bit_length() - 1

    @property
    def porep_id(self) -> bytes:
        """Return what seeds the graph and the replica id: the proof id as u64 LE, in 32 bytes."""
        return self.registered_proof_id.to_bytes(NODE_BYTES, "little")

    @property
    def payload_bytes(self) -> int:
        """Return how many unpadded bytes fit: fr32 spends two bits of every 256."""
        return self.sector_size_bytes // 128 * 127

    @property
    def seal_floor_milliseconds(self) -> int:
        """Return how long labelling takes at the least, on any machine; rounded down."""
        compressions = self.node_count * self.layers * CHAINED_COMPRESSIONS
        return compressions * COMPRESSION_NANOSECONDS // 1_000_000
