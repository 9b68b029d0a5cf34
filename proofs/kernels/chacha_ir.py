"""ChaCha8's first two blocks for one key as LLVM instructions: as many draws as parents take.

The state's four rows are vectors of eight words: four of the first block, four of the second. A
column round turns whole rows; a diagonal round is one between rows rotated within their blocks.
Held equal to `proofs/graph.py`. Spec: RFC 8439 §2.3, with 8 rounds.
"""

from typing import Any

from llvmlite import ir

from proofs.kernels.sha256_ir import OCTET, QUAD, WORD, load, store, turned_right

Value = Any

_DOUBLE_ROUNDS = 4
_KEY_WORD_OF_NODE = 3


def two_blocks(builder: Value, fixed: Value, node: Value, target: Value) -> None:
    """Write 128 bytes of key stream to one address.

    fixed:  address of the 11 words before the node's: constants, and the key but for its last
    node:   the key's last word
    """
    upper = [_twice(builder, load(builder, fixed, at, QUAD)) for at in (0, 16)]
    ends = [load(builder, fixed, 32 + 4 * at, WORD) for at in range(_KEY_WORD_OF_NODE)]
    third = ir.Constant(OCTET, ir.Undefined)
    for at, word in enumerate((*ends, node) * 2):
        third = builder.insert_element(third, word, ir.Constant(WORD, at))
    counters = ir.Constant(OCTET, [0, 0, 0, 0, 1, 0, 0, 0])
    start = [*upper, third, counters]
    rows = start
    for _ in range(_DOUBLE_ROUNDS):
        rows = _round(builder, *rows)
        rows = [_rotated(builder, row, places) for places, row in enumerate(rows)]
        rows = _round(builder, *rows)
        rows = [_rotated(builder, row, -places) for places, row in enumerate(rows)]
    rows = [builder.add(row, first) for row, first in zip(rows, start, strict=True)]
    for block in range(2):
        lanes = ir.Constant(ir.VectorType(WORD, 4), [4 * block + at for at in range(4)])
        for at, row in enumerate(rows):
            part = builder.shuffle_vector(row, row, lanes)
            store(builder, part, target, 64 * block + 16 * at)


def _round(builder: Value, a: Value, b: Value, c: Value, d: Value) -> list[Value]:
    for count, other in ((16, 12), (8, 7)):
        a = builder.add(a, b)
        d = _turned_left(builder, builder.xor(d, a), count)
        c = builder.add(c, d)
        b = _turned_left(builder, builder.xor(b, c), other)
    return [a, b, c, d]


def _turned_left(builder: Value, row: Value, count: int) -> Value:
    return turned_right(builder, row, 32 - count)


def _twice(builder: Value, quad: Value) -> Value:
    return builder.shuffle_vector(quad, quad, ir.Constant(OCTET, [0, 1, 2, 3] * 2))


def _rotated(builder: Value, row: Value, places: int) -> Value:
    lanes = [4 * block + (at + places) % 4 for block in range(2) for at in range(4)]
    return builder.shuffle_vector(row, row, ir.Constant(OCTET, lanes))
