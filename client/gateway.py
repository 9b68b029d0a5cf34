"""The composition root of a gateway alone: the client's blocks, and the network's, over HTTP."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path

from chain.http import serving
from client.config import ClientConfig
from client.plumbing.session import open_network, open_reader
from ipfs.gateway.api import create_app
from ipfs.gateway.gateway import Gateway
from ipfs.gateway.remote import GatewayExchange
from ipfs.gateway.supply import Supply
from ipfs.host import PeerAddress


async def run_gateway(
    folder: Path,
    config: ClientConfig,
    *,
    host: str,
    port: int,
    allowed_hosts: Sequence[str],
    peers: Sequence[PeerAddress],
    is_fetching: bool,
    on_ready: Callable[[str], None],
) -> None:
    """Serve blocks over HTTP until cancelled.

    peers:        to join the network through, besides those of the settings and the registry
    is_fetching:  whether what is not stored here is looked for on the network
    on_ready:     called with the URL

    Raises `OSError` if the address is taken.
    """
    with open_reader(folder) as blocks:
        async with (
            open_network(config, blocks, peers) as network,
            GatewayExchange(network.exchange, network.gateways) as gateways,
        ):
            supply = Supply(
                network.exchange,
                routing=network.routing if is_fetching else None,
                gateways=gateways if network.gateways else None,
                idle_timeout_s=config.fetch_idle_seconds,
            )
            names = network.routing if is_fetching else None
            app = create_app(Gateway(supply, names=names, now_ns=time.time_ns))
            async with serving(app, host=host, port=port, allowed_hosts=allowed_hosts) as url:
                on_ready(url)
                await network.serve()
