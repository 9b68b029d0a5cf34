"""`holdfast ledger`: run the node that settles, or check everything it ever settled."""

from pathlib import Path
from typing import Annotated

import typer

from cli.home import Home
from cli.render import HomeOption, JsonFlag, Output, finish, table

app = typer.Typer(help="The ledger: run a node, replay its chain.", no_args_is_help=True)


@app.command()
def serve(
    port: Annotated[
        int | None,
        typer.Option("--port", min=0, max=65535, help="0: any free one.", show_default=False),
    ] = None,
    home: HomeOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Run a ledger node until interrupted. The first start makes keys and a genesis.

    Settings: ledger.toml (policy, drand, host, port, database_url, allocations).
    """

    async def work(out: Output) -> None:
        from chain.config import LedgerConfig, load_toml
        from chain.node import run_node

        where = Home.find(home)
        config = load_toml(where.toml("ledger"), LedgerConfig)
        if port is not None:
            config = config.model_copy(update={"port": port})

        def ready(url: str) -> None:
            out.event("ready", f"The ledger answers at {url} (API: {url}/schema)", url=url)

        await run_node(where.folder("ledger"), config, on_ready=ready)

    finish(as_json, work)


@app.command()
def audit(
    folder: Annotated[
        Path | None,
        typer.Argument(
            metavar="FOLDER",
            help="Folder of a ledger in SQLite. Default: this user's, as ledger.toml says.",
            show_default=False,
        ),
    ] = None,
    home: HomeOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Replay the chain from its genesis; check every signature, root and invariant.

    Proofs are checked again as long as their bytes are kept; older verdicts are counted.
    """

    async def work(out: Output) -> None:
        import asyncio

        from chain.amount import format_amount
        from chain.audit import audit_folder
        from chain.config import LedgerConfig, load_toml

        where, url = folder, None
        if where is None:
            here = Home.find(home)
            where = here.folder("ledger")
            url = load_toml(here.toml("ledger"), LedgerConfig).database_url
        report = await asyncio.to_thread(audit_folder, where, configured_url=url)
        rows: list[tuple[str, object]] = [
            ("messages", report.messages),
            ("proofs checked again", report.verdicts_checked),
            ("proofs taken on trust (bytes gone)", report.verdicts_trusted),
            ("tokens made and still there", format_amount(report.minted_atto)),
        ]
        out.result(
            table(("blocks", str(report.blocks)), rows)
            + "\nEvery block follows from the one before.",
            blocks=report.blocks,
            messages=report.messages,
            verdicts_checked=report.verdicts_checked,
            verdicts_trusted=report.verdicts_trusted,
            minted_atto=str(report.minted_atto),
        )

    finish(as_json, work)
