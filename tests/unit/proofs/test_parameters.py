"""The table of proof types, held to the figures it must agree with."""

from dataclasses import replace

import pytest

from proofs.parameters import ProofType
from proofs.registry import parameters_of


@pytest.mark.parametrize(
    ("proof_type", "registered_proof_id", "size_bytes", "layers", "challenges", "floor_seconds"),
    [
        (ProofType.SDR_2KIB, 5, 2**11, 2, 2, 0),
        (ProofType.SDR_8MIB, 6, 2**23, 2, 2, 0),
        (ProofType.SDR_512MIB, 7, 2**29, 11, 176, 73),
        (ProofType.SDR_32GIB, 8, 2**35, 11, 176, 4712),
        (ProofType.SDR_64GIB, 9, 2**36, 11, 176, 9425),
    ],
)
def test_the_table_of_proof_types(
    proof_type: ProofType,
    registered_proof_id: int,
    size_bytes: int,
    layers: int,
    challenges: int,
    floor_seconds: int,
) -> None:
    parameters = parameters_of(proof_type)
    assert parameters.proof_type is proof_type
    assert parameters.porep_id == bytes([registered_proof_id]) + bytes(31)
    assert parameters.sector_size_bytes == size_bytes
    assert parameters.payload_bytes == size_bytes * 127 // 128
    assert 1 << parameters.tree_depth == parameters.node_count == size_bytes // 32
    assert (parameters.layers, parameters.porep_challenge_count) == (layers, challenges)
    assert (parameters.window_challenge_count, parameters.piece_challenge_count) == (66, 8)
    assert parameters.seal_floor_milliseconds // 1000 == floor_seconds
    assert parameters.for_tests is (size_bytes < 2**29)


def test_every_proof_type_is_registered() -> None:
    assert {parameters_of(proof_type).proof_type for proof_type in ProofType} == set(ProofType)


@pytest.mark.parametrize("size_bytes", [0, 32, 96, 2049])
def test_a_sector_is_a_power_of_two_of_nodes(size_bytes: int) -> None:
    with pytest.raises(ValueError, match="nodes"):
        replace(parameters_of(ProofType.SDR_2KIB), sector_size_bytes=size_bytes)


def test_counts_start_at_one() -> None:
    with pytest.raises(ValueError, match="one"):
        replace(parameters_of(ProofType.SDR_2KIB), layers=0)
