"""Whatever a prover commits to instead of the replica it owes, it is caught, and why."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from proofs import kernels, porep, post
from proofs.errors import ProofRejected
from proofs.hashing import FIELD_MODULUS, NODE_BYTES, comm_r
from proofs.merkle import as_nodes, build_rows, prove_inclusion, verify_inclusion
from proofs.multiproof import distinct, prove_leaves
from proofs.parameters import BASE_DEGREE, ProofParameters
from proofs.porep import PorepStatement
from proofs.replica import encode, label
from tests.support.cheats import (
    COUNT,
    PARENTS,
    SMALL,
    Commitment,
    encoded,
    honest_prover,
    is_rejected,
    labelled,
)
from tests.support.sectors import SealedSector, seal_sector, some_bytes


def assert_caught(statement: PorepStatement, commitment: Commitment, *, because: str) -> None:
    about = replace(statement, comm_r=commitment.comm_r)
    proof = commitment.prove_replication(about)
    with pytest.raises(ProofRejected, match=because):
        porep.verify(about, proof)


@pytest.fixture(autouse=True, params=["hashlib", "the level in use"])
def verifier(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Verify as who has verified little does, and as who has verified much."""
    hashes_left = 10**9 if request.param == "hashlib" else 0
    monkeypatch.setattr(kernels._Thrift, "hashes_left", hashes_left)


@pytest.fixture(scope="module")
def sector(tmp_path_factory: pytest.TempPathFactory) -> SealedSector:
    # Full: where there are zeros, a key alone is its right encoding.
    return seal_sector(tmp_path_factory.mktemp("sector"), (some_bytes("full", 2032),))


@pytest.fixture(scope="module")
def honest(sector: SealedSector) -> Commitment:
    return honest_prover(sector)


@pytest.fixture(scope="module")
def statement(sector: SealedSector) -> PorepStatement:
    return sector.porep_statement()


def test_a_prover_that_does_not_cheat_makes_the_same_proofs(
    sector: SealedSector, honest: Commitment, statement: PorepStatement
) -> None:
    assert honest.prove_replication(statement) == porep.prove(statement, sector.folder)
    window = sector.window_statement()
    assert honest.prove_window(window) == post.prove(window, sector.folder)


@pytest.mark.parametrize("layer", [1, 2])
@pytest.mark.parametrize("label_byte", [b"\x00", b"\x11", b"\xff"])
def test_a_layer_that_was_not_computed_is_caught(
    honest: Commitment, statement: PorepStatement, layer: int, label_byte: bytes
) -> None:
    chosen = {(layer, node): label_byte * NODE_BYTES for node in range(COUNT)}
    layers = labelled(statement.replica_id, chosen)
    keys = layers[-1] if label_byte != b"\xff" else honest.layers[-1]
    lazy = Commitment(honest.data, layers, encoded(honest.data, keys))
    assert_caught(statement, lazy, because=f"layer {layer}")


def test_layers_in_another_order_or_one_twice_are_caught(
    honest: Commitment, statement: PorepStatement
) -> None:
    first, second = honest.layers
    for layers, caught_in in (((second, first), 1), ((first, first), 2), ((second, second), 1)):
        lazy = Commitment(honest.data, layers, encoded(honest.data, layers[-1]))
        assert_caught(statement, lazy, because=f"layer {caught_in}")


@pytest.mark.parametrize(
    ("layer", "parent_count"), [(1, 14), (2, 6)], ids=["expander in layer 1", "none in layer 2"]
)
def test_labels_of_the_wrong_parents_are_caught(
    honest: Commitment, statement: PorepStatement, layer: int, parent_count: int
) -> None:
    # Layer 1 serves as the layer before layer 1: any would.
    labels = [label(statement.replica_id, layer, 0, ())]
    for node in range(1, COUNT):
        base, expansion = PARENTS[node][:BASE_DEGREE], PARENTS[node][BASE_DEGREE:]
        known = [labels[parent] for parent in base]
        known += [honest.layers[0][parent] for parent in expansion]
        labels.append(label(statement.replica_id, layer, node, known[:parent_count]))
    chosen = {(layer, node): labels[node] for node in range(COUNT)}
    layers = labelled(statement.replica_id, chosen)
    cheat = Commitment(honest.data, layers, encoded(honest.data, layers[-1]))
    assert_caught(statement, cheat, because=f"layer {layer}")


@pytest.mark.parametrize(
    "change",
    [{"provider_id": 1001}, {"sector_number": 8}, {"ticket": bytes(32)}, {"comm_d": bytes(32)}],
    ids=str,
)
def test_one_replica_does_not_serve_two_sectors(
    honest: Commitment, statement: PorepStatement, change: dict[str, Any]
) -> None:
    other = labelled(replace(statement, **change).replica_id)
    borrowed = Commitment(honest.data, other, encoded(honest.data, other[-1]))
    assert_caught(statement, borrowed, because="layer 1")
    # And the other way round: the honest replica under the other's name.
    assert is_rejected(
        porep.verify,
        replace(statement, **change),
        honest.prove_replication(replace(statement, **change)),
    )


def plain_sum(data: bytes, key: bytes) -> bytes:
    total = int.from_bytes(data, "little") + int.from_bytes(key, "little")
    return total.to_bytes(NODE_BYTES, "little")


@pytest.mark.parametrize(
    "cheat",
    [
        lambda data, key: data,
        lambda data, key: key,
        lambda data, key: bytes(a ^ b for a, b in zip(data, key, strict=True)),
        lambda data, key: plain_sum(encode(data, key), FIELD_MODULUS.to_bytes(32, "little")),
    ],
    ids=["data", "key", "xor", "the sum, one modulus too high"],
)
def test_a_replica_that_is_not_data_plus_key_is_caught(
    honest: Commitment, statement: PorepStatement, cheat: Callable[[bytes, bytes], bytes]
) -> None:
    replica = list(map(cheat, honest.data, honest.layers[-1]))
    forged = Commitment(honest.data, honest.layers, replica)
    assert_caught(statement, forged, because="does not encode")


def test_a_replica_keyed_by_an_inner_layer_is_caught(
    honest: Commitment, statement: PorepStatement
) -> None:
    forged = Commitment(honest.data, honest.layers, encoded(honest.data, honest.layers[0]))
    assert_caught(statement, forged, because="does not encode")


def test_data_has_one_form_only(honest: Commitment, statement: PorepStatement) -> None:
    # The same field elements, one modulus higher, encode to the same replica.
    modulus = FIELD_MODULUS.to_bytes(NODE_BYTES, "little")
    high = [plain_sum(plain, modulus) for plain in honest.data]
    comm_d = build_rows(as_nodes(b"".join(high)))[-1].tobytes()
    about = replace(statement, comm_d=comm_d)
    layers = labelled(about.replica_id)
    forged = Commitment(high, layers, encoded(high, layers[-1]))
    assert forged.replica == encoded(honest.data, layers[-1])
    assert_caught(about, forged, because="below 2\\^254")


def test_other_data_than_the_deals_is_caught(honest: Commitment, statement: PorepStatement) -> None:
    zeros = [bytes(NODE_BYTES)] * COUNT
    forged = Commitment(zeros, honest.layers, encoded(zeros, honest.layers[-1]))
    assert_caught(statement, forged, because="do not lead to the root")


def test_whoever_keeps_only_the_data_answers_nothing(
    sector: SealedSector, honest: Commitment
) -> None:
    # It knows both roots, but has data where the replica should be.
    window = sector.window_statement()
    unsealed = Commitment(honest.data, honest.layers, honest.data)
    without_roots = unsealed.prove_window(window)[2 * NODE_BYTES :]
    with pytest.raises(ProofRejected, match="do not lead to the root"):
        post.verify(window, b"".join(honest.roots) + without_roots)
    with pytest.raises(ProofRejected, match="CommR"):
        post.verify(window, unsealed.prove_window(window))


def test_the_two_roots_of_comm_r_cannot_be_others_nor_change_places(
    sector: SealedSector, honest: Commitment
) -> None:
    window, proof = sector.window_statement(), honest.prove_window(sector.window_statement())
    comm_c, comm_r_last = honest.roots
    for roots in (
        comm_r_last + comm_c,
        comm_c + comm_c,
        honest.comm_r + comm_r_last,
        bytes(NODE_BYTES) + comm_r_last,
    ):
        with pytest.raises(ProofRejected, match="CommR"):
            post.verify(window, roots + proof[2 * NODE_BYTES :])
    swapped = replace(window, comm_r=comm_r(comm_r_last, comm_c))
    with pytest.raises(ProofRejected, match="do not lead to the root"):
        post.verify(swapped, comm_r_last + comm_c + proof[2 * NODE_BYTES :])


def test_columns_are_no_replica(sector: SealedSector, honest: Commitment) -> None:
    window = replace(sector.window_statement(), comm_r=honest.comm_r)
    asked = distinct(post.challenges(window))
    nodes = (*honest.roots, *prove_leaves(honest.column_rows, asked))
    with pytest.raises(ProofRejected, match="do not lead to the root"):
        post.verify(window, b"".join(nodes))


def test_an_inner_node_is_no_leaf_and_a_tree_has_one_size(honest: Commitment) -> None:
    rows, root = honest.replica_rows, honest.roots[1]
    leaf = prove_inclusion(rows, 5)
    inner = prove_inclusion(rows[1:], 2)
    verify_inclusion(leaf, root=root, leaf_count=COUNT)
    for leaf_count in (COUNT // 2, 2 * COUNT):
        with pytest.raises(ProofRejected):
            verify_inclusion(leaf, root=root, leaf_count=leaf_count)
    padded = replace(inner, siblings=(*inner.siblings, bytes(NODE_BYTES)))
    for forged in (inner, padded, replace(inner, siblings=(leaf.siblings[0], *inner.siblings))):
        with pytest.raises(ProofRejected):
            verify_inclusion(forged, root=root, leaf_count=COUNT)


@pytest.mark.parametrize(
    "change", [{"layers": 1}, {"layers": 3}, {"sector_size_bytes": 4096}], ids=str
)
def test_a_proof_of_another_kind_of_sector_has_another_length(
    honest: Commitment, statement: PorepStatement, change: dict[str, Any]
) -> None:
    proof = honest.prove_replication(statement)
    other: ProofParameters = replace(SMALL, **change)
    with pytest.raises(ProofRejected, match="bytes, not"):
        porep.verify(replace(statement, parameters=other), proof)
