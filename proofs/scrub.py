"""Bit rot, found before a challenge finds it: a replica read again against its tree."""

import errno
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from proofs import kernels
from proofs.hashing import NODE_BYTES
from proofs.kernels.arrays import NodeArray
from proofs.merkle import as_nodes
from proofs.registry import parameters_of
from proofs.sealed import MANIFEST, REPLICA, TREE_R_LAST, read_manifest

_CHUNK_PARENTS: Final = 1 << 13
"""Of a step, over twice as many children: 768 KiB are read at a time."""


SCRUBBED_PER_BYTE: Final = 3
"""Of a replica: it and the rows above it once as children, once those rows as parents."""


@dataclass(frozen=True, slots=True)
class Damage:
    """Bytes of one file that are not what was written, or can't be read."""

    file: str
    start_byte: int
    end_byte: int
    reason: str

    def __str__(self) -> str:
        return f"{self.file}, bytes {self.start_byte} to {self.end_byte}: {self.reason}"


@dataclass(frozen=True, slots=True)
class Checked:
    """One step of a scrub: how much was read, and what was wrong in it."""

    read_bytes: int
    damages: tuple[Damage, ...]


def scrub(folder: Path) -> Iterator[Checked]:
    """Check that every pair of nodes hashes to the node above it, up to the manifest, by steps.

    A folder without a manifest holds no sealed sector: no steps. Reads 96 bytes a node, holds a
    megabyte. Whatever is reported spoils the proofs that touch it, and no others.
    """
    try:
        manifest = read_manifest(folder)
    except OSError as error:
        yield Checked(0, (Damage(MANIFEST, 0, 0, str(error)),))
        return
    if manifest is None:
        return
    count = parameters_of(manifest.proof_type).node_count
    row_place, parents_start = (REPLICA, 0), 0
    while count > 1:
        for start in range(0, count // 2, _CHUNK_PARENTS):
            parent_count = min(_CHUNK_PARENTS, count // 2 - start)
            yield _check(folder, row_place, 2 * start, parents_start + start, parent_count)
        count //= 2
        row_place, parents_start = (TREE_R_LAST, parents_start), parents_start + count
    yield _check_root(folder, parents_start - 1, manifest.commitments.comm_r_last)


def _check(
    folder: Path, row_place: tuple[str, int], first: int, parents_first: int, parent_count: int
) -> Checked:
    """Hash some pairs of a row and compare them with their parents, which are in tree_r_last."""
    name, row_start = row_place
    first += row_start
    try:
        children = _read(folder / name, first, 2 * parent_count)
        parents = _read(folder / TREE_R_LAST, parents_first, parent_count)
    except OSError as error:
        return Checked(0, (_damage(name, first, 2 * parent_count, f"can't be checked: {error}"),))
    computed = np.empty_like(parents)
    kernels.level().hash_pairs(children, computed)
    is_wrong = (computed != parents).any(axis=1)
    # Where runs of wrong pairs begin and end: a lost region is one damage, not a million.
    edges = np.flatnonzero(np.diff(is_wrong, prepend=False, append=False)).tolist()
    damages = tuple(
        [
            _damage(name, first + 2 * start, 2 * (end - start), "does not hash to the node above")
            for start, end in zip(edges[::2], edges[1::2], strict=True)
        ]
    )
    return Checked(children.nbytes + parents.nbytes, damages)


def _check_root(folder: Path, at: int, root: bytes) -> Checked:
    try:
        found = _read(folder / TREE_R_LAST, at, 1)
    except OSError as error:
        return Checked(0, (_damage(TREE_R_LAST, at, 1, f"can't be checked: {error}"),))
    if found.tobytes() != root:
        return Checked(NODE_BYTES, (_damage(TREE_R_LAST, at, 1, "is not the root committed to"),))
    return Checked(NODE_BYTES, ())


def _read(path: Path, first: int, count: int) -> NodeArray:
    """Return consecutive nodes of a file. Raises: `OSError` from the disk, or if it is shorter."""
    size_bytes = count * NODE_BYTES
    with path.open("rb", buffering=0) as file:
        data = os.pread(file.fileno(), size_bytes, first * NODE_BYTES)
    if len(data) != size_bytes:
        raise OSError(errno.EIO, "the file is cut short", str(path))
    return as_nodes(data)


def _damage(name: str, first: int, count: int, reason: str) -> Damage:
    return Damage(name, first * NODE_BYTES, (first + count) * NODE_BYTES, reason)
