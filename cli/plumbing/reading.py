"""`holdfast ipfs cat`, `get`, `ls`, `stat`, `refs`: from a CID back to content."""

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.plumbing.paths import opened
from cli.plumbing.words import OfflineOption, PathArgument, PeerOption
from cli.render import HomeOption, JsonFlag, LedgerOption, Output, finish, table
from cli.settings import client_settings
from cli.words import format_bytes, format_count

if TYPE_CHECKING:
    from ipfs.cid import CID


def cat(
    path: PathArgument,
    offset: Annotated[int, typer.Option("-o", "--offset", min=0, help="Skip so many bytes.")] = 0,
    length: Annotated[
        int | None, typer.Option("-l", "--length", min=0, help="Print so many bytes at most.")
    ] = None,
    peer: PeerOption = None,
    offline: OfflineOption = False,
    home: HomeOption = None,
    ledger: LedgerOption = None,
) -> None:
    """Print a file, or a range of it: only the blocks that hold it are read or fetched."""

    async def work(_: Output) -> None:
        from ipfs.unixfs.ranges import fetch_range

        async with opened(path, home, ledger, peer, offline) as (source, cid):
            end = None if length is None else offset + length
            if (offset, end) == (0, None):
                await source.bring(cid, lambda _blocks, _bytes: None)
            async for data in fetch_range(source.get, cid, offset, end):
                sys.stdout.buffer.write(data)
            sys.stdout.buffer.flush()

    finish(False, work)


def get(
    path: PathArgument,
    out_path: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="Where to. Default: the last name of the path."),
    ] = None,
    peer: PeerOption = None,
    offline: OfflineOption = False,
    home: HomeOption = None,
    ledger: LedgerOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Write a file or folder to the disk, every block checked; never over anything."""

    async def work(out: Output) -> None:
        import asyncio

        from ipfs.unixfs.exporter import export, require_free

        target = out_path or Path(path.rstrip("/").rpartition("/")[2])
        require_free(target)
        async with opened(path, home, ledger, peer, offline) as (source, cid):
            await source.bring(cid, lambda _blocks, _bytes: None)
            await asyncio.to_thread(export, source.blocks, cid, target)
        out.result(f"saved {cid} to {target}", cid=cid, path=target)

    finish(as_json, work)


def ls(
    path: PathArgument,
    peer: PeerOption = None,
    offline: OfflineOption = False,
    home: HomeOption = None,
    ledger: LedgerOption = None,
    as_json: JsonFlag = False,
) -> None:
    """List a folder: CIDs, sizes of files, names."""

    async def work(out: Output) -> None:
        from client.plumbing.content import Kind, list_folder

        async with opened(path, home, ledger, peer, offline) as (source, cid):
            entries = await list_folder(cid, source)
        rows = [
            (
                entry.cid,
                "-" if entry.size_bytes is None else entry.size_bytes,
                entry.name + ("/" if entry.kind is Kind.DIRECTORY else ""),
            )
            for entry in entries
        ]
        told = [
            {"name": entry.name, "cid": entry.cid, "kind": entry.kind, "bytes": entry.size_bytes}
            for entry in entries
        ]
        out.result(table(("cid", "bytes", "name"), rows), cid=cid, entries=told)

    finish(as_json, work)


def stat(
    path: PathArgument,
    peer: PeerOption = None,
    offline: OfflineOption = False,
    home: HomeOption = None,
    ledger: LedgerOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Count the blocks and bytes of a DAG."""

    async def work(out: Output) -> None:
        import asyncio

        from client.plumbing.content import stat_dag

        async with opened(path, home, ledger, peer, offline) as (source, cid):
            await source.bring(cid, lambda _blocks, _bytes: None)
            found = await asyncio.to_thread(stat_dag, cid, source.blocks)
        content = "" if found.content_bytes is None else f" of {format_bytes(found.content_bytes)}"
        out.result(
            f"{cid}: {found.kind}{content}, {format_count(found.block_count, 'block')}, "
            f"{format_bytes(found.size_bytes)}",
            cid=cid,
            kind=found.kind,
            content_bytes=found.content_bytes,
            blocks=found.block_count,
            bytes=found.size_bytes,
        )

    finish(as_json, work)


def refs(
    path: Annotated[
        str, typer.Argument(metavar="CID[/PATH]|local", help="Whose; local: every block here.")
    ],
    recursive: Annotated[
        bool, typer.Option("-r", "--recursive", help="All below it, each once.")
    ] = False,
    peer: PeerOption = None,
    offline: OfflineOption = False,
    home: HomeOption = None,
    ledger: LedgerOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Print what a block links to."""

    async def work(out: Output) -> None:
        from client.plumbing.content import references
        from client.plumbing.session import open_reader

        def tell(cids: "Iterable[CID]") -> int:
            count = 0
            for cid in cids:
                out.item("ref", str(cid), cid=cid)
                count += 1
            return count

        if path == "local":
            folder, _ = client_settings(home, None)
            with open_reader(folder) as blocks:
                count = tell(blocks)
        else:
            async with opened(path, home, ledger, peer, offline) as (source, root):
                if recursive:
                    await source.bring(root, lambda _blocks, _bytes: None)
                else:
                    await source.get(root)
                count = tell(references(root, source.blocks, is_recursive=recursive))
        out.result("", count=count)

    finish(as_json, work)
