"""The folder of one sealed sector: which files it holds and how they are read.

manifest.json    the commitments; written last, so a folder with it is whole
replica          n nodes: the leaves of tree_r_last
tree_r_last      the n - 1 nodes above the replica
tree_d           2n - 1 nodes: the data and the tree above it      } until the replication
tree_c           2n - 1 nodes: column hashes and the tree above    } is proven
layer-1 …        n labels each                                     }
"""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from proofs.hashing import NODE_BYTES
from proofs.kernels.arrays import NodeArray
from proofs.merkle import rows_over
from proofs.parameters import ProofParameters, ProofType

MANIFEST: Final = "manifest.json"
REPLICA: Final = "replica"
TREE_R_LAST: Final = "tree_r_last"
TREE_D: Final = "tree_d"
TREE_C: Final = "tree_c"


class WrongSector(ValueError):
    """The folder holds another sector than the one asked for."""


@dataclass(frozen=True, slots=True)
class SealedCommitments:
    """What sealing commits to; the ledger sees CommD and CommR."""

    comm_d: bytes
    comm_c: bytes
    comm_r_last: bytes
    comm_r: bytes


@dataclass(frozen=True, slots=True)
class Manifest:
    """What is written down when a sector is whole on disk."""

    proof_type: ProofType
    replica_id: bytes
    commitments: SealedCommitments


def layer_name(layer: int) -> str:
    """Return the file name of one layer's labels; layers count from 1."""
    return f"layer-{layer}"


def read_manifest(folder: Path) -> Manifest | None:
    """Return the manifest, or None while the sector isn't whole."""
    try:
        text = (folder / MANIFEST).read_text()
    except FileNotFoundError:
        return None
    fields = json.loads(text)
    names = ("comm_d", "comm_c", "comm_r_last", "comm_r")
    return Manifest(
        ProofType(fields["proof_type"]),
        bytes.fromhex(fields["replica_id"]),
        SealedCommitments(**{name: bytes.fromhex(fields[name]) for name in names}),
    )


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Declare the folder whole: its files reach the disk first, the manifest after, or not."""
    for path in folder.iterdir():
        _sync(path)
    commitments = manifest.commitments
    fields = {
        "proof_type": manifest.proof_type,
        "replica_id": manifest.replica_id.hex(),
        "comm_d": commitments.comm_d.hex(),
        "comm_c": commitments.comm_c.hex(),
        "comm_r_last": commitments.comm_r_last.hex(),
        "comm_r": commitments.comm_r.hex(),
    }
    unfinished = folder / f"{MANIFEST}.new"
    unfinished.write_text(json.dumps(fields, indent=2) + "\n")
    _sync(unfinished)
    unfinished.rename(folder / MANIFEST)
    _sync(folder)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def create_nodes(path: Path, count: int) -> NodeArray:
    """Make a file of zero nodes and map it for writing."""
    return np.memmap(path, np.uint8, "w+", shape=(count, NODE_BYTES))


def open_nodes(path: Path) -> NodeArray:
    """Map a file of nodes for reading."""
    return np.memmap(path, np.uint8, "r").reshape(-1, NODE_BYTES)


def replica_rows(folder: Path) -> list[NodeArray]:
    """Return the rows of tree_r_last."""
    return rows_over(open_nodes(folder / REPLICA), open_nodes(folder / TREE_R_LAST))


def tree_rows(path: Path) -> list[NodeArray]:
    """Return the rows of a tree whose file holds its leaves too."""
    nodes = open_nodes(path)
    leaf_count = (len(nodes) + 1) // 2
    return rows_over(nodes[:leaf_count], nodes[leaf_count:])


def drop_proving_cache(folder: Path, parameters: ProofParameters) -> None:
    """Delete what only the proof of replication needs, once it is settled."""
    layers = (layer_name(layer) for layer in range(1, parameters.layers + 1))
    for name in (TREE_D, TREE_C, *layers):
        (folder / name).unlink(missing_ok=True)
