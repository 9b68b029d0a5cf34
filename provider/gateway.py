"""The provider's blocks over HTTP, for browsers and for clients that can't dial it."""

import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from ipaddress import ip_address
from urllib.parse import urlsplit

from chain.http import serving
from ipfs.cid import CID
from ipfs.exchange import Exchange
from ipfs.p2p.multiaddr import Multiaddr, TcpEndpoint
from provider.config import ProviderConfig


@asynccontextmanager
async def serving_blocks(
    exchange: Exchange, config: ProviderConfig
) -> AsyncIterator[tuple[Multiaddr, ...]]:
    """Serve what the provider has, and nothing that it would have to fetch.

    Gives the addresses to register: those that the settings announce, else where it listens, if
    that is somewhere. Raises `OSError` if the address is taken.
    """
    from ipfs.gateway.api import create_app
    from ipfs.gateway.gateway import Gateway
    from ipfs.gateway.supply import Supply

    announced = tuple(map(Multiaddr.parse, config.gateway_announce))
    denied = [CID.parse(text).multihash for text in config.gateway_denied]
    gateway = Gateway(Supply(exchange), now_ns=time.time_ns, denied=denied)
    async with serving(
        create_app(gateway),
        host=config.gateway_host,
        port=config.gateway_port,
        allowed_hosts=(*config.gateway_allowed_hosts, *_hosts(announced)),
    ) as url:
        yield announced or _address(url)


def _hosts(addresses: Sequence[Multiaddr]) -> list[str]:
    urls = (address.http_url for address in addresses)
    return [host for url in urls if url and (host := urlsplit(url).hostname)]


def _address(url: str) -> tuple[Multiaddr, ...]:
    parts = urlsplit(url)
    assert parts.hostname is not None, "what is served has a host"
    assert parts.port is not None, "and a port"
    if ip_address(parts.hostname).is_unspecified:
        return ()
    return (Multiaddr.http(TcpEndpoint(parts.hostname, parts.port)),)
