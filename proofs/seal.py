"""Sealing: data → labels → replica → commitments, and back. Disk-oriented, chunk by chunk."""

import errno
import os
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO, Final

import numpy as np

from proofs import kernels
from proofs.fr32 import QUAD_PADDED_BYTES, QUAD_PAYLOAD_BYTES
from proofs.graph import Graph
from proofs.hashing import NODE_BYTES, comm_r
from proofs.journal import Journal
from proofs.kernels import field
from proofs.kernels.arrays import NodeArray, working_nodes
from proofs.labelling import Progress, Stage, label_layer
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
    read_manifest,
    read_nodes,
    write_manifest,
    write_nodes,
)

_CHUNK_NODES: Final = 1 << 14
_CHUNK_QUADS: Final = 1 << 13


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


def read_piece(data_path: Path, offset_bytes: int, payload_bytes: int, target: Path) -> None:
    """Write one piece's payload back out of a sector's padded data.

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


def seal(
    parameters: ProofParameters,
    replica_id: bytes,
    data_path: Path,
    folder: Path,
    progress: Progress | None = None,
    pool: Pool = HERE,
) -> SealedCommitments:
    """Seal a sector's padded data into a folder; returns at once if it holds that sector whole.

    Killed at any moment, it goes on from the last file that was whole (`journal.py`).

    pool:  finds parents and writes layers down meanwhile; two threads do both

    Raises: `WrongSector` if the folder holds another one, `OSError` from the disk.
    """
    manifest = find_manifest(folder)
    if manifest is not None:
        if (manifest.proof_type, manifest.replica_id) != (parameters.proof_type, replica_id):
            raise WrongSector(f"{folder} holds another sector")
        return manifest.commitments
    folder.mkdir(parents=True, exist_ok=True)
    journal = Journal(folder, parameters.proof_type, replica_id)
    comm_d = _commit_data(parameters, data_path, folder, journal, progress)
    _label_layers(parameters, replica_id, folder, journal, progress, pool)
    comm_c = _encode_and_commit_columns(parameters, folder, journal, progress)
    comm_r_last = _commit_replica(parameters, folder, journal, progress)
    commitments = SealedCommitments(comm_d, comm_c, comm_r_last, comm_r(comm_c, comm_r_last))
    write_manifest(folder, Manifest(parameters.proof_type, replica_id, commitments))
    return commitments


def _commit_data(
    parameters: ProofParameters,
    data_path: Path,
    folder: Path,
    journal: Journal,
    progress: Progress | None,
) -> bytes:
    if not journal.holds(TREE_D):
        count = parameters.node_count
        tree_d = create_nodes(folder / TREE_D, 2 * count - 1)
        _copy_data(open_nodes(data_path), tree_d[:count])
        _commit(tree_d[:count], tree_d[count:], "tree D", progress)
        journal.enter(TREE_D)
    return _last_node(folder / TREE_D)


def _label_layers(
    parameters: ProofParameters,
    replica_id: bytes,
    folder: Path,
    journal: Journal,
    progress: Progress | None,
    pool: Pool,
) -> None:
    """Label the layers that are not whole on the disk. Two are in memory at a time."""
    count, graph = parameters.node_count, Graph(parameters.node_count, parameters.porep_id)
    previous: NodeArray | None = None
    layer = written = None
    for number in range(1, parameters.layers + 1):
        name = layer_name(number)
        if previous is None and journal.holds(name):
            continue
        if previous is None and number > 1:
            previous = working_nodes(count)
            read_nodes(folder / layer_name(number - 1), previous)
        layer = working_nodes(count) if layer is None else layer
        label_layer(graph, replica_id, number, previous, layer, progress, pool)
        if written is not None:
            written.result()
        written = pool.submit(_write_layer, journal, folder, name, layer)
        previous, layer = layer, previous
    if written is not None:
        written.result()


def _write_layer(journal: Journal, folder: Path, name: str, layer: NodeArray) -> None:
    write_nodes(folder / name, layer)
    journal.enter(name)


def _encode_and_commit_columns(
    parameters: ProofParameters, folder: Path, journal: Journal, progress: Progress | None
) -> bytes:
    """Write the replica and the tree over columns; return CommC. Reads layers without maps."""
    if journal.holds(REPLICA, TREE_C):
        return _last_node(folder / TREE_C)
    count = parameters.node_count
    tree_c = create_nodes(folder / TREE_C, 2 * count - 1)
    stage = Stage("replica and columns", count, progress)
    with ExitStack() as files:
        data, *layers = (
            files.enter_context((folder / name).open("rb"))
            for name in (TREE_D, *map(layer_name, range(1, parameters.layers + 1)))
        )
        replica = files.enter_context((folder / REPLICA).open("wb"))
        for start in range(0, count, _CHUNK_NODES):
            chunk = slice(start, min(start + _CHUNK_NODES, count))
            nodes_bytes = (chunk.stop - start) * NODE_BYTES
            labels = [as_nodes(layer.read(nodes_bytes)) for layer in layers]
            replica.write(field.encode(as_nodes(data.read(nodes_bytes)), labels[-1]).tobytes())
            columns = np.stack(labels, axis=1)
            kernels.level().hash_messages(columns.reshape(len(columns), -1), tree_c[chunk])
            stage.advance(len(columns))
    root = _commit(tree_c[:count], tree_c[count:], "tree C", progress)
    journal.enter(REPLICA, TREE_C)
    return root


def _commit_replica(
    parameters: ProofParameters, folder: Path, journal: Journal, progress: Progress | None
) -> bytes:
    if not journal.holds(TREE_R_LAST):
        tree_r_last = create_nodes(folder / TREE_R_LAST, parameters.node_count - 1)
        _commit(open_nodes(folder / REPLICA), tree_r_last, "tree R", progress)
        journal.enter(TREE_R_LAST)
    return _last_node(folder / TREE_R_LAST)


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


def _commit(leaves: NodeArray, upper: NodeArray, name: str, progress: Progress | None) -> bytes:
    fill_upper_rows(leaves, upper, Stage(name, len(upper), progress).advance)
    root: bytes = upper[-1].tobytes()
    return root


def unseal(
    parameters: ProofParameters,
    replica_id: bytes,
    folder: Path,
    target: Path,
    progress: Progress | None = None,
    pool: Pool = HERE,
) -> None:
    """Write the sector's padded data back from its replica; takes as long as labelling it did.

    Raises: `WrongSector`, `OSError`.
    """
    manifest = read_manifest(folder)
    if manifest is None or manifest.replica_id != replica_id:
        raise WrongSector(f"{folder} does not hold the sector")
    count, graph = parameters.node_count, Graph(parameters.node_count, parameters.porep_id)
    layers = [working_nodes(count) for _ in range(2)]
    for number in range(1, parameters.layers + 1):
        previous, layer = layers[(number + 1) % 2], layers[number % 2]
        label_layer(
            graph, replica_id, number, None if number == 1 else previous, layer, progress, pool
        )
    keys, replica = layers[parameters.layers % 2], open_nodes(folder / REPLICA)
    with target.open("wb") as data:
        for start in range(0, count, _CHUNK_NODES):
            chunk = slice(start, min(start + _CHUNK_NODES, count))
            data.write(field.decode(replica[chunk], keys[chunk]).tobytes())
