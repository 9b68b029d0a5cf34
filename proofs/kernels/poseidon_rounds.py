"""Poseidon's rounds with less to multiply, as neptune has them; held equal to `proofs/poseidon.py`.

In a partial round the S-box takes the first element alone. Of the matrix (m v; w N) that follows,
the factor (1 0; 0 N) can therefore come before the S-box, so it is the round before that multiplies
by it. What stays, (m v N⁻¹; w I), is sparse. And what such a round would add to the other elements
can be mixed and added after it: its constant is one. Source: Poseidon paper, appendix B.
"""

from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from proofs.hashing import FIELD_MODULUS, NODE_BYTES
from proofs.kernels.arrays import ElementArray
from proofs.poseidon import FULL_ROUNDS, PARTIAL_ROUNDS, domain_tag, mix_matrix, round_constants

_FORM = 1 << 256
"""Montgomery's: an element is kept as its product with this one."""


class Rounds(NamedTuple):
    """What the rounds of one arity multiply and add, in Montgomery's form; w is arity + 1."""

    tag: ElementArray
    """(4,): the state's first element."""

    constants: ElementArray
    """(8, w, 4), of the full rounds."""

    matrix: ElementArray
    """(w, w, 4), of the full rounds, but of the last before the partial ones:"""

    entry: ElementArray
    """(w, w, 4), which multiplies by all that the partial rounds have left out."""

    partial_constants: ElementArray
    """(p, 4), added to the first element."""

    rows: ElementArray
    """(p, w, 4), the first row of each partial round's matrix."""

    columns: ElementArray
    """(p, arity, 4), what is below it in the first column; the rest is the identity."""

    into_form: ElementArray
    """(4,): what an element is multiplied by for its form."""

    out_of_form: ElementArray
    """(4,): what a form is multiplied by for its element."""


_Matrix = Sequence[Sequence[int]]


@cache
def rounds_of(arity: int) -> Rounds:
    """Return the rounds for so many inputs. Raises `ValueError` if there are none."""
    if arity not in PARTIAL_ROUNDS:
        raise ValueError(f"no parameters for {arity} inputs")
    matrix = mix_matrix(arity + 1)
    constants, partial_constants = _constants(arity, matrix)
    entry, rows, columns = _sparse(matrix, PARTIAL_ROUNDS[arity])
    return Rounds(
        tag=_forms(domain_tag(arity)),
        constants=_forms(constants),
        matrix=_forms(matrix),
        entry=_forms(entry),
        partial_constants=_forms(partial_constants),
        rows=_forms(rows),
        columns=_forms(columns),
        into_form=_forms(_FORM),
        out_of_form=_forms(pow(_FORM, -1, FIELD_MODULUS)),
    )


def _constants(arity: int, matrix: _Matrix) -> tuple[_Matrix, Sequence[int]]:
    """Return the constants of the full rounds, and the one of each partial round."""
    constants = [list(added) for added in round_constants(arity)]
    first, end = FULL_ROUNDS // 2, FULL_ROUNDS // 2 + PARTIAL_ROUNDS[arity]
    for number in range(first, end):
        late = _times(matrix, [0, *constants[number][1:]])
        constants[number + 1] = [
            (added + more) % FIELD_MODULUS
            for added, more in zip(constants[number + 1], late, strict=True)
        ]
    return constants[:first] + constants[end:], [added[0] for added in constants[first:end]]


def _sparse(matrix: _Matrix, round_count: int) -> tuple[_Matrix, _Matrix, _Matrix]:
    """Return the matrix before the partial rounds, and the first rows and columns of theirs.

    From the last round back, each takes over the factor of the one after it.
    """
    (corner, *row), *below = matrix
    column = [line[0] for line in below]
    # Symmetric, so that a row is multiplied as a column is.
    square = factor = [line[1:] for line in below]
    inverse = _inverse(square)
    rows: list[Sequence[int]] = []
    columns: list[Sequence[int]] = []
    for _ in range(round_count):
        row = _times(inverse, row)
        rows.insert(0, [corner, *row])
        columns.insert(0, column)
        column = _times(square, column)
        factor = [_times(square, line) for line in factor]
    entry = [matrix[0], *([left, *rest] for left, rest in zip(column, factor, strict=True))]
    return entry, rows, columns


def _times(matrix: _Matrix, vector: Sequence[int]) -> list[int]:
    return [sum(map(int.__mul__, line, vector)) % FIELD_MODULUS for line in matrix]


def _inverse(matrix: _Matrix) -> _Matrix:
    """Return the inverse by elimination; a Cauchy matrix has no zero where one would hurt."""
    width = len(matrix)
    lines = [
        [*line, *(int(at == place) for at in range(width))] for place, line in enumerate(matrix)
    ]
    for place in range(width):
        scale = pow(lines[place][place], -1, FIELD_MODULUS)
        pivot = lines[place] = [value * scale % FIELD_MODULUS for value in lines[place]]
        for at, line in enumerate(lines):
            if at != place:
                lines[at] = [
                    (value - line[place] * other) % FIELD_MODULUS
                    for value, other in zip(line, pivot, strict=True)
                ]
    return [line[width:] for line in lines]


def _forms(elements: npt.ArrayLike) -> ElementArray:
    """Return elements, in lists of any depth, as words in Montgomery's form."""
    values = np.array(elements, object)
    data = b"".join(
        (value * _FORM % FIELD_MODULUS).to_bytes(NODE_BYTES, "little") for value in values.flat
    )
    return np.frombuffer(bytearray(data), np.uint64).reshape(*values.shape, 4)
