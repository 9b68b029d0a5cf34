"""Merkle roots over lists of bytes, leaves and nodes hashed apart (RFC 6962 §2.1)."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence


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


class StateTree:
    """The tree over a whole state, its leaves hashed once: a change costs its own leaves.

    A value: `changed` returns another one. The nodes are hashed anew for each root.
    """

    def __init__(self, leaves: Mapping[str, bytes]) -> None:
        self._leaves = leaves

    @classmethod
    def of(cls, entries: Iterable[tuple[str, bytes]]) -> "StateTree":
        """Return the tree over key and record bytes of every entity, in any order."""
        return cls({}).changed(entries, removes=())

    def changed(
        self, writes: Iterable[tuple[str, bytes]], *, removes: Iterable[str]
    ) -> "StateTree":
        """Return the tree with other records under some keys, and without some that it has."""
        leaves = dict(self._leaves)
        for key in removes:
            del leaves[key]
        kept_count = len(leaves)
        leaves.update((key, leaf_hash(key.encode() + b"\0" + record)) for key, record in writes)
        if len(leaves) > kept_count:
            # New keys came last. Text sorts as its UTF-8 does.
            leaves = dict(sorted(leaves.items()))
        return StateTree(leaves)

    def root(self) -> bytes:
        """Return the root."""
        return root_of(tuple(self._leaves.values()))
