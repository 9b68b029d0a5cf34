"""Many keys announced with few lookups: who was found around one key also keeps its neighbours."""

from collections.abc import Sequence

from ipfs.host import PeerAddress
from ipfs.kad.keyspace import key_of, shared_prefix_bits


def serves(keepers: Sequence[PeerAddress], found_for: bytes, key: bytes, *, k: int) -> bool:
    """Whether the peers nearest to one key can keep another's record without a lookup of its own.

    keepers:  the nearest to `found_for`, nearest first; fewer than `k` are the whole network

    All who share a longer prefix with `found_for` than the farthest keeper does are known. If half
    of the keepers are such, and so is the key, they are the nearest to it too.
    """
    if len(keepers) < k:
        return True
    center = key_of(found_for)
    shared = [shared_prefix_bits(center, key_of(it.peer_id.multihash)) for it in keepers]
    inner = [bits for bits in shared if bits > shared[-1]]
    return len(inner) >= k // 2 and shared_prefix_bits(center, key_of(key)) > shared[-1]
