"""The kernels without numba: NumPy, and hashlib, one call a hash. Slow, everywhere the same."""

from collections.abc import Sequence
from hashlib import sha256
from typing import Final

import numpy as np

from proofs.graph import Graph
from proofs.hashing import NODE_BYTES, node_hash
from proofs.kernels import fr32
from proofs.kernels.arrays import ByteArray, Chain, IndexArray, NodeArray, ParentArray
from proofs.kernels.parents import parents as numpy_parents
from proofs.parameters import BASE_DEGREE, LABEL_PARENTS
from proofs.poseidon import poseidon

NAME: Final = "hashlib"


def pad(payload: ByteArray, target: ByteArray) -> None:
    """Write (128 k) fr32-padded bytes for (127 k) payload bytes."""
    fr32.pad(payload, target)


def unpad(padded: ByteArray, target: ByteArray) -> None:
    """Write (127 k) payload bytes for (128 k) fr32-padded bytes."""
    fr32.unpad(padded, target)


def parents(graph: Graph, first: int, count: int) -> ParentArray:
    """Return the 6 and 8 parents of each node from `first` on."""
    return numpy_parents(graph, first, count)


def hash_pairs(source: NodeArray, target: NodeArray) -> None:
    """Hash (2 n) nodes, pair by pair, into (n)."""
    hash_messages(source.reshape(-1, 64), target)


def climb(leaves: IndexArray, nodes: NodeArray, depth: int) -> bytes:
    """Return the root that leaves lead to together.

    leaves:  (n), where they are, from left to right
    nodes:   (n + siblings, 32), as in a multiproof; as many as there must be
    """
    data = nodes.tobytes()
    given = (data[at : at + NODE_BYTES] for at in range(0, len(data), NODE_BYTES))
    row: dict[int, bytes] = dict(zip(leaves.tolist(), given, strict=False))
    for _ in range(depth):
        above: dict[int, bytes] = {}
        for index, node in row.items():
            if index >> 1 not in above:
                sibling = row.get(index ^ 1) or next(given)
                pair = (sibling, node) if index & 1 else (node, sibling)
                above[index >> 1] = node_hash(*pair)
        row = above
    [root] = row.values()
    return root


def hash_messages(messages: ByteArray, target: NodeArray) -> None:
    """Hash (n, length) messages into (n) truncated nodes."""
    length = messages.shape[1]
    data = np.ascontiguousarray(messages).data.cast("B")
    digests = b"".join(
        sha256(data[at : at + length]).digest() for at in range(0, len(data), length)
    )
    target[:] = np.frombuffer(digests, np.uint8).reshape(-1, 32)
    target[:, 31] &= 0x3F


def hash_elements(rows: ByteArray, target: NodeArray) -> None:
    """Hash (n, 32 × arity) bytes, field elements side by side, into (n) elements with Poseidon.

    Raises: `ValueError` if there is no such arity, or one is no element.
    """
    for row, node in zip(rows, target, strict=True):
        elements = [
            int.from_bytes(row[at : at + NODE_BYTES].tobytes(), "little")
            for at in range(0, row.size, NODE_BYTES)
        ]
        node[:] = np.frombuffer(poseidon(elements).to_bytes(NODE_BYTES, "little"), np.uint8)


def label_nodes(chains: Sequence[Chain], first: int, parents: ParentArray) -> None:
    """Label the nodes from `first` ≥ 1 on, in place, in each of some sectors of one size.

    parents:  (count, 6) in the first layer, else (count, 14)
    """
    for chain in chains:
        _label_nodes(chain, first, parents)


def _label_nodes(chain: Chain, first: int, parents: ParentArray) -> None:
    degree = parents.shape[1]
    rounds, left = divmod(LABEL_PARENTS, degree)
    mine, before = chain.layer.data.cast("B"), chain.previous.data.cast("B")
    start = sha256(chain.header)
    for node, row in enumerate((parents.astype(np.int64) * 32).tolist(), first):
        nodes = [mine[at : at + 32] for at in row[:BASE_DEGREE]]
        nodes += [before[at : at + 32] for at in row[BASE_DEGREE:]]
        state = start.copy()
        state.update(node.to_bytes(8, "big") + bytes(20))
        state.update(b"".join(nodes) * rounds + b"".join(nodes[:left]))
        digest = state.digest()
        mine[32 * node : 32 * node + 31] = digest[:31]
        mine[32 * node + 31] = digest[31] & 0x3F
