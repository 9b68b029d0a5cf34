"""Sharded directories (HAMT): a tree of shards, entries placed by the hash of their names.

A link's name is its bucket in hexadecimal, and then the entry's name; a bucket with nothing after
it is a shard further down, placed by the next bits of the hash (specs.ipfs.tech/unixfs, "HAMT").
"""

from collections.abc import Callable, Iterable
from typing import Final

from ipfs.dag_pb import PBLink
from ipfs.unixfs.errors import EntryUnsupported
from ipfs.unixfs.header import Header, Metadata, NodeType
from ipfs.unixfs.murmur3 import murmur3_x64_64

HASH_BITS: Final = 64
HASH_MURMUR3_X64_64: Final = 0x22
"""The only hash that sharded directories use (multicodec table)."""

FANOUT: Final = 256
"""Buckets a shard in every profile; readers take other powers of two."""

FANOUT_MAX: Final = 1024
"""boxo `hamt`."""


def place_of(name: str, *, level: int, fanout: int) -> int:
    """Return the bits of the hash that lead to the entry's bucket in a shard of this level.

    The root's level is 0. The last of the bits are the bucket, those before are the way there.
    """
    return murmur3_x64_64(name.encode()) >> HASH_BITS - _bucket_bits(fanout) * (level + 1)


def levels_max(fanout: int) -> int:
    """Return how many levels of shards the hash has bits for."""
    return HASH_BITS // _bucket_bits(fanout)


def bucket_digits(fanout: int) -> int:
    """Return how many hexadecimal digits name a bucket."""
    return (fanout.bit_length() + 2) // 4


def build_shards(
    links: Iterable[PBLink],
    metadata: Metadata,
    *,
    add_node: Callable[[Header, tuple[PBLink, ...]], PBLink],
) -> PBLink:
    """Return the nameless link to the root of the shards that hold these links.

    add_node:  makes the node of a header and its links, and returns the nameless link to it
    Raises `EntryUnsupported` for names that no number of levels tells apart.
    """
    hashed = [(murmur3_x64_64((link.name or "").encode()), link) for link in links]
    hashed.sort(key=lambda entry: entry[0])
    return _build(hashed, 0, metadata, add_node)


def _bucket_bits(fanout: int) -> int:
    return fanout.bit_length() - 1


def _build(
    hashed: list[tuple[int, PBLink]],
    level: int,
    metadata: Metadata,
    add_node: Callable[[Header, tuple[PBLink, ...]], PBLink],
) -> PBLink:
    """Make the shard of entries that share the hash bits of the levels above, sorted by hash."""
    if level == levels_max(FANOUT):
        raise EntryUnsupported(hashed[0][1].name or "", "another name of the folder has its hash")
    shift = HASH_BITS - (level + 1) * _bucket_bits(FANOUT)
    buckets: dict[int, list[tuple[int, PBLink]]] = {}
    for entry in hashed:
        buckets.setdefault(entry[0] >> shift & FANOUT - 1, []).append(entry)
    links = []
    for bucket, inside in buckets.items():
        name = f"{bucket:02X}"
        if len(inside) == 1:
            [(_, link)] = inside
            name += link.name or ""
        else:
            link = _build(inside, level + 1, Metadata(), add_node)
        links.append(PBLink(link.cid, name, link.tsize))
    bits = sum(1 << bucket for bucket in buckets)
    header = Header(
        NodeType.HAMT_SHARD,
        bits.to_bytes((bits.bit_length() + 7) // 8),
        hash_type=HASH_MURMUR3_X64_64,
        fanout=FANOUT,
        metadata=metadata,
    )
    return add_node(header, tuple(links))
