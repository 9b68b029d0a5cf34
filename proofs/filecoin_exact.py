"""Suite `filecoin-exact`: the CommR that Filecoin itself gives a sector. Interoperability only.

Up to the replica the default suite is Filecoin's, bit for bit; only its trees are SHA-256's, and
its sectors of 512 MiB have more layers. Here the trees are Poseidon's. No ledger takes it. Sources:
rust-fil-proofs `stacked/vanilla/hash.rs`, `proof.rs`; `filecoin-proofs/src/constants.rs`.
"""

import errno
from collections import deque
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO, Final

import numpy as np

from proofs import kernels
from proofs.hashing import NODE_BYTES
from proofs.kernels.arrays import NodeArray
from proofs.labelling import Progress, Stage
from proofs.merkle import as_nodes
from proofs.parameters import ProofParameters, ProofType
from proofs.pool import HERE, Pending, Pool
from proofs.registry import parameters_of
from proofs.sealed import REPLICA, layer_name

_TREE_ARITY: Final = 8
_FEW_LAYERS: Final = 2
_FEW_LAYERS_SECTOR_BYTES_MAX: Final = 1 << 30

_CHUNK_NODES: Final = _TREE_ARITY**4
"""Hashed at once up to their root: a blink of work, a megabyte of memory."""

_PENDING_MAX: Final = 4


@dataclass(frozen=True, slots=True)
class FilecoinCommitments:
    """What a Filecoin miner would have computed of the same labels and replica."""

    comm_c: bytes
    comm_r_last: bytes
    comm_r: bytes


def filecoin_parameters(proof_type: ProofType) -> ProofParameters:
    """Return what Filecoin seals sectors of this size with: 2 layers up to 1 GiB, 11 above."""
    parameters = parameters_of(proof_type)
    if parameters.sector_size_bytes > _FEW_LAYERS_SECTOR_BYTES_MAX:
        return parameters
    return replace(parameters, layers=_FEW_LAYERS)


def commit(
    parameters: ProofParameters,
    folder: Path,
    progress: Progress | None = None,
    pool: Pool = HERE,
) -> FilecoinCommitments:
    """Return Filecoin's commitments to a sector from its labels and replica.

    parameters:  `filecoin_parameters`, with which it was sealed
    folder:      of the sealed sector, its proving cache not dropped yet
    pool:        hashes; as many chunks at a time as it has threads

    Reads each file once, end to end, and holds a few chunks of it.

    Raises: `ValueError` if Filecoin has no sector of that size, or a node is no field element;
    `OSError` from the disk, or if a file is cut short.
    """
    count = parameters.node_count
    layers = [folder / layer_name(number) for number in range(1, parameters.layers + 1)]
    comm_c = _commit_columns(layers, count, Stage("Poseidon tree C", count, progress), pool)
    stage = Stage("Poseidon tree R", count, progress)
    comm_r_last = _commit_columns([folder / REPLICA], count, stage, pool)
    return FilecoinCommitments(comm_c, comm_r_last, comm_r(comm_c, comm_r_last))


def comm_r(comm_c: bytes, comm_r_last: bytes) -> bytes:
    """Return Filecoin's CommR, as a `SealedCID` carries it: the node above the two."""
    return tree_root(as_nodes(comm_c + comm_r_last))


def tree_root(leaves: NodeArray) -> bytes:
    """Return the root of a tree of arity 8; where two nodes are left, of 2 on top.

    Raises: `ValueError` for a number of leaves that no Filecoin sector has, or one that is no
    field element.
    """
    row = leaves
    while len(row) > 1:
        arity = 2 if len(row) == 2 else _TREE_ARITY
        if len(row) % arity:
            break
        row = _hash_rows(row.reshape(-1, NODE_BYTES * arity))
    if len(row) != 1:
        raise ValueError("no Filecoin tree has so many leaves")
    return row.tobytes()


def _commit_columns(paths: Sequence[Path], count: int, stage: Stage, pool: Pool) -> bytes:
    """Return the root over columns: of each node, what the files have in its place."""
    chunk_nodes = min(count, _CHUNK_NODES)
    roots: list[bytes] = []
    pending: deque[Pending[bytes]] = deque()

    def collect() -> None:
        roots.append(pending.popleft().result())
        stage.advance(chunk_nodes)

    with ExitStack() as opened:
        files = [opened.enter_context(path.open("rb")) for path in paths]
        for _ in range(count // chunk_nodes):
            columns = np.stack([_read_nodes(file, chunk_nodes) for file in files], axis=1)
            if len(pending) == _PENDING_MAX:
                collect()
            pending.append(pool.submit(_root_over, columns))
    while pending:
        collect()
    return tree_root(as_nodes(b"".join(roots)))


def _root_over(columns: NodeArray) -> bytes:
    """Return the root over (n, layers, 32) labels; a column of one is its own hash."""
    count, layers, _ = columns.shape
    rows = columns.reshape(count, -1)
    return tree_root(rows if layers == 1 else _hash_rows(rows))


def _hash_rows(rows: NodeArray) -> NodeArray:
    hashes = np.empty((len(rows), NODE_BYTES), np.uint8)
    kernels.level().hash_elements(rows, hashes)
    return hashes


def _read_nodes(file: BinaryIO, count: int) -> NodeArray:
    data = file.read(count * NODE_BYTES)
    if len(data) != count * NODE_BYTES:
        raise OSError(errno.EIO, "the file is cut short", file.name)
    return as_nodes(data)
