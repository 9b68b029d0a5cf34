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
from cli.words import Unreadable, format_bytes, parse_cid

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
