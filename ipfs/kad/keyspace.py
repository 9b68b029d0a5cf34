"""The space that peers and content share: SHA-256 keys, and the XOR distance between them."""

import hashlib
from random import Random
from typing import Final, NewType

Key = NewType("Key", int)
"""256 bits, the most significant first."""

KEY_BITS: Final = 256

_SHA256_MULTIHASH_PREFIX: Final = b"\x12\x20"


def key_of(multihash: bytes) -> Key:
    """Return where a peer id, or the multihash of a CID, lies (libp2p specs, `kad-dht`)."""
    return Key(int.from_bytes(hashlib.sha256(multihash).digest(), "big"))


def distance(a: Key, b: Key) -> int:
    """Return how far two keys are apart; zero only from a key to itself."""
    return a ^ b


def shared_prefix_bits(a: Key, b: Key) -> int:
    """Return how many leading bits two keys share: the bucket that one has in the other's table."""
    return KEY_BITS - distance(a, b).bit_length()


def preimage_near(own: Key, prefix_bits: int, random: Random) -> bytes:
    """Return a multihash whose key shares exactly `prefix_bits` leading bits with `own`.

    What is asked over the wire is hashed by who answers, so a key alone can't be looked up.
    Takes 2^(prefix_bits + 1) hashes on average: meant for a dozen bits.
    """
    while True:
        multihash = _SHA256_MULTIHASH_PREFIX + random.randbytes(32)
        if shared_prefix_bits(own, key_of(multihash)) == prefix_bits:
            return multihash
