"""Who is whose parent: depth-robust within a layer, expander between layers; bit for bit Filecoin.

Readable, one node at a time: what a verifier uses, and the oracle of `kernels/parents.py`.
Sources: rust-fil-proofs `storage-proofs-core/src/drgraph.rs`, `crypto/feistel.rs` and
`storage-proofs-porep/src/stacked/vanilla/graph.rs`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b, sha256
from struct import pack, unpack
from typing import Final

from proofs.parameters import BASE_DEGREE, EXPANSION_DEGREE

FEISTEL_ROUNDS: Final = 3

_WORD: Final = 0xFFFFFFFF
_CHACHA_CONSTANTS: Final = unpack("<4I", b"expand 32-byte k")
_QUARTERS: Final = (
    (0, 4, 8, 12), (1, 5, 9, 13), (2, 6, 10, 14), (3, 7, 11, 15),
    (0, 5, 10, 15), (1, 6, 11, 12), (2, 7, 8, 13), (3, 4, 9, 14),
)  # fmt: skip


@dataclass(frozen=True)
class Graph:
    """The graph of one sector size and PoRep id; the same for every sector."""

    node_count: int
    porep_id: bytes
    predecessor_first: bool = True
    """V1_1 hashes the predecessor first, so that no hash can begin early; V1 hashed it last."""

    @cached_property
    def drg_seed(self) -> bytes:
        """Return the 28 bytes that, with a node's number, key its random draws."""
        return sha256(b"Filecoin_DRSample" + self.porep_id).digest()[:28]

    @cached_property
    def feistel_keys(self) -> tuple[int, ...]:
        """Return one key a round."""
        keys: tuple[int, ...] = unpack("<4Q", sha256(b"Filecoin_Feistel" + self.porep_id).digest())
        return keys[:FEISTEL_ROUNDS]

    @cached_property
    def feistel_half_bits(self) -> int:
        """Return half the bits of the smallest power of four that holds every parent slot."""
        half_bits = 1
        while 4**half_bits < self.node_count * EXPANSION_DEGREE:
            half_bits += 1
        return half_bits

    def parents(self, node: int) -> tuple[int, ...]:
        """Return the node's 6 parents in its layer, then its 8 in the layer before."""
        if not 0 <= node < self.node_count:
            raise IndexError(node)
        return self._base_parents(node) + self._expansion_parents(node)

    def _base_parents(self, node: int) -> tuple[int, ...]:
        if node < 2:
            return (0,) * BASE_DEGREE
        draws = chacha8_draws(self.drg_seed + pack("<I", node))
        degree = BASE_DEGREE - 1
        # Bucket sampling on a graph in which `degree` metanodes stand for each node.
        metanode = node * degree
        bucket_count = (metanode - 1).bit_length()
        sampled = []
        for _ in range(degree):
            farthest = min(metanode, 1 << (next(draws) % bucket_count + 1))
            nearest = max(2, farthest >> 1)
            distance = nearest + next(draws) % (farthest - nearest + 1)
            parent = (metanode - distance) // degree
            sampled.append(node - 1 if parent == node else parent)
        if self.predecessor_first:
            return (node - 1, *sampled)
        return (*sampled, node - 1)

    def _expansion_parents(self, node: int) -> tuple[int, ...]:
        slots = range(node * EXPANSION_DEGREE, (node + 1) * EXPANSION_DEGREE)
        return tuple(self._permute(slot) // EXPANSION_DEGREE for slot in slots)

    def _permute(self, slot: int) -> int:
        # The cipher permutes a power of four; walk its cycle until back within the slots.
        slot = self._feistel(slot)
        while slot >= self.node_count * EXPANSION_DEGREE:
            slot = self._feistel(slot)
        return slot

    def _feistel(self, slot: int) -> int:
        half_bits = self.feistel_half_bits
        left, right = slot >> half_bits, slot & ((1 << half_bits) - 1)
        for key in self.feistel_keys:
            left, right = right, left ^ feistel_round(right, key, half_bits)
        return left << half_bits | right


def feistel_round(right: int, key: int, half_bits: int) -> int:
    """Return the round function's output: `half_bits` bits of a BLAKE2b of both inputs."""
    digest = blake2b(pack(">QQ", right, key)).digest()
    return int.from_bytes(digest[:8], "big") & ((1 << half_bits) - 1)


def chacha8_draws(key: bytes) -> Iterator[int]:
    """Yield the u64 draws of ChaCha8 with this 32-byte key, low word first, without end."""
    block_number = 0
    while True:
        words = _chacha8_block(key, block_number)
        for low, high in zip(words[::2], words[1::2], strict=True):
            yield high << 32 | low
        block_number += 1


def _chacha8_block(key: bytes, block_number: int) -> list[int]:
    start = [*_CHACHA_CONSTANTS, *unpack("<8I", key), block_number, 0, 0, 0]
    words = start.copy()
    for _ in range(4):
        for a, b, c, d in _QUARTERS:
            for left, right, turned, bits in (
                (a, b, d, 16),
                (c, d, b, 12),
                (a, b, d, 8),
                (c, d, b, 7),
            ):
                words[left] = words[left] + words[right] & _WORD
                mixed = words[turned] ^ words[left]
                words[turned] = mixed << bits & _WORD | mixed >> (32 - bits)
    return [word + first & _WORD for word, first in zip(words, start, strict=True)]
