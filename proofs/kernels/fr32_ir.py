"""fr32 of one quad as LLVM instructions: 127 bytes are 128, four elements of 254 bits.

Both sides are 16 words of 64 bits, little-endian; the payload's last has seven bytes. Held equal
to `proofs/fr32.py`.
"""

from typing import Any, Final

from llvmlite import ir

from proofs.kernels.sha256_ir import load, store

Value = Any
LONG: Final = ir.IntType(64)

_ELEMENT_BITS = 254
_WORD_BITS = 64
_WORDS = 16
_WORDS_OF_ELEMENT = 4
_LAST_WORD_MASK = (1 << _ELEMENT_BITS % _WORD_BITS) - 1
_TAIL_BYTES = 119
"""Where a word lies that ends with the payload's last byte: none may be touched behind it."""


def pad_quad(builder: Value, source: Value, target: Value) -> None:
    """Read 127 bytes at one address and write 128 at another."""
    words = [load(builder, source, 8 * at, LONG) for at in range(_WORDS - 1)]
    words.append(_shift_right(builder, load(builder, source, _TAIL_BYTES, LONG), 8))
    for at in range(_WORDS):
        element, place = divmod(at, _WORDS_OF_ELEMENT)
        first, turned = divmod(_ELEMENT_BITS * element + _WORD_BITS * place, _WORD_BITS)
        word = _shift_right(builder, words[first], turned)
        if turned and first + 1 < _WORDS:
            word = builder.or_(word, _shift_left(builder, words[first + 1], _WORD_BITS - turned))
        if place == _WORDS_OF_ELEMENT - 1:
            word = builder.and_(word, ir.Constant(LONG, _LAST_WORD_MASK))
        store(builder, word, target, 8 * at)


def unpad_quad(builder: Value, source: Value, target: Value) -> None:
    """Read 128 bytes at one address and write 127 at another; bits 254 and 255 are dropped."""
    padded = [load(builder, source, 8 * at, LONG) for at in range(_WORDS)]
    for at in range(_WORDS_OF_ELEMENT - 1, _WORDS, _WORDS_OF_ELEMENT):
        padded[at] = builder.and_(padded[at], ir.Constant(LONG, _LAST_WORD_MASK))
    words = [_payload_word(builder, padded, _WORD_BITS * at) for at in range(_WORDS)]
    tail = builder.or_(
        _shift_left(builder, words[-1], 8), _shift_right(builder, words[-2], _WORD_BITS - 8)
    )
    for at, word in enumerate(words[:-1]):
        store(builder, word, target, 8 * at)
    store(builder, tail, target, _TAIL_BYTES)


def _payload_word(builder: Value, padded: list[Value], start: int) -> Value:
    """Return the 64 bits of the payload from one on: of an element, and of the next one."""
    element, offset = divmod(start, _ELEMENT_BITS)
    at, turned = divmod(offset, _WORD_BITS)
    first = _WORDS_OF_ELEMENT * element
    word = _shift_right(builder, padded[first + at], turned)
    if turned and at + 1 < _WORDS_OF_ELEMENT:
        above = _shift_left(builder, padded[first + at + 1], _WORD_BITS - turned)
        word = builder.or_(word, above)
    left = _ELEMENT_BITS - offset
    if left < _WORD_BITS and first + _WORDS_OF_ELEMENT < _WORDS:
        following = padded[first + _WORDS_OF_ELEMENT]
        word = builder.or_(word, _shift_left(builder, following, left))
    return word


def _shift_right(builder: Value, word: Value, count: int) -> Value:
    return builder.lshr(word, ir.Constant(LONG, count)) if count else word


def _shift_left(builder: Value, word: Value, count: int) -> Value:
    return builder.shl(word, ir.Constant(LONG, count)) if count else word
