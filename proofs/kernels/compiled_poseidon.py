"""Poseidon over many rows, compiled by numba; held equal to `proofs/poseidon.py`.

The rounds are those of `poseidon_rounds.py`. A state is (w, 4) words, w being arity + 1.
"""

from typing import Any, Final

import numba

from proofs.kernels.intrinsics import add, multiply, multiply_add
from proofs.kernels.jit import compiled
from proofs.poseidon import FULL_ROUNDS

_ELEMENT_BYTES: Final = 32
_ENTERED_AFTER: Final = FULL_ROUNDS // 2 - 1


@numba.njit(inline="always")
def _copy(source: Any, target: Any) -> None:
    for word in range(4):  # a slice would take numba two seconds more to compile
        target[word] = source[word]


@numba.njit(inline="always")
def _raise_to_fifth(element: Any, scratch: Any) -> None:
    multiply(scratch, element, element)
    multiply(scratch, scratch, scratch)
    multiply(element, element, scratch)


@numba.njit(inline="always")
def _full_round(constants: Any, matrix: Any, state: Any, spare: Any) -> None:
    width = state.shape[0]
    for place in range(width):
        add(state[place].ctypes.data, constants[place].ctypes.data)
        _raise_to_fifth(state[place].ctypes.data, spare[0].ctypes.data)
    for place in range(width):
        total = spare[place].ctypes.data
        multiply(total, matrix[place, 0].ctypes.data, state[0].ctypes.data)
        for other in range(1, width):
            multiply_add(total, matrix[place, other].ctypes.data, state[other].ctypes.data)
    for place in range(width):
        _copy(spare[place], state[place])


@numba.njit(inline="always")
def _partial_round(constant: Any, row: Any, column: Any, state: Any, spare: Any) -> None:
    first, total = state[0].ctypes.data, spare[0].ctypes.data
    add(first, constant.ctypes.data)
    _raise_to_fifth(first, total)
    multiply(total, row[0].ctypes.data, first)
    for place in range(1, state.shape[0]):
        other = state[place].ctypes.data
        multiply_add(total, row[place].ctypes.data, other)
        multiply_add(other, column[place - 1].ctypes.data, first)
    _copy(spare[0], state[0])


@compiled
def hash_all_elements(
    source: Any, target: Any, count: Any, rounds: Any, state: Any, spare: Any
) -> None:
    """Hash so many rows of elements from one address on into elements at another.

    state, spare:  (w, 4), scratch
    """
    arity = state.shape[0] - 1
    for row in range(count):
        _copy(rounds.tag, state[0])
        for place in range(arity):
            element = source + _ELEMENT_BYTES * (row * arity + place)
            multiply(state[1 + place].ctypes.data, element, rounds.into_form.ctypes.data)
        for number in range(FULL_ROUNDS):
            matrix = rounds.entry if number == _ENTERED_AFTER else rounds.matrix
            _full_round(rounds.constants[number], matrix, state, spare)
            if number == _ENTERED_AFTER:
                for at in range(rounds.rows.shape[0]):
                    _partial_round(
                        rounds.partial_constants[at], rounds.rows[at], rounds.columns[at],
                        state, spare,
                    )  # fmt: skip
        result = target + _ELEMENT_BYTES * row
        multiply(result, state[1].ctypes.data, rounds.out_of_form.ctypes.data)
