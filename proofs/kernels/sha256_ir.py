"""One SHA-256 compression as LLVM instructions, in two dialects that numba can inline.

`portable` works on any type of 32-bit lanes, so that one lane serves labels and eight serve
trees. `sha_ni` uses the x86 SHA extensions, whose state is two vectors, FEBA and HGDC from the
lowest lane up (Intel SDM, SHA256RNDS2), and interleaves independent messages, because one alone
waits for each round. Spec: FIPS 180-4 §6.2.
"""

from collections.abc import Sequence
from typing import Any, Final

from llvmlite import ir

from proofs.kernels.sha256_constants import (
    PADDING_OF_64_BYTES,
    ROUND_CONSTANTS,
    scheduled,
)

Value = Any
"""An `llvmlite.ir` value; llvmlite ships no types."""

WORD: Final = ir.IntType(32)
QUAD: Final = ir.VectorType(WORD, 4)
OCTET: Final = ir.VectorType(WORD, 8)


def address_at(builder: Value, address: Value, offset_bytes: int, kind: Value) -> Value:
    """Return a pointer of one type, some bytes behind an integer address."""
    moved = builder.add(address, ir.Constant(address.type, offset_bytes))
    return builder.inttoptr(moved, kind.as_pointer())


def load(builder: Value, address: Value, offset_bytes: int, kind: Value) -> Value:
    """Return the value behind an address; nothing about its alignment is assumed."""
    return builder.load(address_at(builder, address, offset_bytes, kind), align=1)


def store(builder: Value, value: Value, address: Value, offset_bytes: int) -> None:
    """Write a value behind an address; nothing about its alignment is assumed."""
    builder.store(value, address_at(builder, address, offset_bytes, value.type), align=1)


def prefetch(builder: Value, address: Value) -> None:
    """Ask for the cache line behind an address, to be read soon."""
    pointer = builder.inttoptr(address, ir.IntType(8).as_pointer())
    signature = ir.FunctionType(ir.VoidType(), [pointer.type, WORD, WORD, WORD])
    name = "llvm.prefetch.p0i8"
    function = builder.module.globals.get(name) or ir.Function(builder.module, signature, name)
    # For reading, kept in every cache, as data (LLVM language reference, llvm.prefetch).
    builder.call(function, [pointer, *(ir.Constant(WORD, value) for value in (0, 3, 1))])


def swap_bytes(builder: Value, value: Value) -> Value:
    """Return the value with the bytes of each 32-bit lane reversed."""
    return _call(builder, "llvm.bswap", value.type, value)


def splat(kind: Value, word: int) -> Value:
    """Return a constant with one word in every lane of a type."""
    return ir.Constant(kind, [word] * kind.count if isinstance(kind, ir.VectorType) else word)


def portable(builder: Value, state: Sequence[Value], words: Sequence[Value] | None) -> list[Value]:
    """Compress one block in every lane.

    state:    8 values, a … h
    words:    16 values, the block's words; None for the padding after a 64-byte message,
              whose schedule is a constant
    returns:  the 8 values of the next state
    """
    kind = state[0].type
    schedule = list(words) if words is not None else []
    a, b, c, d, e, f, g, h = state
    for index, constant in enumerate(ROUND_CONSTANTS):
        if words is None:
            term = splat(kind, (scheduled(PADDING_OF_64_BYTES)[index] + constant) & 0xFFFFFFFF)
        else:
            if index >= 16:
                schedule.append(_next_word(builder, schedule[-16:]))
            term = builder.add(schedule[index], splat(kind, constant))
        choice = builder.xor(g, builder.and_(e, builder.xor(f, g)))
        majority = builder.or_(builder.and_(a, b), builder.and_(c, builder.or_(a, b)))
        first = builder.add(
            builder.add(h, term), builder.add(choice, _turns(builder, e, 6, 11, 25))
        )
        second = builder.add(majority, _turns(builder, a, 2, 13, 22))
        a, b, c, d, e, f, g, h = builder.add(first, second), a, b, c, builder.add(d, first), e, f, g
    return [builder.add(old, new) for old, new in zip(state, (a, b, c, d, e, f, g, h), strict=True)]


def _next_word(builder: Value, window: Sequence[Value]) -> Value:
    early, late = window[1], window[14]
    small = builder.xor(_turns(builder, early, 7, 18), _shift(builder, early, 3))
    large = builder.xor(_turns(builder, late, 17, 19), _shift(builder, late, 10))
    return builder.add(builder.add(window[0], small), builder.add(window[9], large))


def turned_right(builder: Value, value: Value, count: int) -> Value:
    """Return the value with each 32-bit lane rotated right."""
    return _call(builder, "llvm.fshr", value.type, value, value, splat(value.type, count))


def _turns(builder: Value, value: Value, *counts: int) -> Value:
    """Return the exclusive or of the value rotated right by each count."""
    first, *others = (turned_right(builder, value, count) for count in counts)
    for other in others:
        first = builder.xor(first, other)
    return first


def _shift(builder: Value, value: Value, count: int) -> Value:
    return builder.lshr(value, splat(value.type, count))


def sha_ni(
    builder: Value, states: Sequence[tuple[Value, Value]], blocks: Sequence[list[Value]] | None
) -> list[tuple[Value, Value]]:
    """Compress one block of each of several independent messages, in lockstep.

    states:   per message its two state vectors
    blocks:   per message its block's words as 4 vectors; None for the padding after a 64-byte
              message
    returns:  the next states
    """
    schedules = [list(block) for block in blocks] if blocks is not None else []
    now = list(states)
    for group in range(16):
        constants = ROUND_CONSTANTS[4 * group : 4 * group + 4]
        for lane, (abef, cdgh) in enumerate(now):
            if blocks is None:
                padding = scheduled(PADDING_OF_64_BYTES)[4 * group : 4 * group + 4]
                sums = [(a + b) & 0xFFFFFFFF for a, b in zip(padding, constants, strict=True)]
                term = ir.Constant(QUAD, sums)
            else:
                if group >= 4:
                    schedules[lane].append(_next_quad(builder, *schedules[lane][-4:]))
                term = builder.add(schedules[lane][group], ir.Constant(QUAD, list(constants)))
            cdgh = _x86(builder, "sha256rnds2", cdgh, abef, term)  # noqa: PLW2901  rounds update it
            upper = builder.shuffle_vector(term, term, ir.Constant(QUAD, [2, 3, 2, 3]))
            abef = _x86(builder, "sha256rnds2", abef, cdgh, upper)  # noqa: PLW2901
            now[lane] = (abef, cdgh)
    return [
        (builder.add(old[0], new[0]), builder.add(old[1], new[1]))
        for old, new in zip(states, now, strict=True)
    ]


def _next_quad(builder: Value, first: Value, second: Value, third: Value, last: Value) -> Value:
    middle = builder.shuffle_vector(third, last, ir.Constant(QUAD, [1, 2, 3, 4]))
    partial = builder.add(_x86(builder, "sha256msg1", first, second), middle)
    return _x86(builder, "sha256msg2", partial, last)


def _x86(builder: Value, name: str, *arguments: Value) -> Value:
    return _call_exact(builder, f"llvm.x86.{name}", QUAD, arguments)


def _call(builder: Value, name: str, kind: Value, *arguments: Value) -> Value:
    suffix = f"v{kind.count}i32" if isinstance(kind, ir.VectorType) else "i32"
    return _call_exact(builder, f"{name}.{suffix}", kind, arguments)


def _call_exact(builder: Value, name: str, kind: Value, arguments: Sequence[Value]) -> Value:
    function = builder.module.globals.get(name)
    if function is None:
        signature = ir.FunctionType(kind, [argument.type for argument in arguments])
        function = ir.Function(builder.module, signature, name)
    return builder.call(function, arguments)
