"""`holdfast ipfs export` and `import`: DAGs as CAR files, through pipes too."""

import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO

import typer

from cli.plumbing.paths import opened
from cli.plumbing.words import OfflineOption, PathArgument, PeerOption
from cli.render import HomeOption, JsonFlag, LedgerOption, Output, finish
from cli.settings import client_settings

if TYPE_CHECKING:
    from ipfs.byte_source import ByteSource


def export(
    path: PathArgument,
    out_path: Annotated[
        Path | None, typer.Option("-o", "--output", help="A new file. Default: standard output.")
    ] = None,
    car_version: Annotated[
        int, typer.Option("--car-version", min=1, max=2, help="2 has an index.")
    ] = 1,
    peer: PeerOption = None,
    offline: OfflineOption = False,
    home: HomeOption = None,
    ledger: LedgerOption = None,
) -> None:
    """Write the CAR of a DAG, fetched first where it is not whole."""

    async def work(_: Output) -> None:
        from ipfs.car import car_of, car_v2_of

        async with opened(path, home, ledger, peer, offline) as (source, root):
            await source.bring(root, lambda _blocks, _bytes: None)
            make = car_of if car_version == 1 else car_v2_of
            with _new_file(out_path) if out_path else nullcontext(sys.stdout.buffer) as out:
                for data in make(source.blocks, root):
                    out.write(data)
                out.flush()

    finish(False, work)


def import_(
    path: Annotated[
        Path | None, typer.Argument(metavar="CAR", help="A CAR file; - or nothing: stdin.")
    ] = None,
    pin_roots: Annotated[
        bool, typer.Option("--pin-roots/--no-pin-roots", help="Keep the roots from gc.")
    ] = True,
    home: HomeOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Take in the blocks of a CAR of version 1 or 2, each checked against its CID."""

    async def work(out: Output) -> None:
        import asyncio

        from client.plumbing.content import import_car
        from client.plumbing.session import open_repository

        folder, _ = client_settings(home, None)
        with ExitStack() as stack:
            source: ByteSource = sys.stdin.buffer
            if path is not None and path != Path("-"):
                source = stack.enter_context(path.open("rb"))
            repository = stack.enter_context(open_repository(folder))
            roots, count = await asyncio.to_thread(
                lambda: import_car(source, repository, pins_roots=pin_roots)
            )
        for root in roots:
            out.item("root", f"{'pinned' if pin_roots else 'imported'} {root}", cid=root)
        out.result("", roots=roots, blocks=count)

    finish(as_json, work)


@contextmanager
def _new_file(path: Path) -> Iterator[BinaryIO]:
    """Open a file that is on the disk afterwards, or gone if what was to be written fails."""
    with path.open("xb") as file:
        try:
            yield file
            file.flush()
            os.fsync(file.fileno())
        except BaseException:
            path.unlink(missing_ok=True)
            raise
