"""`holdfast gateway`: this client's blocks, and what the network has, for any browser."""

from typing import Annotated

import typer

from cli.plumbing.words import PeerOption, parse_peers
from cli.render import HomeOption, JsonFlag, LedgerOption, Output, finish
from cli.settings import client_settings

DEFAULT_PORT = 8080


def gateway(
    port: Annotated[
        int, typer.Option("--port", min=0, max=65535, help="0: any free one.")
    ] = DEFAULT_PORT,
    host: Annotated[str, typer.Option("--host", help="IP address to listen on.")] = "127.0.0.1",
    allow: Annotated[
        list[str] | None,
        typer.Option("--allow-host", help="A name that it is reached by, besides loopback."),
    ] = None,
    peer: PeerOption = None,
    no_fetch: Annotated[
        bool, typer.Option("--no-fetch", help="Serve what is stored here and nothing else.")
    ] = False,
    home: HomeOption = None,
    ledger: LedgerOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Serve /ipfs/CID over HTTP until interrupted: files, folders, blocks and CARs.

    What is not stored here is fetched from peers, else from known providers' gateways, checked,
    and kept in memory for a while.
    """

    async def work(out: Output) -> None:
        from client.gateway import run_gateway

        folder, config = client_settings(home, ledger)

        def ready(url: str) -> None:
            out.event("ready", f"The gateway answers at {url}/ipfs/<CID>", url=url)

        await run_gateway(
            folder,
            config,
            host=host,
            port=port,
            allowed_hosts=allow or (),
            peers=parse_peers(peer),
            is_fetching=not no_fetch,
            on_ready=ready,
        )

    finish(as_json, work)
