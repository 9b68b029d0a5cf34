"""`holdfast piece`: what bytes are called as a piece, in both versions."""

import os
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO, Final

import typer

from cli.render import JsonFlag, Output, finish, progress, table
from cli.words import Unreadable, format_bytes, parse_bytes, parse_cid

if TYPE_CHECKING:
    from proofs.piece import PieceCommitment

app = typer.Typer(help="Pieces: the names of data on the ledger.", no_args_is_help=True)

STDIN: Final = "-"
_READ_BYTES: Final = 1 << 22


class EmptyPiece(Exception):
    """Nothing was read: no piece is made of no bytes."""

    code = "piece-empty"


@app.command()
def commp(
    source: Annotated[str, typer.Argument(metavar="FILE|-", help="A file, or - for stdin.")],
    as_json: JsonFlag = False,
) -> None:
    """Print the PieceCIDs of bytes as they are: of a CAR, those that a deal over it names.

    Streams: a piece of any size takes some tens of megabytes of memory.
    """

    async def work(out: Output) -> None:
        _tell(out, _commit(source, as_json))

    finish(as_json, work)


@app.command()
def cid(
    name: Annotated[str, typer.Argument(metavar="CID", help="A PieceCID of either version.")],
    payload: Annotated[
        int | None,
        typer.Option("--payload-bytes", min=1, help="The payload's size, which v1 does not say."),
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Print a PieceCID in both versions. Of a v1, say how many bytes of payload the piece has."""

    async def work(out: Output) -> None:
        from ipfs.piece_cid import parse_piece_cid
        from proofs.piece import PieceCommitment, padded_size

        info = parse_piece_cid(parse_cid(name))
        if info.padded_bytes is None or info.payload_bytes is None:
            if payload is None:
                raise Unreadable("a v1 does not say its size; add --payload-bytes")
            _tell(out, PieceCommitment(info.root, padded_size(payload), payload))
        elif payload not in (None, info.payload_bytes):
            raise Unreadable(f"the piece says that its payload has {info.payload_bytes} bytes")
        else:
            _tell(out, PieceCommitment(info.root, info.padded_bytes, info.payload_bytes))

    finish(as_json, work)


@app.command()
def aggregate(
    names: Annotated[list[str], typer.Argument(metavar="CID", help="PieceCIDs v2.")],
    size: Annotated[str, typer.Option("--size", help="Of the aggregate, padded: 1MiB, 32GiB.")],
    as_json: JsonFlag = False,
) -> None:
    """Print the PieceCID of pieces in one bigger piece (FRC-0058), and where each lies in it.

    With --json each comes with its inclusion proof: two paths, of the piece and of its index entry,
    each a place and the siblings above it.
    """

    async def work(out: Output) -> None:
        from ipfs.piece_cid import piece_cid_v2
        from proofs import aggregate as frc_0058

        pieces, size_bytes = [_sized_piece(name) for name in names], parse_bytes(size)
        try:
            made = frc_0058.aggregate(pieces, size_bytes)
        except ValueError as error:  # they don't fit, or nothing has that size
            raise Unreadable(str(error)) from error
        rows, fields = [], []
        for at, (piece, offset) in enumerate(zip(made.pieces, made.offsets_bytes, strict=True)):
            v2 = piece_cid_v2(piece.root, padding_bytes=piece.padding_bytes, height=piece.height)
            proof = made.prove(at)
            paths = [
                [path.leaf_index, [node.hex() for node in path.siblings]]
                for path in (proof.piece, proof.entry)
            ]
            rows.append((v2, offset, piece.padded_size_bytes))
            fields.append({"piece_cid_v2": str(v2), "offset_bytes": offset, "inclusion": paths})
        out.event("pieces", table(("piece", "offset", "padded bytes"), rows), pieces=fields)
        _tell(out, made.commitment)

    finish(as_json, work)


def _sized_piece(name: str) -> "PieceCommitment":
    from ipfs.piece_cid import parse_piece_cid
    from proofs.piece import PieceCommitment

    info = parse_piece_cid(parse_cid(name))
    if info.padded_bytes is None or info.payload_bytes is None:
        raise Unreadable(f"{name} does not say its size; see: holdfast piece cid")
    return PieceCommitment(info.root, info.padded_bytes, info.payload_bytes)


def _tell(out: Output, piece: "PieceCommitment") -> None:
    from ipfs.piece_cid import piece_cid_v1, piece_cid_v2

    v1 = piece_cid_v1(piece.root)
    v2 = piece_cid_v2(piece.root, padding_bytes=piece.padding_bytes, height=piece.height)
    size = piece.padded_size_bytes
    rows = [
        ("piece CID v1", v1),
        ("padded", f"{size} bytes ({format_bytes(size)})"),
        ("payload", f"{piece.payload_bytes} bytes"),
    ]
    out.result(
        table(("piece CID v2", str(v2)), rows),
        piece_cid_v1=v1,
        piece_cid_v2=v2,
        padded_size_bytes=size,
        payload_bytes=piece.payload_bytes,
    )


def _commit(source: str, as_json: bool) -> "PieceCommitment":
    """Return the commitment to everything in a file or stdin, with progress on a terminal."""
    from proofs.piece import CommPHasher

    with _opened(source) as file, ThreadPoolExecutor(os.cpu_count()) as pool:
        hasher = CommPHasher(pool)
        with progress(as_json) as bars:
            total = None if source == STDIN else os.fstat(file.fileno()).st_size
            task = bars.add_task("hashing", total=total) if bars else None
            while chunk := file.read(_READ_BYTES):
                hasher.update(chunk)
                if bars and task is not None:
                    bars.advance(task, len(chunk))
        piece = hasher.finish()
    if not piece.payload_bytes:
        raise EmptyPiece("there are no bytes to make a piece of")
    return piece


@contextmanager
def _opened(source: str) -> Iterator[BinaryIO]:
    if source == STDIN:
        yield sys.stdin.buffer
    else:
        with Path(source).open("rb") as file:
            yield file
