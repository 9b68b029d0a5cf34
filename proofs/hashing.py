"""Node hash, field arithmetic and domain separation: what every commitment is made of."""

from collections.abc import Iterator
from hashlib import sha256
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from hashlib import _Hash

NODE_BYTES: Final = 32

FIELD_MODULUS: Final = 0x73EDA753299D7D483339D80809A1D80553BDA402FFFE5BFEFFFFFFFF00000001
"""The BLS12-381 scalar field, in which replica node = data node + key (IETF BLS draft, `r`)."""


LAST_BYTE_MAX: Final = 0x3F
"""What the last byte of a node below 2^254 can be."""


def truncate(digest: bytes) -> bytes:
    """Clear the two highest bits of a little-endian node, so that it is below 2^254."""
    return digest[:-1] + bytes([digest[-1] & LAST_BYTE_MAX])


def is_truncated(node: bytes) -> bool:
    """Return whether a node is below 2^254, as every data node, label and hash is."""
    return node[-1] <= LAST_BYTE_MAX


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return the parent of two nodes: SHA-256 truncated to 254 bits.

    Source: rust-fil-proofs `filecoin-hashers/src/sha256.rs`.
    """
    return truncate(sha256(left + right).digest())


def column_hash(labels: bytes) -> bytes:
    """Return the leaf of CommC for one node: the hash of its label in every layer, in order."""
    return truncate(sha256(labels).digest())


def tagged_hash(tag: str, *parts: bytes) -> bytes:
    """Return SHA-256 over a tag and parts, each with its length before it.

    The lengths make two different lists of parts hash to different values; the tag keeps a hash
    made for one purpose from serving another.
    """
    return _tagged(tag, *parts).digest()


def tagged_draws(tag: str, *parts: bytes, count: int) -> Iterator[int]:
    """Yield a number for each index below `count`: `tagged_hash` of the parts and the index.

    The index is 8 bytes, big-endian, as is the number of 32.
    """
    state = _tagged(tag, *parts)
    for index in range(count):
        drawn = state.copy()
        drawn.update(b"\0\0\0\x08" + index.to_bytes(8, "big"))
        yield int.from_bytes(drawn.digest(), "big")


def _tagged(tag: str, *parts: bytes) -> "_Hash":
    state = sha256()
    for part in (f"holdfast/{tag}/1".encode(), *parts):
        state.update(len(part).to_bytes(4, "big") + part)
    return state


def comm_r(comm_c: bytes, comm_r_last: bytes) -> bytes:
    """Return CommR, which commits a sector to its columns and its replica.

    Truncated to 254 bits as every other commitment is, so that one rule says what a commitment
    may look like.
    """
    return truncate(tagged_hash("comm-r", comm_c, comm_r_last))
