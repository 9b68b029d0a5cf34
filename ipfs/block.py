"""A block: bytes that match their CID."""

from dataclasses import dataclass
from typing import Final, Self

from ipfs.cid import CID
from ipfs.errors import WrongBlock

BLOCK_BYTES_MAX: Final = 2 * 1024 * 1024
"""What Bitswap peers accept (boxo `bitswap`, IPIP block limit)."""


@dataclass(frozen=True, slots=True)
class Block:
    """Bytes under their CID. Made by `of` from our own bytes, by `checked` from a stranger's."""

    cid: CID
    data: bytes

    @classmethod
    def of(cls, codec: int, data: bytes, *, version: int = 1) -> Self:
        """Return the block of these bytes under their sha2-256 CID."""
        return cls(CID.of(codec, data, version=version), data)

    @classmethod
    def checked(cls, cid: CID, data: bytes) -> Self:
        """Return the block if the bytes are what the CID says. Raises `WrongBlock`."""
        if not cid.matches(data):
            raise WrongBlock(f"{len(data)} bytes do not hash to {cid}")
        return cls(cid, data)
