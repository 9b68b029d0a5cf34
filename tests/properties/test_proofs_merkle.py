"""Laws of Merkle proofs, and of what is built on them."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proofs import fr32, kernels
from proofs.errors import ProofRejected
from proofs.hashing import FIELD_MODULUS, NODE_BYTES
from proofs.kernels import field, hashlib_level
from proofs.kernels.arrays import NodeArray
from proofs.merkle import (
    as_nodes,
    build_rows,
    prove_inclusion,
    verify_inclusion,
)
from proofs.multiproof import distinct, prove_leaves, sibling_count, verify_leaves
from proofs.piece import CommPHasher, comm_d, comm_p, layout
from proofs.replica import decode, encode

node = st.binary(min_size=NODE_BYTES, max_size=NODE_BYTES)
# The first tree of a machine compiles its kernel.
compiles = settings(deadline=None)

each_level = pytest.mark.parametrize("name", kernels.available())
truncated = st.integers(0, (1 << 254) - 1)


@st.composite
def trees(draw: st.DrawFn) -> list[bytes]:
    count = 1 << draw(st.integers(0, 5))
    return draw(st.lists(node, min_size=count, max_size=count))


@compiles
@given(trees(), st.data())
def test_a_tree_proves_its_leaves_and_nothing_else(
    leaves: list[bytes], data: st.DataObject
) -> None:
    rows = build_rows(as_nodes(b"".join(leaves)))
    root, count = rows[-1].tobytes(), len(leaves)
    proof = prove_inclusion(rows, data.draw(st.integers(0, count - 1)))
    verify_inclusion(proof, root=root, leaf_count=count)

    other_leaf = data.draw(node.filter(lambda leaf: leaf != proof.leaf))
    forgeries = [
        replace(proof, leaf=other_leaf),
        replace(proof, leaf=proof.leaf[:-1]),
        replace(proof, leaf_index=proof.leaf_index + count),
        replace(proof, leaf_index=proof.leaf_index - count),
        replace(proof, siblings=(*proof.siblings, other_leaf)),
        replace(proof, leaf=root, siblings=()) if count > 1 else replace(proof, siblings=(root,)),
    ]
    if count > 1:
        forgeries.append(replace(proof, siblings=proof.siblings[1:]))
        forgeries.append(replace(proof, siblings=(b"", *proof.siblings[1:])))
    for forged in forgeries:
        with pytest.raises(ProofRejected):
            verify_inclusion(forged, root=root, leaf_count=count)


@compiles
@given(trees(), st.data())
def test_a_leaf_is_proven_only_where_it_is(leaves: list[bytes], data: st.DataObject) -> None:
    rows = build_rows(as_nodes(b"".join(leaves)))
    count = len(leaves)
    proof = prove_inclusion(rows, data.draw(st.integers(0, count - 1)))
    elsewhere = data.draw(st.integers(0, count - 1))
    if leaves[elsewhere] != proof.leaf:
        moved = replace(proof, leaf_index=elsewhere)
        with pytest.raises(ProofRejected):
            verify_inclusion(moved, root=rows[-1].tobytes(), leaf_count=count)
    for outside in (-1, count):
        with pytest.raises(IndexError):
            prove_inclusion(rows, outside)


def at_level(name: str, function: str, source: bytes, *, size_bytes: int) -> bytes:
    # Bytes around it that must stay as they are.
    target = np.full(size_bytes + 16, 0xAA, np.uint8)
    kernel = getattr(kernels.level_of(name), function)
    kernel(np.frombuffer(source, np.uint8), target[8:-8])
    assert target[:8].tobytes() == target[-8:].tobytes() == b"\xaa" * 8
    return target[8:-8].tobytes()


@compiles
@each_level
@given(payload=st.binary(max_size=127 * 4).map(lambda data: data[: len(data) // 127 * 127]))
def test_fr32_comes_back_and_every_level_agrees(name: str, payload: bytes) -> None:
    padded = fr32.pad(payload)
    assert fr32.unpad(padded) == payload
    assert all(padded[at] <= 0x3F for at in range(31, len(padded), 32))
    assert at_level(name, "pad", payload, size_bytes=len(padded)) == padded
    assert at_level(name, "unpad", padded, size_bytes=len(payload)) == payload


@compiles
@each_level
@given(padded=st.binary(min_size=256, max_size=256))
def test_fr32_unpads_any_bytes_alike(name: str, padded: bytes) -> None:
    assert at_level(name, "unpad", padded, size_bytes=254) == fr32.unpad(padded)


@st.composite
def leaves_of_trees(draw: st.DrawFn) -> tuple[list[NodeArray], list[int]]:
    rows = build_rows(as_nodes(b"".join(draw(trees()))))
    places = st.integers(0, len(rows[0]) - 1)
    return rows, distinct(draw(st.lists(places, min_size=1, max_size=40)))


@compiles
@each_level
@given(opened=leaves_of_trees())
def test_every_level_climbs_to_the_root(
    name: str, opened: tuple[list[NodeArray], list[int]]
) -> None:
    rows, leaves = opened
    nodes = as_nodes(b"".join(prove_leaves(rows, leaves)))
    root = kernels.level_of(name).climb(np.array(leaves, np.uint64), nodes, len(rows) - 1)
    assert root == rows[-1].tobytes()


@compiles
@each_level
@given(data=st.data(), depth=st.integers(0, 64))
def test_every_level_climbs_alike_in_trees_that_nobody_has(
    name: str, data: st.DataObject, depth: int
) -> None:
    places = st.integers(0, (1 << depth) - 1)
    leaves = distinct(data.draw(st.lists(places, min_size=1, max_size=20)))
    count = len(leaves) + sibling_count(leaves, depth)
    nodes = as_nodes(data.draw(st.randoms(use_true_random=False)).randbytes(NODE_BYTES * count))
    climbed = kernels.level_of(name).climb(np.array(leaves, np.uint64), nodes, depth)
    assert climbed == hashlib_level.climb(np.array(leaves, np.uint64), nodes, depth)


@compiles
@given(leaves_of_trees(), st.data())
def test_many_leaves_are_proven_as_each_is_and_nothing_else(
    opened: tuple[list[NodeArray], list[int]], data: st.DataObject
) -> None:
    rows, leaves = opened
    depth, root = len(rows) - 1, rows[-1].tobytes()
    nodes = list(prove_leaves(rows, leaves))
    assert len(nodes) == len(leaves) + sibling_count(leaves, depth)
    verify_leaves(leaves, as_nodes(b"".join(nodes)), depth=depth, root=root)

    proofs = [prove_inclusion(rows, leaf) for leaf in leaves]
    assert nodes[: len(leaves)] == [proof.leaf for proof in proofs]
    assert set(nodes) <= {node for proof in proofs for node in (proof.leaf, *proof.siblings)}

    forged = as_nodes(b"".join(nodes)).copy()
    forged.reshape(-1)[data.draw(st.integers(0, forged.size - 1))] ^= 1
    with pytest.raises(ProofRejected):
        verify_leaves(leaves, forged, depth=depth, root=root)


@compiles
@given(leaves_of_trees(), st.data())
def test_leaves_are_proven_only_where_they_are(
    opened: tuple[list[NodeArray], list[int]], data: st.DataObject
) -> None:
    rows, leaves = opened
    mirror = data.draw(st.integers(0, len(rows[0]) - 1))
    elsewhere = distinct(leaf ^ mirror for leaf in leaves)
    nodes = list(prove_leaves(rows, leaves))
    if nodes != list(prove_leaves(rows, elsewhere)):
        forged, depth = as_nodes(b"".join(nodes)), len(rows) - 1
        with pytest.raises(ProofRejected):
            verify_leaves(elsewhere, forged, depth=depth, root=rows[-1].tobytes())


@given(truncated, truncated)
def test_a_node_encodes_reversibly_and_both_versions_agree(data: int, key: int) -> None:
    plain, mask = data.to_bytes(32, "little"), key.to_bytes(32, "little")
    sealed = encode(plain, mask)
    assert int.from_bytes(sealed, "little") < FIELD_MODULUS
    assert decode(sealed, mask) == plain
    assert field.encode(as_nodes(plain), as_nodes(mask)).tobytes() == sealed
    assert field.decode(as_nodes(sealed), as_nodes(mask)).tobytes() == plain


@compiles
@given(st.lists(st.binary(max_size=300), max_size=6))
def test_a_piece_depends_on_its_bytes_not_on_their_chunks(chunks: list[bytes]) -> None:
    hasher = CommPHasher()
    for chunk in chunks:
        hasher.update(chunk)
    assert hasher.finish() == comm_p(b"".join(chunks))


@compiles
@given(st.lists(st.binary(min_size=1, max_size=600), max_size=5))
def test_comm_d_is_the_root_of_the_pieces_where_they_lie(payloads: list[bytes]) -> None:
    sector_bytes = 8192
    pieces = [comm_p(payload) for payload in payloads]
    offsets = layout([piece.padded_size_bytes for piece in pieces], sector_bytes)
    sector = bytearray(sector_bytes)
    for payload, piece, offset in zip(payloads, pieces, offsets, strict=True):
        padded = fr32.pad(payload + bytes(piece.padding_bytes))
        sector[offset : offset + len(padded)] = padded
    assert comm_d(pieces, sector_bytes) == build_rows(as_nodes(bytes(sector)))[-1].tobytes()
