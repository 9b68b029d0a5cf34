"""The compression, fr32 and the field as functions that compiled loops call, in their dialect.

The dialect is a literal at compile time: code for SHA-NI is not even generated for a machine
without it, where LLVM would abort the process. Addresses are integers, so whoever calls keeps the
arrays behind them alive.
"""

from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any, Final

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from proofs.kernels import chacha_ir, field_ir, fr32_ir
from proofs.kernels import sha256_ir as emit
from proofs.kernels.sha256_constants import INITIAL_STATE

LANES: Final = 8
"""Pairs that are hashed together, in either dialect."""

_A, _B, _C, _D, _E, _F, _G, _H = INITIAL_STATE
_SHA_NI_START: Final = (
    ir.Constant(emit.QUAD, [_F, _E, _B, _A]),
    ir.Constant(emit.QUAD, [_H, _G, _D, _C]),
)
_SHA_NI_ORDER: Final = (3, 2, 7, 6, 1, 0, 5, 4)
"""Where the words a … h lie in the state that SHA-NI works on."""

_TRUNCATED: Final = 0x3FFFFFFF
"""A node's last word, little-endian as stored, keeps 30 bits."""

Builder = Any
Address = Any


def _copy_node(builder: Builder, source: Address, target: Address) -> None:
    # In halves, as digests are stored: what waits for a store to be read back reads all of it.
    for at in (0, 16):
        emit.store(builder, emit.load(builder, source, at, emit.QUAD), target, at)


def _hash_blocks_sha_ni(builder: Builder, lanes: int, *arguments: Any) -> None:
    def compress(states: Sequence[Any], blocks: Sequence[Address]) -> list[Any]:
        return emit.sha_ni(builder, states, [_load_quads(builder, block, 0) for block in blocks])

    states, targets = _chained(builder, [_SHA_NI_START] * lanes, compress, *arguments)
    for state, target in zip(states, targets, strict=True):
        _store_digest_sha_ni(builder, state, target, 0)


def _hash_blocks_portable(builder: Builder, lanes: int, *arguments: Any) -> None:
    def compress(states: Sequence[Any], blocks: Sequence[Address]) -> list[Any]:
        return [
            emit.portable(builder, state, _load_words(builder, block))
            for state, block in zip(states, blocks, strict=True)
        ]

    start = [emit.splat(emit.WORD, word) for word in INITIAL_STATE]
    states, targets = _chained(builder, [start] * lanes, compress, *arguments)
    for state, target in zip(states, targets, strict=True):
        for at, word in enumerate(state):
            swapped = emit.swap_bytes(builder, word)
            if at == 7:
                swapped = builder.and_(swapped, emit.splat(emit.WORD, _TRUNCATED))
            emit.store(builder, swapped, target, 4 * at)


def _chained(
    builder: Builder, start: Sequence[Sequence[Any]],
    compress: Callable[[Sequence[Any], Sequence[Address]], Sequence[Sequence[Any]]],
    blocks: Address, wanted: Address, count: Any, targets: Address,
) -> tuple[list[list[Any]], list[Address]]:  # fmt: skip
    """Compress each lane's blocks one after the other; return the last states, and the targets.

    The states stay in registers: read back from memory they cost a chain a twentieth.
    """

    def addresses(table: Address, row: Any) -> list[Address]:
        places = builder.add(table, builder.mul(row, ir.Constant(row.type, 8 * len(start))))
        return [emit.load(builder, places, 8 * lane, places.type) for lane in range(len(start))]

    states = [[_variable(builder, value) for value in state] for state in start]
    with cgutils.for_range(builder, count) as loop:
        # A few with every block: all at once are more than a core can have on their way.
        for address in addresses(wanted, loop.index):
            emit.prefetch(builder, address)
        before = [[builder.load(place) for place in state] for state in states]
        after = compress(before, addresses(blocks, loop.index))
        for places, values in zip(states, after, strict=True):
            for place, value in zip(places, values, strict=True):
                builder.store(value, place)
    first = ir.Constant(targets.type, 0)
    return [[builder.load(at) for at in state] for state in states], addresses(targets, first)


def _variable(builder: Builder, value: Any) -> Any:
    """Return a place that holds a value, which LLVM makes a register."""
    return cgutils.alloca_once_value(builder, value)  # type: ignore[no-untyped-call]  # numba has no types


def _hash_pairs_sha_ni(builder: Builder, source: Address, target: Address) -> None:
    blocks = [_load_quads(builder, source, 64 * lane) for lane in range(LANES)]
    states = emit.sha_ni(builder, [_SHA_NI_START] * LANES, blocks)
    for lane, state in enumerate(emit.sha_ni(builder, states, None)):
        _store_digest_sha_ni(builder, state, target, 32 * lane)


def _store_digest_sha_ni(
    builder: Builder, state: Sequence[Any], target: Address, offset_bytes: int
) -> None:
    for at, places in ((0, _SHA_NI_ORDER[:4]), (16, _SHA_NI_ORDER[4:])):
        words = builder.shuffle_vector(*state, ir.Constant(emit.QUAD, list(places)))
        words = emit.swap_bytes(builder, words)
        if at:
            words = builder.and_(words, ir.Constant(emit.QUAD, [~0, ~0, ~0, _TRUNCATED]))
        emit.store(builder, words, target, offset_bytes + at)


def _hash_pairs_portable(builder: Builder, source: Address, target: Address) -> None:
    lanes = [(lane, ir.Constant(emit.WORD, lane)) for lane in range(LANES)]
    words = []
    for at in range(16):
        vector = ir.Constant(emit.OCTET, ir.Undefined)
        for lane, place in lanes:
            word = emit.load(builder, source, 64 * lane + 4 * at, emit.WORD)
            vector = builder.insert_element(vector, word, place)
        words.append(emit.swap_bytes(builder, vector))
    start = [emit.splat(emit.OCTET, word) for word in INITIAL_STATE]
    state = emit.portable(builder, emit.portable(builder, start, words), None)
    for at, vector in enumerate(state):
        swapped = emit.swap_bytes(builder, vector)
        if at == 7:
            swapped = builder.and_(swapped, emit.splat(emit.OCTET, _TRUNCATED))
        for lane, place in lanes:
            word = builder.extract_element(swapped, place)
            emit.store(builder, word, target, 32 * lane + 4 * at)


def _load_quads(builder: Builder, address: Address, offset_bytes: int) -> list[Any]:
    """Return the 64 bytes of a block as 4 vectors of its words."""
    return [
        emit.swap_bytes(builder, emit.load(builder, address, offset_bytes + at, emit.QUAD))
        for at in (0, 16, 32, 48)
    ]


def _load_words(builder: Builder, address: Address) -> list[Any]:
    """Return the 64 bytes of a block as its 16 words."""
    return [
        emit.swap_bytes(builder, emit.load(builder, address, 4 * at, emit.WORD)) for at in range(16)
    ]


def _called(emitted: Callable[..., None]) -> Any:
    """Return what compiled code calls, with addresses and numbers, to have instructions emitted."""

    @wraps(emitted)  # numba reads the parameters, the builder's being the context's
    def typed(_context: Any, *kinds: Any) -> Any:
        def generate(_: Any, builder: Builder, _signature: Any, arguments: Any) -> None:
            emitted(builder, *arguments)

        return types.void(*kinds), generate

    return intrinsic(typed)


def _hash_blocks(
    _context: Any, sha_ni: Any, lanes: Any, blocks: Any, wanted: Any, count: Any, targets: Any
) -> Any:
    """Hash one message a lane, all of as many whole blocks, in lockstep, into truncated nodes.

    blocks:   address of (count, lanes) addresses, of each message's blocks in turn
    wanted:   address of as many addresses, of what is read soon
    targets:  address of (lanes) addresses, of the nodes
    """
    if not (isinstance(sha_ni, types.Literal) and isinstance(lanes, types.Literal)):
        return None
    emitted = _hash_blocks_sha_ni if sha_ni.literal_value else _hash_blocks_portable

    def generate(_: Any, builder: Builder, _signature: Any, arguments: Any) -> None:
        emitted(builder, lanes.literal_value, *arguments[2:])

    return types.void(sha_ni, lanes, blocks, wanted, count, targets), generate


# Declared as what they become: in compiled code the context argument is gone.
hash_blocks: Any = intrinsic(prefer_literal=True)(_hash_blocks)
copy_node = _called(_copy_node)
hash_pairs_sha_ni = _called(_hash_pairs_sha_ni)
hash_pairs_portable = _called(_hash_pairs_portable)
pad_quad = _called(fr32_ir.pad_quad)
unpad_quad = _called(fr32_ir.unpad_quad)
two_chacha_blocks = _called(chacha_ir.two_blocks)
add = _called(field_ir.add)
multiply = _called(field_ir.multiply)
multiply_add = _called(field_ir.multiply_add)
