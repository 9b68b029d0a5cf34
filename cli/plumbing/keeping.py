"""`holdfast ipfs pin`, `gc`, `scrub`: what stays, what goes, and whether it is still as it was."""

from typing import Annotated

import typer

from cli import exits
from cli.plumbing.paths import find
from cli.plumbing.words import (
    CidArgument,
    OfflineOption,
    PathArgument,
    PeerOption,
    parse_peers,
)
from cli.render import HomeOption, JsonFlag, LedgerOption, Output, finish, table
from cli.settings import client_settings
from cli.words import format_bytes, format_count, parse_cid

pin = typer.Typer(help="Reasons to keep DAGs.", no_args_is_help=True)

ReasonOption = Annotated[
    str | None, typer.Option("--reason", help="Whose pin, or what for; each ends by itself.")
]


@pin.command("add")
def pin_add(
    path: PathArgument,
    reason: ReasonOption = None,
    until: Annotated[
        int | None, typer.Option(min=0, help="The first epoch that it does not hold in.")
    ] = None,
    recursive: Annotated[
        bool, typer.Option("--recursive/--direct", help="The whole DAG, or the block alone.")
    ] = True,
    peer: PeerOption = None,
    offline: OfflineOption = False,
    home: HomeOption = None,
    ledger: LedgerOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Keep a DAG, fetched first where it is not whole."""

    async def work(out: Output) -> None:
        import asyncio

        from client.plumbing.session import Source, open_network, open_repository
        from ipfs.pins.pin import Pin

        folder, config = client_settings(home, ledger)
        with open_repository(folder) as repository, repository.hold() as blocks:
            join = None if offline else lambda: open_network(config, blocks, parse_peers(peer))
            async with Source(blocks, join) as source:
                root = await find(path, source)
                if recursive:
                    await source.bring(root, lambda _blocks, _bytes: None)
                else:
                    await source.get(root)
            kept = Pin(root=root, is_recursive=recursive, reason=reason or "", until_epoch=until)
            await asyncio.to_thread(repository.pin, kept)
        out.result(f"pinned {root}", cid=root, reason=reason or "", until_epoch=until)

    finish(as_json, work)


@pin.command("rm")
def pin_rm(
    cid: CidArgument,
    reason: ReasonOption = None,
    home: HomeOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Strike the pins of a CID, or the one for a reason; gc may take the DAG then."""

    async def work(out: Output) -> None:
        from client.plumbing.session import open_repository

        root = parse_cid(cid)
        folder, _ = client_settings(home, None)
        with open_repository(folder) as repository:
            repository.pins.remove(root, reason)
        out.result(f"unpinned {root}", cid=root)

    finish(as_json, work)


@pin.command("ls")
def pin_ls(home: HomeOption = None, as_json: JsonFlag = False) -> None:
    """List the pins."""

    async def work(out: Output) -> None:
        from client.plumbing.session import open_pins

        folder, _ = client_settings(home, None)
        with open_pins(folder) as store:
            pins = store.all()
        rows = [
            (
                each.root,
                "recursive" if each.is_recursive else "direct",
                "-" if each.until_epoch is None else each.until_epoch,
                each.reason,
            )
            for each in pins
        ]
        told = [each.model_dump(mode="json") for each in pins]
        out.result(table(("cid", "kind", "until epoch", "reason"), rows), pins=told)

    finish(as_json, work)


def gc(
    epoch: Annotated[
        int | None,
        typer.Option(min=0, help="The ledger's epoch now; else pins with an end all count."),
    ] = None,
    home: HomeOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Delete every block that no pin keeps."""

    async def work(out: Output) -> None:
        import asyncio

        from client.plumbing.session import open_repository

        folder, _ = client_settings(home, None)
        with open_repository(folder) as repository:
            done = await asyncio.to_thread(lambda: repository.collect(epoch=epoch))
        removed = format_count(done.removed_count, "block")
        out.result(
            f"removed {removed}, {format_bytes(done.freed_bytes)}",
            removed=done.removed_count,
            freed_bytes=done.freed_bytes,
        )

    finish(as_json, work)


def scrub(home: HomeOption = None, as_json: JsonFlag = False) -> None:
    """Read every block and the index; find each bit that flipped, and mend what can be.

    Ends with 8 if anything was not as it was written.
    """

    async def work(out: Output) -> None:
        import asyncio

        from client.plumbing.session import open_disk

        folder, _ = client_settings(home, None)
        with open_disk(folder) as disk:
            report = await asyncio.to_thread(disk.scrub)
        text = f"{format_count(report.block_count, 'block')} in {format_bytes(report.read_bytes)}: "
        if report.is_clean:
            text += "every bit is as it was written"
        else:
            text += format_count(len(report.damage), "damaged place")
            text += f", {format_count(len(report.lost), 'block')} lost"
            text += "; the index was wrong and is made anew" if report.index_was_wrong else ""
            text += "".join(f"\nlost {cid}" for cid in report.lost)
        out.result(
            text,
            is_clean=report.is_clean,
            blocks=report.block_count,
            bytes=report.read_bytes,
            damaged_places=len(report.damage),
            index_was_wrong=report.index_was_wrong,
            lost=report.lost,
        )
        if not report.is_clean:
            raise typer.Exit(exits.VERIFICATION_FAILED)

    finish(as_json, work)
