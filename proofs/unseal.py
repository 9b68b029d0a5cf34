"""Unsealing: data back out of a replica, as little of it as is asked for.

A node's key is its label in the last layer. That hangs on all labels before it there, and those on
labels all over the layer before: so every layer but the last is made whole, however little is
wanted, and the last one up to the last node wanted.
"""

import errno
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from proofs import kernels
from proofs.fr32 import QUAD_PADDED_BYTES, QUAD_PAYLOAD_BYTES
from proofs.graph import Graph
from proofs.hashing import NODE_BYTES
from proofs.kernels import field
from proofs.kernels.arrays import NodeArray, working_nodes
from proofs.labelling import Progress, begin_layer, label_layer
from proofs.merkle import as_nodes
from proofs.parameters import ProofParameters
from proofs.pool import HERE, Pool
from proofs.sealed import REPLICA, WrongSector, read_manifest

_CHUNK_NODES: Final = 1 << 14
_CHUNK_QUADS: Final = 1 << 13


@dataclass(frozen=True, slots=True)
class NodeRange:
    """Some consecutive nodes of a sector, at least one."""

    first: int
    end: int

    def __post_init__(self) -> None:
        if not 0 <= self.first < self.end:
            raise ValueError(f"there are no nodes from {self.first} to {self.end}")


def labels_to_unseal(parameters: ProofParameters, nodes: NodeRange) -> int:
    """Return how many labels it takes to get some nodes' data back."""
    return (parameters.layers - 1) * parameters.node_count + nodes.end


def unseal(
    parameters: ProofParameters,
    replica_id: bytes,
    folder: Path,
    target: Path,
    nodes: NodeRange | None = None,
    progress: Progress | None = None,
    pool: Pool = HERE,
) -> None:
    """Write a sector's padded data back from its replica, or some nodes of it.

    nodes:  None for all; `labels_to_unseal` says what they take, two layers are in memory

    Raises: `WrongSector`; `ValueError` if the sector has not as many nodes; `OSError`.
    """
    manifest = read_manifest(folder)
    if manifest is None or manifest.replica_id != replica_id:
        raise WrongSector(f"{folder} does not hold the sector")
    nodes = nodes or NodeRange(0, parameters.node_count)
    if nodes.end > parameters.node_count:
        raise ValueError(f"the sector has no node {nodes.end - 1}")
    keys = _last_layer(parameters, replica_id, nodes.end, progress, pool)
    with (folder / REPLICA).open("rb") as replica, target.open("wb") as data:
        replica.seek(nodes.first * NODE_BYTES)
        for start in range(nodes.first, nodes.end, _CHUNK_NODES):
            chunk = keys[start : min(start + _CHUNK_NODES, nodes.end)]
            sealed = replica.read(len(chunk) * NODE_BYTES)
            if len(sealed) != len(chunk) * NODE_BYTES:
                raise OSError(errno.EIO, "the replica is cut short", str(folder / REPLICA))
            data.write(field.decode(as_nodes(sealed), chunk).tobytes())


def _last_layer(
    parameters: ProofParameters, replica_id: bytes, end: int, progress: Progress | None, pool: Pool
) -> NodeArray:
    """Return the labels of the last layer, right up to some node."""
    graph = Graph(parameters.node_count, parameters.porep_id)
    previous, layer = (working_nodes(parameters.node_count) for _ in range(2))
    for number in range(1, parameters.layers + 1):
        previous, layer = layer, previous
        chain = begin_layer(replica_id, number, previous if number > 1 else None, layer)
        is_last = number == parameters.layers
        label_layer(graph, number, [chain], progress, pool=pool, end=end if is_last else None)
    return layer


def read_piece(data_path: Path, offset_bytes: int, payload_bytes: int, target: Path) -> None:
    """Write one piece's payload back out of padded data.

    Raises: `OSError` from the disk, or if the data ends before the piece does.
    """
    left = payload_bytes
    with data_path.open("rb") as sector, target.open("wb") as payload:
        sector.seek(offset_bytes)
        while left:
            quads = min(_CHUNK_QUADS, -(-left // QUAD_PAYLOAD_BYTES))
            padded = sector.read(quads * QUAD_PADDED_BYTES)
            if len(padded) != quads * QUAD_PADDED_BYTES:
                raise OSError(errno.EIO, "the sector's data is cut short", str(data_path))
            chunk = np.empty(quads * QUAD_PAYLOAD_BYTES, np.uint8)
            kernels.level().unpad(np.frombuffer(padded, np.uint8), chunk)
            left -= payload.write(chunk[:left].data)
