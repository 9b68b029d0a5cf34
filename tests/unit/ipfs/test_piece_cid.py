"""Piece CIDs against those of the JavaScript data-segment library."""

from typing import Any

import pytest

from ipfs.cid import CID, Codec, HashCode
from ipfs.errors import MalformedBytes
from ipfs.piece_cid import PieceInfo, parse_piece_cid, piece_cid_v1, piece_cid_v2
from tests.support.vectors import own

PIECES: list[dict[str, Any]] = own("commp.json")["pieces"]


@pytest.mark.parametrize("row", PIECES, ids=lambda row: f"{row['input']}-{row['size']}")
def test_a_piece_has_the_cids_that_others_give_it(row: dict[str, Any]) -> None:
    root = bytes.fromhex(row["root"])
    cid = piece_cid_v2(root, padding_bytes=row["padding"], height=row["height"])
    info = parse_piece_cid(CID.parse(row["piece_cid_v2"]))
    assert str(cid) == row["piece_cid_v2"]
    assert info == PieceInfo(root, row["height"], row["padding"])
    assert info.padded_bytes == row["padded_size"]
    assert info.payload_bytes == row["size"]
    assert str(piece_cid_v1(root)) == row["piece_cid_v1"]
    assert parse_piece_cid(CID.parse(row["piece_cid_v1"])) == PieceInfo(root)


def test_a_root_alone_says_no_size() -> None:
    info = PieceInfo(bytes(32))
    assert info.padded_bytes is None
    assert info.payload_bytes is None


@pytest.mark.parametrize(
    "digest",
    [
        b"",
        bytes(32),
        b"\x00\x02" + bytes(31),
        b"\x00\x02" + bytes(33),
        b"\x80\x00\x02" + bytes(32),
        b"\x7f\x02" + bytes(32),
        b"\x00\x01" + bytes(32),
        b"\x00\xff" + bytes(32),
        b"\x00\x02" + b"\xff" * 32,
    ],
)
def test_a_digest_that_is_no_piece_is_refused(digest: bytes) -> None:
    hash_code = HashCode.FR32_SHA2_256_TRUNC254_PADDED_BINARY_TREE
    with pytest.raises(MalformedBytes):
        parse_piece_cid(CID.from_digest(Codec.RAW, hash_code, digest))


def test_a_block_is_no_piece() -> None:
    with pytest.raises(MalformedBytes, match="names no piece"):
        parse_piece_cid(CID.of(Codec.RAW, b""))
