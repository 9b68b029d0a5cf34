"""Merkle roots over lists of bytes, leaves and nodes hashed apart (RFC 6962 §2.1)."""

import hashlib
from collections.abc import Iterable, Sequence


def leaf_hash(leaf: bytes) -> bytes:
    """Return the hash of one leaf."""
    return hashlib.sha256(b"\0" + leaf).digest()


def root_of(leaf_hashes: Sequence[bytes]) -> bytes:
    """Return the root over leaves already hashed by `leaf_hash`; of nothing, SHA-256 of nothing."""
    if not leaf_hashes:
        return hashlib.sha256().digest()
    row = list(leaf_hashes)
    while len(row) > 1:
        pairs = zip(row[::2], row[1::2], strict=False)
        odd = row[-1:] if len(row) % 2 else []
        row = [hashlib.sha256(b"\1" + left + right).digest() for left, right in pairs] + odd
    return row[0]


def state_root(entries: Iterable[tuple[str, bytes]]) -> bytes:
    """Return the root over the whole state.

    entries:  key and record bytes of every entity, in any order
    """
    ordered = sorted((key.encode(), record) for key, record in entries)
    return root_of([leaf_hash(key + b"\0" + record) for key, record in ordered])
