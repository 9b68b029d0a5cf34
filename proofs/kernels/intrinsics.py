"""The compression, fr32 and the field as functions that compiled loops call, in their dialect.

The dialect is a literal at compile time: code for SHA-NI is not even generated for a machine
without it, where LLVM would abort the process. Addresses are integers, so whoever calls keeps the
arrays behind them alive.
"""

from collections.abc import Callable
from functools import wraps
from typing import Any, Final

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from proofs.kernels import chacha_ir, field_ir, fr32_ir
from proofs.kernels import sha256_ir as emit
from proofs.kernels.sha256_constants import INITIAL_STATE

LANES: Final = 8
"""Pairs that are hashed together, in either dialect."""

SHA_NI_STATE_ORDER: Final = (3, 2, 7, 6, 1, 0, 5, 4)
"""Where the words a … h lie in the state that SHA-NI works on: F E B A, H G D C."""

PORTABLE_STATE_ORDER: Final = (0, 1, 2, 3, 4, 5, 6, 7)

_TRUNCATED: Final = 0x3FFFFFFF
"""A node's last word, little-endian as stored, keeps 30 bits."""

Builder = Any
Address = Any


def _compress_sha_ni(builder: Builder, state: Address, block: Address) -> None:
    before = (emit.load(builder, state, 0, emit.QUAD), emit.load(builder, state, 16, emit.QUAD))
    [(abef, cdgh)] = emit.sha_ni(builder, [before], [_load_quads(builder, block, 0)])
    emit.store(builder, abef, state, 0)
    emit.store(builder, cdgh, state, 16)


def _compress_portable(builder: Builder, state: Address, block: Address) -> None:
    words = [
        emit.swap_bytes(builder, emit.load(builder, block, 4 * at, emit.WORD)) for at in range(16)
    ]
    before = [emit.load(builder, state, 4 * at, emit.WORD) for at in range(8)]
    for at, word in enumerate(emit.portable(builder, before, words)):
        emit.store(builder, word, state, 4 * at)


def _hash_pairs_sha_ni(builder: Builder, source: Address, target: Address) -> None:
    a, b, c, d, e, f, g, h = INITIAL_STATE
    start = (ir.Constant(emit.QUAD, [f, e, b, a]), ir.Constant(emit.QUAD, [h, g, d, c]))
    blocks = [_load_quads(builder, source, 64 * lane) for lane in range(LANES)]
    states = emit.sha_ni(builder, [start] * LANES, blocks)
    for lane, (abef, cdgh) in enumerate(emit.sha_ni(builder, states, None)):
        for at, places in ((0, SHA_NI_STATE_ORDER[:4]), (16, SHA_NI_STATE_ORDER[4:])):
            words = builder.shuffle_vector(abef, cdgh, ir.Constant(emit.QUAD, list(places)))
            words = emit.swap_bytes(builder, words)
            if at:
                words = builder.and_(words, ir.Constant(emit.QUAD, [~0, ~0, ~0, _TRUNCATED]))
            emit.store(builder, words, target, 32 * lane + at)


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


def _called(emitted: Callable[..., None]) -> Any:
    """Return what compiled code calls, with addresses and numbers, to have instructions emitted."""

    @wraps(emitted)  # numba reads the parameters, the builder's being the context's
    def typed(_context: Any, *kinds: Any) -> Any:
        def generate(_: Any, builder: Builder, _signature: Any, arguments: Any) -> None:
            emitted(builder, *arguments)

        return types.void(*kinds), generate

    return intrinsic(typed)


def _compress(_context: Any, sha_ni: Any, state: Any, block: Any) -> Any:
    """Compress the 64-byte block at one address into the state at another."""
    if not isinstance(sha_ni, types.Literal):
        return None
    emitted = _compress_sha_ni if sha_ni.literal_value else _compress_portable

    def generate(_: Any, builder: Builder, _signature: Any, arguments: Any) -> None:
        emitted(builder, arguments[1], arguments[2])

    return types.void(sha_ni, state, block), generate


# Declared as what they become: in compiled code the context argument is gone.
compress: Any = intrinsic(prefer_literal=True)(_compress)
hash_pairs_sha_ni = _called(_hash_pairs_sha_ni)
hash_pairs_portable = _called(_hash_pairs_portable)
pad_quad = _called(fr32_ir.pad_quad)
unpad_quad = _called(fr32_ir.unpad_quad)
two_chacha_blocks = _called(chacha_ir.two_blocks)
prefetch = _called(emit.prefetch)
add = _called(field_ir.add)
multiply = _called(field_ir.multiply)
multiply_add = _called(field_ir.multiply_add)
