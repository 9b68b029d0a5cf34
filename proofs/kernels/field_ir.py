"""The scalar field as LLVM instructions: an element is four words of 64 bits, little-endian.

Products are Montgomery's: of x 2^256 and y 2^256 they make x y 2^256, so that constants and states
stay in that form. Held equal to `proofs/poseidon.py`. Source: Koç, Acar, Kaliski, "Analyzing and
Comparing Montgomery Multiplication Algorithms", 1996 (CIOS); its overflow word is always zero, as
the modulus has a bit to spare.
"""

from typing import Any, Final

from llvmlite import ir

from proofs.hashing import FIELD_MODULUS
from proofs.kernels.sha256_ir import load, store

Value = Any

_WORD_BITS: Final = 64
_WORDS: Final = 4
_WORD: Final = ir.IntType(_WORD_BITS)
_DOUBLE: Final = ir.IntType(2 * _WORD_BITS)
_ELEMENT: Final = ir.IntType(_WORDS * _WORD_BITS)
_MODULUS: Final = ir.Constant(_ELEMENT, FIELD_MODULUS)
_MODULUS_WORDS: Final = tuple(
    ir.Constant(_WORD, FIELD_MODULUS >> _WORD_BITS * place & (1 << _WORD_BITS) - 1)
    for place in range(_WORDS)
)
_NEGATED_INVERSE: Final = ir.Constant(_WORD, -pow(FIELD_MODULUS, -1, 1 << _WORD_BITS))


def add(builder: Value, target: Value, addend: Value) -> None:
    """Add the element at one address to that at another."""
    total = _sum(builder, load(builder, target, 0, _ELEMENT), load(builder, addend, 0, _ELEMENT))
    store(builder, total, target, 0)


def multiply(builder: Value, target: Value, left: Value, right: Value) -> None:
    """Write the product of the elements at two addresses to a third."""
    store(builder, _product(builder, left, right), target, 0)


def multiply_add(builder: Value, target: Value, left: Value, right: Value) -> None:
    """Add the product of the elements at two addresses to the one at a third."""
    before = load(builder, target, 0, _ELEMENT)
    store(builder, _sum(builder, before, _product(builder, left, right)), target, 0)


def _product(builder: Value, left: Value, right: Value) -> Value:
    factors = _words(builder, left)
    words = [ir.Constant(_WORD, 0)] * _WORDS
    for factor in _words(builder, right):
        upper, lowest = _multiply_add(builder, factors[0], factor, words[0])
        quotient = builder.mul(lowest, _NEGATED_INVERSE)
        # What is added makes the lowest word zero; the others move down by one.
        carry, _ = _multiply_add(builder, quotient, _MODULUS_WORDS[0], lowest)
        for place in range(1, _WORDS):
            upper, word = _multiply_add(builder, factors[place], factor, words[place], upper)
            carry, words[place - 1] = _multiply_add(
                builder, quotient, _MODULUS_WORDS[place], word, carry
            )
        words[-1] = builder.add(upper, carry)
    value = builder.zext(words[0], _ELEMENT)
    for place in range(1, _WORDS):
        shifted = builder.shl(
            builder.zext(words[place], _ELEMENT), ir.Constant(_ELEMENT, _WORD_BITS * place)
        )
        value = builder.or_(value, shifted)
    return _reduced(builder, value)


def _multiply_add(
    builder: Value, left: Value, right: Value, *addends: Value
) -> tuple[Value, Value]:
    """Return the upper and the lower word of left × right + up to two addends: all that fits."""
    total = builder.mul(builder.zext(left, _DOUBLE), builder.zext(right, _DOUBLE))
    for addend in addends:
        total = builder.add(total, builder.zext(addend, _DOUBLE))
    upper = builder.lshr(total, ir.Constant(_DOUBLE, _WORD_BITS))
    return builder.trunc(upper, _WORD), builder.trunc(total, _WORD)


def _words(builder: Value, address: Value) -> list[Value]:
    return [load(builder, address, 8 * place, _WORD) for place in range(_WORDS)]


def _sum(builder: Value, left: Value, right: Value) -> Value:
    # Both are below the modulus, which is below 2^255.
    return _reduced(builder, builder.add(left, right))


def _reduced(builder: Value, value: Value) -> Value:
    is_below = builder.icmp_unsigned("<", value, _MODULUS)
    return builder.select(is_below, value, builder.sub(value, _MODULUS))
