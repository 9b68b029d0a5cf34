"""`holdfast ipfs id`, `swarm`, `findprovs`, `provide`: this client among its peers."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.plumbing.words import CidArgument, PeerOption, parse_peers
from cli.render import HomeOption, JsonFlag, LedgerOption, Output, finish, table
from cli.settings import client_settings
from cli.words import format_count, parse_cid, parse_peer

if TYPE_CHECKING:
    from client.config import ClientConfig
    from client.plumbing.session import Network

swarm = typer.Typer(help="Connections to peers.", no_args_is_help=True)


def id_(home: HomeOption = None, as_json: JsonFlag = False) -> None:
    """Tell who this client is on the network."""

    async def work(out: Output) -> None:
        from client.keys import SELF
        from client.plumbing.session import open_keys
        from ipfs.p2p.swarm import AGENT_VERSION

        folder, _ = client_settings(home, None)
        peer_id = open_keys(folder).find(SELF).peer_id
        out.result(
            f"{peer_id}\n{AGENT_VERSION}, listens while `holdfast ipfs provide` runs",
            peer_id=str(peer_id),
            agent=AGENT_VERSION,
        )

    finish(as_json, work)


@swarm.command("peers")
def swarm_peers(
    peer: PeerOption = None,
    home: HomeOption = None,
    ledger: LedgerOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Join the network, and list whom this client is connected to then."""

    async def work(out: Output) -> None:
        async with joined(*client_settings(home, ledger), peer) as network:
            host = network.host
            peers = [
                {
                    "peer_id": str(peer_id),
                    "agent": host.peer_agent(peer_id),
                    "addresses": [str(address) for address in host.known_addresses(peer_id)],
                }
                for peer_id in host.connected_peers()
            ]
        rows = [(each["peer_id"], each["agent"], ", ".join(each["addresses"])) for each in peers]
        out.result(table(("peer", "agent", "addresses"), rows), peers=peers)

    finish(as_json, work)


@swarm.command("connect")
def swarm_connect(
    address: Annotated[
        str,
        typer.Argument(metavar="ADDRESS", help="Multiaddr that ends in /p2p/ and the peer."),
    ],
    home: HomeOption = None,
    ledger: LedgerOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Try to connect to a peer; tell how long a ping takes."""

    async def work(out: Output) -> None:
        peer = parse_peer(address)
        async with joined(*client_settings(home, ledger), None) as network:
            await network.host.connect(peer)
            seconds = await network.host.ping(peer.peer_id)
            agent = network.host.peer_agent(peer.peer_id)
        out.result(
            f"connected to {peer.peer_id} ({agent}), {seconds * 1000:.1f} ms",
            peer_id=str(peer.peer_id),
            agent=agent,
            ping_seconds=seconds,
        )

    finish(as_json, work)


def findprovs(
    cid: CidArgument,
    count: Annotated[
        int, typer.Option("-n", "--num-providers", min=1, help="Stop after so many.")
    ] = 20,
    peer: PeerOption = None,
    home: HomeOption = None,
    ledger: LedgerOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Ask the DHT who has a block."""

    async def work(out: Output) -> None:
        wanted, told_count = parse_cid(cid), 0
        async with joined(*client_settings(home, ledger), peer) as network:
            async for each in network.find_providers(wanted, count_max=count):
                told_count += 1
                addresses = [str(address) for address in each.addresses]
                out.item(
                    "provider",
                    " ".join([str(each.peer_id), *addresses]),
                    peer_id=str(each.peer_id),
                    addresses=addresses,
                )
        out.result("", count=told_count)

    finish(as_json, work)


def provide(
    cids: Annotated[list[str], typer.Argument(metavar="CID", help="What to announce.")],
    peer: PeerOption = None,
    home: HomeOption = None,
    ledger: LedgerOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Announce CIDs on the DHT, and serve this client's blocks until interrupted.

    Whoever names the address that it prints with --peer finds them even where nobody else helps.
    """

    async def work(out: Output) -> None:
        from client.plumbing.session import open_keys, open_network, open_reader

        roots = [parse_cid(cid) for cid in cids]
        folder, config = client_settings(home, ledger)
        with open_reader(folder) as blocks, open_keys(folder).being_self() as us:
            for root in roots:
                blocks.size_bytes(root)
            async with open_network(config, blocks, parse_peers(peer), provider=us) as network:
                if peer or config.bootstrap or not network.host.addresses:
                    network.require_peers()
                for root in roots:
                    keepers = format_count(await network.routing.provide(root), "other peer")
                    out.event("provided", f"{root} is announced to {keepers}", cid=root)
                addresses = [f"{at}/p2p/{us.peer_id}" for at in network.host.addresses]
                out.event("ready", f"serving on {', '.join(addresses)}", addresses=addresses)
                await network.serve()

    finish(as_json, work)


@asynccontextmanager
async def joined(
    folder: Path, config: "ClientConfig", peers: list[str] | None
) -> "AsyncIterator[Network]":
    """Join the network, also through peers that were named, to ask it something."""
    from client.plumbing.session import open_network, open_reader

    with open_reader(folder) as blocks:
        async with open_network(config, blocks, parse_peers(peers)) as network:
            yield network
