"""Poseidon over BLS12-381's scalar field, as Filecoin's neptune parametrises it: slow, readable.

For interoperability: nothing of the default suite hashes with it. The oracle of the kernels.
Source: Filecoin specification, algorithms.crypto.poseidon; Poseidon paper (eprint 2019/458), the
Grain stream of its appendix.
"""

from collections.abc import Iterator, Sequence
from functools import cache
from typing import Final

from proofs.hashing import FIELD_MODULUS

FULL_ROUNDS: Final = 8
"""Half of them before the partial ones, half after."""

PARTIAL_ROUNDS: Final = {2: 55, 8: 57, 11: 57}
"""By arity, for 128 bits of security with the paper's margin."""

_FIELD_BITS: Final = 255
_PRIME_FIELD: Final = 1
_QUINTIC: Final = 1
"""The S-box is x^5, of which neptune writes 1."""


def poseidon(inputs: Sequence[int]) -> int:
    """Return the hash of 2, 8 or 11 field elements, in neptune's Merkle tree mode.

    Raises: `ValueError` for another number of them, or one that is no element.
    """
    arity = len(inputs)
    if arity not in PARTIAL_ROUNDS:
        raise ValueError(f"no parameters for {arity} inputs")
    if any(not 0 <= element < FIELD_MODULUS for element in inputs):
        raise ValueError("an input is no element of the field")
    matrix, partial_rounds = mix_matrix(arity + 1), PARTIAL_ROUNDS[arity]
    state = [domain_tag(arity), *inputs]
    for number, constants in enumerate(round_constants(arity)):
        state = [value + constant for value, constant in zip(state, constants, strict=True)]
        is_partial = 0 <= number - FULL_ROUNDS // 2 < partial_rounds
        boxed = 1 if is_partial else len(state)
        state[:boxed] = [pow(value, 5, FIELD_MODULUS) for value in state[:boxed]]
        state = [sum(map(int.__mul__, state, column)) % FIELD_MODULUS for column in matrix]
    return state[1]


def domain_tag(arity: int) -> int:
    """Return the state's first element, which says what is hashed: of a tree, one bit a child."""
    return (1 << arity) - 1


@cache
def mix_matrix(width: int) -> tuple[tuple[int, ...], ...]:
    """Return the Cauchy matrix 1 / (x + y) of x in 0…w-1, y in w…2w-1, which is symmetric."""
    return tuple(
        tuple(pow(x + y, -1, FIELD_MODULUS) for x in range(width)) for y in range(width, 2 * width)
    )


@cache
def round_constants(arity: int) -> tuple[tuple[int, ...], ...]:
    """Return what each round adds to each element of the state."""
    width, rounds = arity + 1, FULL_ROUNDS + PARTIAL_ROUNDS[arity]
    bits = _grain(arity)
    constants: list[int] = []
    while len(constants) < width * rounds:
        drawn = int("".join(str(next(bits)) for _ in range(_FIELD_BITS)), 2)
        if drawn < FIELD_MODULUS:
            constants.append(drawn)
    return tuple(
        tuple(constants[start : start + width]) for start in range(0, width * rounds, width)
    )


def _grain(arity: int) -> Iterator[int]:
    """Yield the bits of the self-shrinking Grain register that the parameters start."""
    fields = (
        (_PRIME_FIELD, 2),
        (_QUINTIC, 4),
        (_FIELD_BITS, 12),
        (arity + 1, 12),
        (FULL_ROUNDS, 10),
        (PARTIAL_ROUNDS[arity], 10),
        ((1 << 30) - 1, 30),
    )
    state = [int(bit) for value, width in fields for bit in f"{value:0{width}b}"]

    def step() -> int:
        bit = state[62] ^ state[51] ^ state[38] ^ state[23] ^ state[13] ^ state[0]
        state.append(bit)
        del state[0]
        return bit

    for _ in range(160):
        step()
    while True:
        is_kept, bit = step(), step()
        if is_kept:
            yield bit
