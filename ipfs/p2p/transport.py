"""Sockets for addresses: what to listen on, what to dial, and TCP or WebSocket on top."""

import asyncio
import socket
from collections.abc import Callable, Iterable
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final

import ifaddr

from ipfs.p2p.connection import Connection
from ipfs.p2p.limits import NetworkLimits
from ipfs.p2p.multiaddr import Multiaddr, TcpEndpoint
from ipfs.p2p.websocket import WebSocketTransport

_FAMILIES: Final = {"dns4": socket.AF_INET, "dns6": socket.AF_INET6}


def is_dialable(address: Multiaddr) -> bool:
    """Whether `dial` knows how to reach the address."""
    return (address.tcp_endpoint or address.websocket_endpoint) is not None


async def dial(address: Multiaddr, connection: Connection, limits: NetworkLimits) -> None:
    """Open a socket to the address for a connection; its upgrade begins. Raises `OSError`."""
    endpoint = address.tcp_endpoint or address.websocket_endpoint
    assert endpoint is not None, "ask is_dialable first"
    protocol: asyncio.BaseProtocol = connection
    if address.websocket_endpoint:
        protocol = WebSocketTransport(connection, limits=limits, dialled=endpoint)
    family = _FAMILIES.get(address.parts[0].name, socket.AF_UNSPEC)
    await asyncio.get_running_loop().create_connection(
        lambda: protocol, endpoint.host, endpoint.port, family=family
    )


class Listener:
    """The sockets of one address that we listen on."""

    def __init__(self, server: asyncio.Server, *, is_websocket: bool) -> None:
        self._server = server
        self._is_websocket = is_websocket

    @property
    def addresses(self) -> tuple[Multiaddr, ...]:
        """Where it is reached: on each interface, if it listens on all of them."""
        of = Multiaddr.websocket if self._is_websocket else Multiaddr.tcp
        bound = [TcpEndpoint(*sock.getsockname()[:2]) for sock in self._server.sockets]
        return tuple(of(endpoint) for each in bound for endpoint in _reachable(each))

    def close(self) -> None:
        """Take no more connections."""
        self._server.close()


async def listen(
    address: Multiaddr, new_connection: Callable[[], Connection], limits: NetworkLimits
) -> Listener:
    """Take connections at an address.

    Raises `OSError` if it is taken, `ValueError` if it is neither TCP nor WebSocket.
    """
    endpoint = address.tcp_endpoint or address.websocket_endpoint
    if endpoint is None:
        raise ValueError(f"cannot listen on {address}: it is neither plain TCP nor WebSocket")
    is_websocket = address.websocket_endpoint is not None

    def new_protocol() -> asyncio.BaseProtocol:
        connection = new_connection()
        if is_websocket:
            return WebSocketTransport(connection, limits=limits, dialled=None)
        return connection

    loop = asyncio.get_running_loop()
    server = await loop.create_server(new_protocol, endpoint.host, endpoint.port)
    return Listener(server, is_websocket=is_websocket)


def _reachable(endpoint: TcpEndpoint) -> Iterable[TcpEndpoint]:
    ours = ip_address(endpoint.host)
    if not ours.is_unspecified:
        return [endpoint]
    known = [ip for ip in _interface_addresses() if ip.version == ours.version]
    return [TcpEndpoint(str(ip), endpoint.port) for ip in known]


def _interface_addresses() -> list[IPv4Address | IPv6Address]:
    """Return the addresses of this machine, loopback last; link-local ones need a zone to dial."""
    found = [found.ip for adapter in ifaddr.get_adapters() for found in adapter.ips]
    known = [ip_address(ip if isinstance(ip, str) else ip[0]) for ip in found]
    return sorted((ip for ip in known if not ip.is_link_local), key=lambda ip: ip.is_loopback)
