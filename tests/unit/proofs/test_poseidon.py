"""Poseidon is neptune's, at every level. Values: filecoin-project/neptune `src/poseidon.rs`."""

from typing import Any

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proofs import kernels
from proofs.hashing import FIELD_MODULUS
from proofs.kernels import intrinsics
from proofs.kernels.arrays import NodeArray
from proofs.merkle import as_nodes
from proofs.poseidon import PARTIAL_ROUNDS, poseidon

NEPTUNE = {
    2: (0x2E203C369A02E7FF, 0xA6FBA9339D05A69D, 0x739E0FD902EFE161, 0x396508D75E76A56B),
    8: (0x2A9934F56D38A5E6, 0x4B682E9D9CC4AED9, 0x1201004211677077, 0x2394611DA3A5DE55),
    11: (0xCEE3BBC32B693163, 0x09F3DCD8CCB08FC1, 0x6CA537E232EBE87A, 0x0C0FC1B2E5227F28),
}
"""The hash of 0, 1, … as u64 words, the lowest first, by arity."""

TOP = FIELD_MODULUS - 1

elements = st.integers(0, TOP) | st.sampled_from((0, 1, TOP, TOP - 1, 1 << 254, (1 << 192) - 1))
each_arity = pytest.mark.parametrize("arity", PARTIAL_ROUNDS)
each_level = pytest.mark.parametrize("name", kernels.available())


def node(element: int) -> bytes:
    return element.to_bytes(32, "little")


def hashes_of(name: str, rows: list[list[int]]) -> NodeArray:
    data = b"".join(node(element) for row in rows for element in row)
    target = np.zeros((len(rows), 32), np.uint8)
    inputs = np.frombuffer(data, np.uint8).reshape(len(rows), -1)
    kernels.level_of(name).hash_elements(inputs, target)
    return target


@each_arity
def test_the_hash_is_that_of_neptune(arity: int) -> None:
    expected = sum(word << 64 * place for place, word in enumerate(NEPTUNE[arity]))
    assert poseidon(range(arity)) == expected


@each_level
@each_arity
@settings(max_examples=10)
@given(data=st.data())
def test_every_level_hashes_as_the_readable_function(
    name: str, arity: int, data: st.DataObject
) -> None:
    row = st.lists(elements, min_size=arity, max_size=arity)
    rows = data.draw(st.lists(row, min_size=1, max_size=3))
    assert hashes_of(name, rows).tobytes() == b"".join(node(poseidon(row)) for row in rows)


@each_level
def test_what_is_no_element_is_refused(name: str) -> None:
    assert hashes_of(name, [[TOP, TOP]]).tobytes() == node(poseidon([TOP, TOP]))
    for inputs in ([0, FIELD_MODULUS], [(1 << 256) - 1, 0], [0] * 4, [0]):
        with pytest.raises(ValueError, match=r"no element|no parameters"):
            poseidon(inputs)
        with pytest.raises(ValueError, match=r"no element|no parameters"):
            hashes_of(name, [[0] * len(inputs), inputs])
    for inputs in ([-1, 0], []):
        with pytest.raises(ValueError, match=r"no element|no parameters"):
            poseidon(inputs)


@numba.njit
def compute(target: Any, left: Any, right: Any) -> None:
    """Fill left + right, left × right / 2^256, and target + that; each is (4,) words."""
    intrinsics.add(left[1].ctypes.data, right.ctypes.data)
    intrinsics.multiply(target[0].ctypes.data, left[0].ctypes.data, right.ctypes.data)
    intrinsics.multiply_add(target[1].ctypes.data, left[0].ctypes.data, right.ctypes.data)


@given(elements, elements | st.none(), elements)
def test_the_field_adds_and_multiplies(left: int, other: int | None, target: int) -> None:
    # Where sums come to the modulus itself, and random ones never do.
    right = FIELD_MODULUS - left if other is None and left else other or 0
    product = left * right * pow(1 << 256, -1, FIELD_MODULUS) % FIELD_MODULUS
    lefts, targets, [rights] = (
        np.frombuffer(bytearray(b"".join(map(node, numbers))), np.uint64).reshape(-1, 4)
        for numbers in ((left, left), (0, target), (right,))
    )
    compute(targets, lefts, rights)
    assert lefts.tobytes() == node(left) + node((left + right) % FIELD_MODULUS)
    assert targets.tobytes() == node(product) + node((target + product) % FIELD_MODULUS)


def test_a_target_beside_the_rows_is_left_alone() -> None:
    rows = as_nodes(b"".join(map(node, range(4)))).reshape(2, 64)
    target = np.full((4, 32), 7, np.uint8)
    kernels.level().hash_elements(rows, target[1:3])
    assert target[[0, 3]].tobytes() == bytes([7]) * 64
    assert target[1:3].tobytes() == node(poseidon([0, 1])) + node(poseidon([2, 3]))
