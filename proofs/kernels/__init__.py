"""The fast versions of hashing, fr32 and labels; each held equal to its readable twin.

The level is chosen once, when first needed: SHA-NI where numba compiles for it, else eight lanes
of portable vectors, else hashlib. `HOLDFAST_KERNELS` names a level to force.
"""

import os
from collections.abc import Sequence
from functools import cache
from typing import Final, Protocol

from proofs.graph import Graph
from proofs.kernels import hashlib_level
from proofs.kernels.arrays import ByteArray, Chain, IndexArray, NodeArray, ParentArray

LEVELS: Final = ("sha-ni", "portable", "hashlib")
"""From the fastest to the one that always works."""


class Level(Protocol):
    """What every level offers; `hashlib_level` says what each function does."""

    def pad(self, payload: ByteArray, target: ByteArray) -> None: ...
    def unpad(self, padded: ByteArray, target: ByteArray) -> None: ...
    def parents(self, graph: Graph, first: int, count: int) -> ParentArray: ...
    def hash_pairs(self, source: NodeArray, target: NodeArray) -> None: ...
    def climb(self, leaves: IndexArray, nodes: NodeArray, depth: int) -> bytes: ...
    def hash_messages(self, messages: ByteArray, target: NodeArray) -> None: ...
    def hash_elements(self, rows: ByteArray, target: NodeArray) -> None: ...
    def label_nodes(self, chains: Sequence[Chain], first: int, parents: ParentArray) -> None: ...


class UnknownLevel(ValueError):
    """`HOLDFAST_KERNELS` names no level, or one that this machine doesn't have."""

    code = "config-invalid"


def level_of(name: str) -> Level:
    """Return one level by name.

    Raises `UnknownLevel` when there is none of that name here.
    """
    if name == "hashlib":
        return hashlib_level
    if name not in available():
        raise UnknownLevel(f"kernels {name!r}: this machine has {', '.join(available())}")
    from proofs.kernels.numba_level import NumbaLevel

    return NumbaLevel(sha_ni=name == "sha-ni")


@cache
def available() -> tuple[str, ...]:
    """Return the names of the levels that this machine can run, fastest first."""
    try:
        from proofs.kernels.numba_level import compiles_for_sha_ni
    except ImportError:  # no numba for this platform
        return LEVELS[2:]
    return LEVELS if compiles_for_sha_ni() else LEVELS[1:]


@cache
def level_name() -> str:
    """Return the name of the level in use."""
    return os.environ.get("HOLDFAST_KERNELS") or available()[0]


@cache
def level() -> Level:
    """Return the level in use."""
    return level_of(level_name())


class _Thrift:
    """Counts what was hashed without compiled code, until loading it would have paid."""

    hashes_left = 100_000


def level_for(hash_count: int) -> Level:
    """Return the level for some hashes of a verifier: the one in use, once that is worth it.

    Who verifies little, or is just starting, does not wait for numba: hashlib takes a microsecond
    a hash, loading numba half a second, compiling one more.
    """
    if _Thrift.hashes_left > 0:
        _Thrift.hashes_left -= hash_count
    return hashlib_level if _Thrift.hashes_left > 0 else level()


def chosen() -> dict[str, str]:
    """Return which implementation serves each kernel, for `holdfast version --json`.

    Raises `UnknownLevel` when `HOLDFAST_KERNELS` asks for what this machine doesn't have.
    """
    level()
    rest = "numpy" if level_name() == "hashlib" else "compiled"
    return {
        "sha256-tree": level_name(),
        "labels": level_name(),
        "fr32": rest,
        "parents": rest,
        "poseidon": "python" if level_name() == "hashlib" else "compiled",
    }
