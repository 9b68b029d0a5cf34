"""Pieces in sectors and aggregates: where they lie, and the proofs that they do."""

import hashlib
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipfs.cid import CID
from ipfs.piece_cid import parse_piece_cid
from proofs.aggregate import (
    AGGREGATE_BYTES_MIN,
    ENTRY_BYTES,
    AggregateInclusion,
    aggregate,
    entries_max,
    entry_bytes,
    verify_aggregated,
)
from proofs.errors import ProofRejected
from proofs.fr32 import pad
from proofs.merkle import InclusionProof, as_nodes, build_rows
from proofs.piece import (
    PieceCommitment,
    PiecesDontFit,
    comm_d,
    comm_p,
    layout,
    zero_commitment,
)
from proofs.subtree import SparseTree, prove_piece, verify_piece
from tests.support.vectors import own

[VECTOR] = own("commp.json")["aggregates"]
SECTOR_BYTES = 8192


def some_payload(seed: str, size_bytes: int) -> bytes:
    return hashlib.shake_256(seed.encode()).digest(size_bytes)


def inclusion_of(proof: list[Any], piece: PieceCommitment, entry: bytes) -> AggregateInclusion:
    (tree_index, tree_path), (entry_index, entry_path) = proof
    return AggregateInclusion(
        InclusionProof(piece.root, tree_index, tuple(map(bytes.fromhex, tree_path))),
        InclusionProof(entry, entry_index, tuple(map(bytes.fromhex, entry_path))),
    )


def vector_pieces() -> list[PieceCommitment]:
    return [
        comm_p(some_payload(f"commp-agg-{at}", size)) for at, size in enumerate(VECTOR["parts"])
    ]


def commitment_of(text: str) -> PieceCommitment:
    info = parse_piece_cid(CID.parse(text))
    assert info.padded_bytes is not None
    assert info.payload_bytes is not None
    return PieceCommitment(info.root, info.padded_bytes, info.payload_bytes)


def test_an_aggregate_is_that_of_the_vectors() -> None:
    made = aggregate(vector_pieces(), VECTOR["size"])
    assert made.tree.root.hex() == VECTOR["aggregate_root"]
    assert made.commitment == commitment_of(VECTOR["aggregate"])
    named = [commitment_of(case["piece"]) for case in VECTOR["inclusion"]]
    assert list(made.pieces) == named, "the vectors prove the pieces in the order they lie in"


@pytest.mark.parametrize("position", range(4))
def test_its_inclusion_proofs_are_those_of_the_vectors(position: int) -> None:
    made, case = aggregate(vector_pieces(), VECTOR["size"]), VECTOR["inclusion"][position]
    proof = made.prove(position)
    piece = made.pieces[position]
    assert proof == inclusion_of(case["proof"], piece, proof.entry.leaf)
    whole = commitment_of(VECTOR["aggregate"])
    assert verify_aggregated(proof, piece, whole) == made.offsets_bytes[position]


sizes = st.lists(st.integers(1, 2000), min_size=1, max_size=6)


@given(sizes)
def test_the_tree_of_an_aggregate_is_the_tree_over_its_bytes(payload_sizes: list[int]) -> None:
    payloads = [some_payload(str(at), size) for at, size in enumerate(payload_sizes)]
    pieces = [comm_p(payload) for payload in payloads]
    size_bytes = 1 << 20
    made = aggregate(pieces, size_bytes)
    data = bytearray(size_bytes)
    by_root = {piece.root: payload for piece, payload in zip(pieces, payloads, strict=True)}
    index_start = size_bytes - entries_max(size_bytes) * ENTRY_BYTES
    for position, (piece, offset) in enumerate(zip(made.pieces, made.offsets_bytes, strict=True)):
        capacity = piece.padded_size_bytes // 128 * 127
        padded = pad(by_root[piece.root].ljust(capacity, b"\0"))
        data[offset : offset + piece.padded_size_bytes] = padded
        at = index_start + position * ENTRY_BYTES
        data[at : at + ENTRY_BYTES] = entry_bytes(piece, offset)
    assert made.tree.root == build_rows(as_nodes(bytes(data)))[-1].tobytes()


def test_the_index_grows_with_the_aggregate() -> None:
    assert entries_max(AGGREGATE_BYTES_MIN) == entries_max(1 << 19) == 4
    assert entries_max(1 << 20) == 8
    assert entries_max(1 << 35) == 1 << 18


def test_what_does_not_fit_beside_the_index_is_refused() -> None:
    tiny = comm_p(b"x")
    with pytest.raises(PiecesDontFit, match="room for 4"):
        aggregate([tiny] * 5, 2048)
    with pytest.raises(PiecesDontFit):
        aggregate([comm_p(bytes(1000))] * 2, 2048)
    for size_bytes in (256, 3000):
        with pytest.raises(ValueError, match="power of two"):
            aggregate([tiny], size_bytes)


def bent(proof: InclusionProof) -> list[InclusionProof]:
    flipped = bytes((proof.leaf[0] ^ 1, *proof.leaf[1:]))
    return [
        replace(proof, leaf=flipped),
        replace(proof, leaf=proof.leaf + b"\0"),
        replace(proof, leaf_index=proof.leaf_index ^ 1),
        replace(proof, leaf_index=-1),
        replace(proof, leaf_index=proof.leaf_index + (1 << len(proof.siblings))),
        replace(proof, siblings=proof.siblings[:-1]),
        replace(proof, siblings=(*proof.siblings, bytes(32))),
        *(
            replace(
                proof,
                siblings=(
                    *proof.siblings[:at],
                    bytes((sibling[0] ^ 1, *sibling[1:])),
                    *proof.siblings[at + 1 :],
                ),
            )
            for at, sibling in enumerate(proof.siblings)
        ),
    ]


def test_a_bent_proof_of_an_aggregated_piece_is_refused() -> None:
    made = aggregate([comm_p(some_payload(str(at), 300)) for at in range(3)], 4096)
    proof, piece, whole = made.prove(1), made.pieces[1], made.commitment
    verify_aggregated(proof, piece, whole)
    forged = [replace(proof, piece=forgery) for forgery in bent(proof.piece)]
    forged += [replace(proof, entry=forgery) for forgery in bent(proof.entry)]
    forged += [replace(proof, entry=made.prove(0).entry), replace(proof, piece=made.prove(0).piece)]
    for forgery in forged:
        with pytest.raises(ProofRejected):
            verify_aggregated(forgery, piece, whole)
    for other in (made.pieces[0], replace(piece, padded_size_bytes=256, payload_bytes=1), whole):
        with pytest.raises(ProofRejected):
            verify_aggregated(proof, other, whole)
    with pytest.raises(ProofRejected):
        verify_aggregated(proof, piece, comm_p(b"something else"))


def test_an_entry_outside_the_index_names_nothing() -> None:
    """A client puts a true-looking entry into its own piece: the index alone is believed."""
    piece = comm_p(some_payload("hidden", 100))
    honest = aggregate([piece], 2048)
    entry = honest.prove(0).entry.leaf
    tree = SparseTree(6, {(piece.height, 0): piece.root, (1, 10): entry})
    forged = AggregateInclusion(tree.prove(piece.height, 0), tree.prove(1, 10))
    with pytest.raises(ProofRejected, match="outside the index"):
        verify_aggregated(forged, piece, PieceCommitment(tree.root, 2048, 2032))


def test_a_piece_cannot_lie_over_the_index() -> None:
    piece = comm_p(some_payload("over", 100))
    offset = 2048 - 256
    index = 2048 - 4 * ENTRY_BYTES
    assert offset == index, "the index starts where the piece does"
    body = entry_bytes(piece, offset)
    entry = build_rows(as_nodes(body))[-1].tobytes()
    tree = SparseTree(6, {(2, 14): piece.root, (1, 30): entry})
    forged = AggregateInclusion(tree.prove(2, 14), tree.prove(1, 30))
    with pytest.raises(ProofRejected, match="over the index"):
        verify_aggregated(forged, piece, PieceCommitment(tree.root, 2048, 2032))


def test_an_index_that_lies_proves_nothing() -> None:
    """It names a piece where another one lies: both paths hold, but not of the same piece."""
    named, there = comm_p(some_payload("named", 100)), comm_p(some_payload("there", 100))
    entry = build_rows(as_nodes(entry_bytes(named, 0)))[-1].tobytes()
    tree = SparseTree(6, {(2, 0): there.root, (1, 28): entry})
    whole = PieceCommitment(tree.root, 2048, 2032)
    forged = AggregateInclusion(tree.prove(2, 0), tree.prove(1, 28))
    for piece in (named, there):
        with pytest.raises(ProofRejected):
            verify_aggregated(forged, piece, whole)


def test_no_aggregate_is_too_small_to_be_refused() -> None:
    """Of less than 512 bytes the index leaves no room, whatever the paths say."""
    piece = comm_p(b"x")
    for height in (2, 3):
        tree = SparseTree(height, {(2, 0): piece.root})
        whole = PieceCommitment(tree.root, 32 << height, 1)
        forged = AggregateInclusion(tree.prove(2, 0), tree.prove(2, 0))
        with pytest.raises(ProofRejected):
            verify_aggregated(forged, piece, whole)


def test_a_proof_is_of_its_own_piece_only() -> None:
    pieces = [comm_p(some_payload(str(at), 200)) for at in range(2)]
    root, proof = comm_d(pieces, SECTOR_BYTES), prove_piece(pieces, 0, SECTOR_BYTES)
    with pytest.raises(ProofRejected, match="another piece's"):
        verify_piece(proof, pieces[1], comm_d=root, sector_size_bytes=SECTOR_BYTES)
    bigger = replace(pieces[0], padded_size_bytes=2 * SECTOR_BYTES)
    with pytest.raises(ProofRejected):
        verify_piece(proof, bigger, comm_d=root, sector_size_bytes=SECTOR_BYTES)


@given(sizes)
def test_a_piece_is_proven_in_its_sector_from_commitments_alone(payload_sizes: list[int]) -> None:
    pieces = [comm_p(some_payload(str(at), size)) for at, size in enumerate(payload_sizes)]
    sector_bytes = 1 << (sum(2 * piece.padded_size_bytes for piece in pieces)).bit_length()
    root = comm_d(pieces, sector_bytes)
    offsets = layout([piece.padded_size_bytes for piece in pieces], sector_bytes)
    for position, (piece, offset) in enumerate(zip(pieces, offsets, strict=True)):
        proof = prove_piece(pieces, position, sector_bytes)
        found = verify_piece(proof, piece, comm_d=root, sector_size_bytes=sector_bytes)
        assert found == offset


def test_a_bent_proof_of_a_piece_in_a_sector_is_refused() -> None:
    pieces = [comm_p(some_payload(str(at), size)) for at, size in enumerate((200, 900, 100))]
    root = comm_d(pieces, SECTOR_BYTES)
    proof = prove_piece(pieces, 1, SECTOR_BYTES)
    verify_piece(proof, pieces[1], comm_d=root, sector_size_bytes=SECTOR_BYTES)
    for forged in bent(proof):
        with pytest.raises(ProofRejected):
            verify_piece(forged, pieces[1], comm_d=root, sector_size_bytes=SECTOR_BYTES)
    for size_bytes in (SECTOR_BYTES // 2, SECTOR_BYTES * 2, 512):
        with pytest.raises(ProofRejected):
            verify_piece(proof, pieces[1], comm_d=root, sector_size_bytes=size_bytes)
    smaller = replace(pieces[1], padded_size_bytes=512, payload_bytes=500)
    with pytest.raises(ProofRejected):
        verify_piece(proof, smaller, comm_d=root, sector_size_bytes=SECTOR_BYTES)


def test_subtrees_can_neither_overlap_nor_lie_outside() -> None:
    node = comm_p(b"x").root
    with pytest.raises(ValueError, match="inside another"):
        SparseTree(4, {(3, 0): node, (1, 2): node})
    for place in ((5, 0), (3, 2), (0, -1)):
        with pytest.raises(ValueError, match="no place"):
            SparseTree(4, {place: node})
    assert SparseTree(4, {}).root == zero_commitment(4)
