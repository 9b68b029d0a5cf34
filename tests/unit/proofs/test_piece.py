"""CommP, CommD and fr32 are those of other implementations."""

import hashlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from proofs import fr32, kernels
from proofs.merkle import InclusionProof, as_nodes, build_rows, prove_inclusion, verify_inclusion
from proofs.parameters import ProofType
from proofs.piece import (
    CommPHasher,
    PieceCommitment,
    PiecesDontFit,
    comm_d,
    comm_p,
    layout,
    padded_size,
    zero_commitment,
)
from proofs.registry import parameters_of
from tests.support.sectors import some_bytes, write_pieces
from tests.support.vectors import own

VECTORS = own("commp.json")
COVERED = {"pieces", "zero_comm", "fr32", "aggregates"}
ABOUT = {"generator", "input_recipe", "fields", "proof_layout"}

SECTOR_BYTES = 2048

Case = dict[str, Any]


def vector_input(name: str, size: int) -> bytes:
    match name:
        case "zero":
            return bytes(size)
        case "0xCC":
            return b"\xcc" * size
        case "prng":
            return hashlib.shake_256(b"commp-vector").digest(size)
        case _:
            raise AssertionError(f"the vectors have an input of an unknown kind: {name}")


def test_every_group_of_vectors_is_covered() -> None:
    assert set(VECTORS) == COVERED | ABOUT


def name_of(case: Case) -> str:
    return f"{case['input']}-{case['size']}"


@pytest.mark.parametrize("case", VECTORS["pieces"], ids=name_of)
def test_comm_p_is_that_of_the_vectors(case: Case) -> None:
    piece = comm_p(vector_input(case["input"], case["size"]))
    assert piece.root.hex() == case["root"]
    assert piece.height == case["height"]
    assert piece.padded_size_bytes == case["padded_size"] == padded_size(case["size"])
    assert piece.padding_bytes == case["padding"]


def test_zero_commitments_are_those_of_the_vectors() -> None:
    for case in VECTORS["zero_comm"]:
        assert zero_commitment(case["height"]).hex() == case["root"]


@pytest.mark.parametrize("case", VECTORS["fr32"], ids=lambda case: str(case["n"]))
def test_fr32_is_that_of_the_vectors(case: Case) -> None:
    payload = vector_input("prng", case["n"]).ljust(127, b"\0")
    assert fr32.pad(payload).hex() == case["padded"]
    for name in kernels.available():
        padded = np.empty(128, np.uint8)
        kernels.level_of(name).pad(np.frombuffer(payload, np.uint8), padded)
        assert padded.tobytes().hex() == case["padded"]


def test_a_stream_in_any_chunks_commits_to_the_same_piece() -> None:
    payload = some_bytes("stream", 5_000_000)
    whole = comm_p(payload)
    padded = fr32.pad(payload + bytes(whole.padding_bytes))
    assert whole.root == build_rows(as_nodes(padded))[-1].tobytes()
    with ThreadPoolExecutor(2) as pool:
        for chunk_bytes in (127 * 16384, 1_000_003, 65_536):
            for hasher in (CommPHasher(), CommPHasher(pool)):
                for start in range(0, len(payload), chunk_bytes):
                    hasher.update(payload[start : start + chunk_bytes])
                assert hasher.finish() == whole


def test_more_chunks_than_threads_come_back_in_order() -> None:
    payload = b"".join(bytes([number]) * (127 << 14) for number in range(20))
    with ThreadPoolExecutor(3) as pool:
        hasher = CommPHasher(pool)
        hasher.update(payload)
        assert hasher.finish() == comm_p(payload)


def test_pieces_lie_at_multiples_of_their_size() -> None:
    assert layout([128, 1024, 128, 256], 4096) == (0, 1024, 2048, 2304)
    assert layout([], 2048) == ()
    assert layout([2048], 2048) == (0,)
    with pytest.raises(PiecesDontFit):
        layout([128, 1024, 1024], 2048)
    with pytest.raises(PiecesDontFit):
        comm_d([comm_p(bytes(3000))], 2048)


def test_a_sector_without_pieces_is_zeros() -> None:
    assert comm_d([], SECTOR_BYTES) == zero_commitment(6)


def test_comm_d_is_the_root_of_the_data_that_is_written(tmp_path: Path) -> None:
    payloads = (some_bytes("a", 65), some_bytes("b", 508), some_bytes("c", 200))
    pieces, data_path = write_pieces(payloads, parameters_of(ProofType.SDR_2KIB), tmp_path)
    rows = build_rows(as_nodes(data_path.read_bytes()))
    assert rows[-1].tobytes() == comm_d(pieces, SECTOR_BYTES)


def test_a_piece_is_proven_to_lie_in_its_sector(tmp_path: Path) -> None:
    payloads = (some_bytes("a", 65), some_bytes("b", 508))
    pieces, data_path = write_pieces(payloads, parameters_of(ProofType.SDR_2KIB), tmp_path)
    rows = build_rows(as_nodes(data_path.read_bytes()))
    root = comm_d(pieces, SECTOR_BYTES)
    places = layout([piece.padded_size_bytes for piece in pieces], SECTOR_BYTES)
    for piece, offset in zip(pieces, places, strict=True):
        index = offset // piece.padded_size_bytes
        proof = prove_inclusion(rows[piece.height :], index)
        assert proof == InclusionProof(piece.root, index, proof.siblings)
        verify_inclusion(proof, root=root, leaf_count=SECTOR_BYTES // piece.padded_size_bytes)


@pytest.mark.parametrize(
    ("root", "padded_size_bytes", "payload_bytes"),
    [
        (bytes(31), 128, 1),
        (bytes(32), 64, 1),
        (bytes(32), 192, 1),
        (b"\xff" * 32, 128, 1),
        (bytes(32), 128, 128),
    ],
)
def test_an_incoherent_commitment_cannot_exist(
    root: bytes, padded_size_bytes: int, payload_bytes: int
) -> None:
    with pytest.raises(ValueError, match=r"piece|node"):
        PieceCommitment(root, padded_size_bytes, payload_bytes)


def test_fr32_wants_whole_quads() -> None:
    with pytest.raises(ValueError, match="127"):
        fr32.pad(bytes(126))
    with pytest.raises(ValueError, match="128"):
        fr32.unpad(bytes(127))
