"""Sealing: data → labels → replica → commitments. Disk-oriented, chunk by chunk."""

import os
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

import numpy as np

from proofs import kernels
from proofs.fr32 import QUAD_PADDED_BYTES, QUAD_PAYLOAD_BYTES
from proofs.hashing import NODE_BYTES, comm_r
from proofs.journal import Journal
from proofs.kernels import field
from proofs.kernels.arrays import NodeArray
from proofs.labelling import Progress, Stage
from proofs.layers import SectorLayers, label_layers
from proofs.merkle import as_nodes, fill_upper_rows
from proofs.parameters import ProofParameters
from proofs.pool import HERE, Pool
from proofs.sealed import (
    REPLICA,
    TREE_C,
    TREE_D,
    TREE_R_LAST,
    Manifest,
    SealedCommitments,
    WrongSector,
    create_nodes,
    find_manifest,
    layer_name,
    open_nodes,
    write_manifest,
)

_CHUNK_NODES: Final = 1 << 14
_CHUNK_QUADS: Final = 1 << 13

_LAYERS_IN_MEMORY: Final = 2
_MEMORY_BYTES: Final = 256 << 20
"""Besides layers: the compiler, and a chunk of everything (`benchmarks/sealing.py`)."""


def write_sector_data(
    pieces: Sequence[tuple[Path, int]], sector_size_bytes: int, target: Path
) -> None:
    """Write a sector's padded data: each piece's payload file, fr32-padded, at its offset.

    pieces:  payload file and offset in the padded sector (`piece.layout`); zeros lie between
    """
    with target.open("wb") as sector:
        sector.truncate(sector_size_bytes)
        for path, offset_bytes in pieces:
            sector.seek(offset_bytes)
            with path.open("rb") as payload:
                _pad_stream(payload, sector)
        if sector.seek(0, 2) != sector_size_bytes:
            raise ValueError("the pieces run over the end of the sector")


def _pad_stream(payload: BinaryIO, sector: BinaryIO) -> None:
    while chunk := payload.read(_CHUNK_QUADS * QUAD_PAYLOAD_BYTES):
        whole = chunk.ljust(-(-len(chunk) // QUAD_PAYLOAD_BYTES) * QUAD_PAYLOAD_BYTES, b"\0")
        padded = np.empty(len(whole) // QUAD_PAYLOAD_BYTES * QUAD_PADDED_BYTES, np.uint8)
        kernels.level().pad(np.frombuffer(whole, np.uint8), padded)
        sector.write(padded.data)


@dataclass(frozen=True, slots=True)
class SectorToSeal:
    """What one sector is made of, and where.

    data_path:  its padded data
    folder:     gets what sealing makes of it; may hold some of it already
    progress:   told how far it is
    """

    replica_id: bytes
    data_path: Path
    folder: Path
    progress: Progress | None = None


def sealing_memory_bytes(parameters: ProofParameters, sector_count: int = 1) -> int:
    """Return what sealing so many sectors together takes of memory, at most."""
    return _MEMORY_BYTES + sector_count * _LAYERS_IN_MEMORY * parameters.sector_size_bytes


def seal(
    parameters: ProofParameters,
    replica_id: bytes,
    data_path: Path,
    folder: Path,
    progress: Progress | None = None,
    pool: Pool = HERE,
) -> SealedCommitments:
    """Seal one sector; see `seal_together`."""
    sector = SectorToSeal(replica_id, data_path, folder, progress)
    [commitments] = seal_together(parameters, [sector], pool)
    return commitments


def seal_together(
    parameters: ProofParameters, sectors: Sequence[SectorToSeal], pool: Pool = HERE
) -> list[SealedCommitments]:
    """Seal sectors of one size, each into its folder; a folder that holds its sector whole is left.

    Killed at any moment, each goes on from the last of its files that was whole (`journal.py`).
    Labels of two are made in less time than of one after the other; see `layers.py`.

    pool:  finds parents and writes layers down meanwhile; one thread more than sectors does both,
           with fewer the labels wait for the disk

    Raises: `WrongSector` if a folder holds another one, `OSError` from the disk.
    """
    sealings = [_Sealing(parameters, sector) for sector in sectors]
    unfinished = [sealing for sealing in sealings if sealing.found is None]
    for sealing in unfinished:
        sealing.commit_data()
    label_layers(parameters, [sealing.layers() for sealing in unfinished], pool)
    return [sealing.found or sealing.finish() for sealing in sealings]


class _Sealing:
    """One sector on its way. What its journal says is whole is not made again.

    found:  what it commits to, if its folder held it whole
    """

    def __init__(self, parameters: ProofParameters, sector: SectorToSeal) -> None:
        self._parameters, self._sector, self._folder = parameters, sector, sector.folder
        self.found = self._find()
        self._folder.mkdir(parents=True, exist_ok=True)
        self._journal = Journal(self._folder, parameters.proof_type, sector.replica_id)

    def _find(self) -> SealedCommitments | None:
        manifest = find_manifest(self._folder)
        if manifest is None:
            return None
        sector = self._parameters.proof_type, self._sector.replica_id
        if (manifest.proof_type, manifest.replica_id) != sector:
            raise WrongSector(f"{self._folder} holds another sector")
        return manifest.commitments

    def commit_data(self) -> None:
        """Copy the data, and build the tree over it."""
        if not self._journal.holds(TREE_D):
            count = self._parameters.node_count
            tree_d = create_nodes(self._folder / TREE_D, 2 * count - 1)
            _copy_data(open_nodes(self._sector.data_path), tree_d[:count])
            self._commit(tree_d[:count], tree_d[count:], "tree D")
            self._journal.enter(TREE_D)

    def layers(self) -> SectorLayers:
        """Return the layers, as far as they are."""
        return SectorLayers(
            self._parameters, self._sector.replica_id, self._folder, self._journal,
            self._sector.progress,
        )  # fmt: skip

    def finish(self) -> SealedCommitments:
        """Make the replica of the last layer, and the trees over both; write the manifest."""
        if not self._journal.holds(REPLICA, TREE_C):
            self._encode_and_commit_columns()
        if not self._journal.holds(TREE_R_LAST):
            tree_r_last = create_nodes(self._folder / TREE_R_LAST, self._parameters.node_count - 1)
            self._commit(open_nodes(self._folder / REPLICA), tree_r_last, "tree R")
            self._journal.enter(TREE_R_LAST)
        comm_d, comm_c, comm_r_last = (
            _last_node(self._folder / name) for name in (TREE_D, TREE_C, TREE_R_LAST)
        )
        commitments = SealedCommitments(comm_d, comm_c, comm_r_last, comm_r(comm_c, comm_r_last))
        write_manifest(
            self._folder,
            Manifest(self._parameters.proof_type, self._sector.replica_id, commitments),
        )
        return commitments

    def _encode_and_commit_columns(self) -> None:
        """Write the replica and the tree over columns. Reads layers without maps."""
        count = self._parameters.node_count
        tree_c = create_nodes(self._folder / TREE_C, 2 * count - 1)
        stage = Stage("replica and columns", count, self._sector.progress)
        layer_names = map(layer_name, range(1, self._parameters.layers + 1))
        with ExitStack() as files:
            data, *layers = (
                files.enter_context((self._folder / name).open("rb"))
                for name in (TREE_D, *layer_names)
            )
            replica = files.enter_context((self._folder / REPLICA).open("wb"))
            for start in range(0, count, _CHUNK_NODES):
                chunk = slice(start, min(start + _CHUNK_NODES, count))
                nodes_bytes = (chunk.stop - start) * NODE_BYTES
                labels = [as_nodes(layer.read(nodes_bytes)) for layer in layers]
                replica.write(field.encode(as_nodes(data.read(nodes_bytes)), labels[-1]).tobytes())
                columns = np.stack(labels, axis=1)
                kernels.level().hash_messages(columns.reshape(len(columns), -1), tree_c[chunk])
                stage.advance(len(columns))
        self._commit(tree_c[:count], tree_c[count:], "tree C")
        self._journal.enter(REPLICA, TREE_C)

    def _commit(self, leaves: NodeArray, upper: NodeArray, name: str) -> None:
        fill_upper_rows(leaves, upper, Stage(name, len(upper), self._sector.progress).advance)


def _last_node(tree_path: Path) -> bytes:
    with tree_path.open("rb") as tree:
        tree.seek(-NODE_BYTES, os.SEEK_END)
        return tree.read()


def _copy_data(data: NodeArray, target: NodeArray) -> None:
    if len(data) != len(target):
        raise ValueError("the data has not the sector's size")
    for start in range(0, len(data), _CHUNK_NODES):
        chunk = data[start : start + _CHUNK_NODES]
        if (chunk[:, 31] > 0x3F).any():
            raise ValueError("the data is not fr32-padded")
        target[start : start + _CHUNK_NODES] = chunk
