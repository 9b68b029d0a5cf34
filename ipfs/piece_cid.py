"""The CIDs of pieces: a commitment's root, with or without the piece's size (FRC-0069)."""

from dataclasses import dataclass
from typing import Final

from ipfs import varint
from ipfs.cid import CID, Codec, HashCode
from ipfs.errors import MalformedBytes

ROOT_BYTES: Final = 32
HEIGHT_MIN: Final = 2
"""127 bytes of payload in four nodes: no smaller piece can be padded."""

HEIGHT_MAX: Final = 50
"""A padded piece of 32 PiB."""


@dataclass(frozen=True, slots=True)
class PieceInfo:
    """What a piece CID says; a version 1 CID says the root alone.

    height:         levels above the leaves; a padded piece has 2^height nodes of 32 bytes
    padding_bytes:  zeros after the payload that fill the piece, before fr32
    """

    root: bytes
    height: int | None = None
    padding_bytes: int | None = None

    @property
    def padded_bytes(self) -> int | None:
        """Return the size of the fr32-padded piece, if known."""
        return None if self.height is None else ROOT_BYTES << self.height

    @property
    def payload_bytes(self) -> int | None:
        """Return the size of the bytes that the piece was made of, if known."""
        if self.height is None or self.padding_bytes is None:
            return None
        return _capacity_bytes(self.height) - self.padding_bytes


def piece_cid_v2(root: bytes, *, padding_bytes: int, height: int) -> CID:
    """Return the CID that names root and size (`bafkzcib…`)."""
    digest = varint.encode(padding_bytes) + bytes((height,)) + root
    _read_digest(digest)
    return CID.from_digest(Codec.RAW, HashCode.FR32_SHA2_256_TRUNC254_PADDED_BINARY_TREE, digest)


def piece_cid_v1(root: bytes) -> CID:
    """Return the CID that names the root alone (`baga6ea4seaq…`)."""
    return CID.from_digest(Codec.FIL_COMMITMENT_UNSEALED, HashCode.SHA2_256_TRUNC254_PADDED, root)


def parse_piece_cid(cid: CID) -> PieceInfo:
    """Return what a piece CID of either version says. Raises `MalformedBytes`."""
    match cid.codec, cid.hash_code:
        case Codec.RAW, HashCode.FR32_SHA2_256_TRUNC254_PADDED_BINARY_TREE:
            return _read_digest(cid.digest)
        case Codec.FIL_COMMITMENT_UNSEALED, HashCode.SHA2_256_TRUNC254_PADDED:
            return PieceInfo(_root(cid.digest))
        case _:
            raise MalformedBytes("piece CID", f"{cid} names no piece")


def _read_digest(digest: bytes) -> PieceInfo:
    padding_bytes, height_at = varint.decode(digest)
    if len(digest) != height_at + 1 + ROOT_BYTES:
        raise MalformedBytes("piece CID", "length")
    height = digest[height_at]
    if not HEIGHT_MIN <= height <= HEIGHT_MAX:
        raise MalformedBytes("piece CID", f"height {height}")
    if padding_bytes >= _capacity_bytes(height):
        raise MalformedBytes("piece CID", "nothing but padding")
    return PieceInfo(_root(digest[height_at + 1 :]), height, padding_bytes)


def _root(root: bytes) -> bytes:
    # fr32 leaves the top two bits of every node zero.
    if len(root) != ROOT_BYTES or root[-1] & 0xC0:
        raise MalformedBytes("piece CID", "the root is no node of a tree")
    return root


def _capacity_bytes(height: int) -> int:
    return (ROOT_BYTES << height) // 128 * 127
