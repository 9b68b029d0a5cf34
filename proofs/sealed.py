"""The folder of one sealed sector: which files it holds and how they are read.

manifest.json    the commitments; written last, so a folder with it is whole
replica          n nodes: the leaves of tree_r_last
tree_r_last      the n - 1 nodes above the replica
tree_d           2n - 1 nodes: the data and the tree above it      } until the replication
tree_c           2n - 1 nodes: column hashes and the tree above    } is proven
layer-1 …        n labels each                                     }
journal.json     which of these were whole when (`journal.py`)     }
"""

import errno
import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

import numpy as np

from proofs.hashing import NODE_BYTES
from proofs.kernels.arrays import NodeArray
from proofs.parameters import ProofParameters, ProofType

MANIFEST: Final = "manifest.json"
REPLICA: Final = "replica"
TREE_R_LAST: Final = "tree_r_last"
TREE_D: Final = "tree_d"
TREE_C: Final = "tree_c"
JOURNAL: Final = "journal.json"

_PART_BYTES: Final = 64 << 20
"""Of one read or write, so that a signal is not kept waiting."""


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


class DamagedManifest(OSError):
    """What the disk gave back is no manifest: it was written whole or not at all."""

    def __init__(self, path: Path) -> None:
        super().__init__(errno.EIO, "the manifest is damaged", str(path))


def find_manifest(folder: Path) -> Manifest | None:
    """Return the manifest, None while the sector isn't whole, or if it must be sealed again."""
    try:
        return read_manifest(folder)
    except DamagedManifest:
        return None


def read_manifest(folder: Path) -> Manifest | None:
    """Return the manifest, or None while the sector isn't whole.

    Raises: `DamagedManifest`, `OSError` from the disk.
    """
    path = folder / MANIFEST
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        return None
    names = ("replica_id", "comm_d", "comm_c", "comm_r_last", "comm_r")
    try:
        fields = json.loads(text)
        proof_type = ProofType(fields["proof_type"])
        replica_id, *commitments = (bytes.fromhex(fields[name]) for name in names)
    except (ValueError, LookupError, TypeError) as error:
        raise DamagedManifest(path) from error
    manifest = Manifest(proof_type, replica_id, SealedCommitments(*commitments))
    if text != f"{_text_of(manifest)}\n".encode():
        raise DamagedManifest(path)
    return manifest


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Declare the folder whole: its files reach the disk first, the manifest after, or not."""
    for path in folder.iterdir():
        sync(path)
    replace_file(folder / MANIFEST, _text_of(manifest))
    sync(folder.parent)


def _text_of(manifest: Manifest) -> str:
    """Return the only text that says this: by its digest no flipped bit makes it say another."""
    commitments = manifest.commitments
    fields = {
        "proof_type": manifest.proof_type,
        "replica_id": manifest.replica_id.hex(),
        "comm_d": commitments.comm_d.hex(),
        "comm_c": commitments.comm_c.hex(),
        "comm_r_last": commitments.comm_r_last.hex(),
        "comm_r": commitments.comm_r.hex(),
    }
    digest = hashlib.sha256(json.dumps(fields).encode())
    return json.dumps({**fields, "sha256": digest.hexdigest()}, indent=2)


def replace_file(path: Path, text: str) -> None:
    """Make a file say something, durably; after a crash it says the old or the new."""
    unfinished = path.with_name(f"{path.name}.new")
    unfinished.write_text(text + "\n")
    sync(unfinished)
    unfinished.rename(path)
    sync(path.parent)


def sync(path: Path) -> None:
    """Put a file or folder to the disk for good."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def create_nodes(path: Path, count: int) -> NodeArray:
    """Make a file of nodes and map it for writing.

    Raises: `OSError` if the disk has no room for it.
    """
    size_bytes = count * NODE_BYTES
    with path.open("wb") as file:
        if hasattr(os, "posix_fallocate"):
            # A full disk is an error here; met while writing to the map it kills the process.
            os.posix_fallocate(file.fileno(), 0, size_bytes)
        else:
            file.truncate(size_bytes)
    return np.memmap(path, np.uint8, "r+", shape=(count, NODE_BYTES))


def write_nodes(path: Path, nodes: NodeArray) -> None:
    """Write nodes to a file of their own."""
    with path.open("wb", buffering=0) as file:
        left = nodes.data.cast("B")
        while left:
            left = left[file.write(left[:_PART_BYTES]) :]


def read_nodes(path: Path, nodes: NodeArray) -> None:
    """Fill nodes from a file of as many. Raises: `OSError` from the disk, or if it is shorter."""
    with path.open("rb", buffering=0) as file:
        left = nodes.data.cast("B")
        while left:
            length = file.readinto(left[:_PART_BYTES])
            if not length:
                raise OSError(errno.EIO, "the file is cut short", str(path))
            left = left[length:]


def open_nodes(path: Path) -> NodeArray:
    """Map a file of nodes for reading it from end to end."""
    return np.memmap(path, np.uint8, "r").reshape(-1, NODE_BYTES)


class NodeFile:
    """A file of nodes read one by one, as proofs do.

    Not mapped: a disk that fails then raises `OSError`, where a map would kill the process, and
    with it the proofs of all other sectors.
    """

    def __init__(self, path: Path) -> None:
        self._handle = os.open(path, os.O_RDONLY)
        self._path = path

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._handle)

    def node(self, index: int) -> bytes:
        """Return one node.

        Raises: `OSError` from the disk, or if the file ends before it.
        """
        node = os.pread(self._handle, NODE_BYTES, index * NODE_BYTES)
        if len(node) != NODE_BYTES:
            raise OSError(errno.EIO, "the file is cut short", str(self._path))
        return node

    def row(self, first: int, count: int) -> "StoredRow":
        """Return some consecutive nodes as the row of a tree."""
        return StoredRow(self, first, count)

    def tree_above(self, first: int, leaf_count: int) -> "list[StoredRow]":
        """Return the rows above some leaves, stored one after the other from a node on."""
        rows, count = [], leaf_count
        while count > 1:
            count //= 2
            rows.append(self.row(first, count))
            first += count
        return rows


@dataclass(frozen=True, slots=True)
class StoredRow:
    """One row of a tree in a file; see `merkle.Row`."""

    file: NodeFile
    first: int
    count: int

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> bytes:
        return self.file.node(self.first + index)


@contextmanager
def open_replica(folder: Path, leaf_count: int) -> Iterator[list[StoredRow]]:
    """Open the rows of tree_r_last, whose leaves are the replica.

    The count is the caller's, not the file's: of a tree cut short it would make another tree.
    """
    with NodeFile(folder / REPLICA) as replica, NodeFile(folder / TREE_R_LAST) as upper:
        yield [replica.row(0, leaf_count), *upper.tree_above(0, leaf_count)]


@contextmanager
def open_tree(path: Path, leaf_count: int) -> Iterator[list[StoredRow]]:
    """Open the rows of a tree whose file holds its leaves too."""
    with NodeFile(path) as nodes:
        yield [nodes.row(0, leaf_count), *nodes.tree_above(leaf_count, leaf_count)]


def drop_proving_cache(folder: Path, parameters: ProofParameters) -> None:
    """Delete what only the proof of replication needs, once it is settled."""
    layers = (layer_name(layer) for layer in range(1, parameters.layers + 1))
    for name in (JOURNAL, TREE_D, TREE_C, *layers):
        (folder / name).unlink(missing_ok=True)
