"""Who is connected: every connection, the peers they lead to, and who is let in."""

from collections.abc import Callable
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Final

from ipfs.p2p.connection import Connection
from ipfs.p2p.limits import NetworkLimits
from ipfs.p2p.multiaddr import Multiaddr
from ipfs.p2p.peer_id import PeerId

Network = IPv4Network | IPv6Network

_PREFIX_BITS: Final = {"ip4": 32, "ip6": 56}
"""What one household is given, and one stranger gets for little."""


class Roster:
    """The connections of one host within its limits; tells of each peer's coming and going."""

    def __init__(self, our_id: PeerId, limits: NetworkLimits) -> None:
        self._our_id = our_id
        self._limits = limits
        self._connections: dict[Connection, Network] = {}
        self._peers: dict[PeerId, list[Connection]] = {}
        self._listeners: list[Callable[[PeerId, bool], None]] = []

    @property
    def connections(self) -> tuple[Connection, ...]:
        """All connections, those whose peer is not proven yet included; oldest first."""
        return tuple(self._connections)

    @property
    def peer_ids(self) -> tuple[PeerId, ...]:
        """The peers with a live connection."""
        return tuple(self._peers)

    def remote_addresses(self, peer_id: PeerId) -> tuple[Multiaddr, ...]:
        """The other ends of a peer's connections."""
        return tuple(connection.remote_address for connection in self._peers.get(peer_id, ()))

    def usable(self, peer_id: PeerId) -> Connection | None:
        """Return a connection to the peer that takes one more stream, if there is one."""
        connections = self._peers.get(peer_id, ())
        return next((connection for connection in connections if connection.can_open_stream), None)

    def on_peer(self, listener: Callable[[PeerId, bool], None]) -> None:
        """Call the listener at a peer's first connection and after its last."""
        self._listeners.append(listener)

    def admit(self, connection: Connection) -> None:
        """Count a connection; if it is one too many, the oldest idle one goes, or else it does."""
        network = _network_of(connection.remote_address)
        if crowd := self._crowd(network, is_inbound=connection.is_inbound):
            idle = next((other for other in crowd if other.is_idle), None)
            if idle is None:
                connection.abort(ConnectionRefusedError("too many connections"))
            else:
                idle.close()
        self._connections[connection] = network

    def relieve(self) -> None:
        """Cut off the connection that holds most of our memory."""
        greediest = max(self._connections, key=lambda connection: connection.held_bytes)
        greediest.abort(ConnectionAbortedError("it holds most of the memory that all may hold"))

    def enter(self, connection: Connection) -> bool:
        """Enter a connection under its proven peer; False, and closed, if that peer has enough."""
        peer_id = connection.peer_id
        connections = self._peers.get(peer_id, [])
        if len(connections) >= self._limits.connections_per_peer_max or peer_id == self._our_id:
            connection.close()
            return False
        self._peers[peer_id] = connections
        connections.append(connection)
        if len(connections) == 1:
            self._tell(peer_id, connected=True)
        return True

    def remove(self, connection: Connection) -> None:
        """Forget a connection that has ended, and its peer if it was the last."""
        self._connections.pop(connection, None)
        connections = self._peers.get(connection.peer_id, []) if connection.is_upgraded else []
        if connection in connections:
            connections.remove(connection)
            if not connections:
                del self._peers[connection.peer_id]
                self._tell(connection.peer_id, connected=False)

    def _crowd(self, network: Network, *, is_inbound: bool) -> list[Connection]:
        """Return the connections that leave no room for one more, oldest first; mostly none."""
        if is_inbound:
            near = [it for it, of in self._connections.items() if it.is_inbound and of == network]
            if len(near) >= self._limits.connections_per_ip_max:
                return near
        is_full = len(self._connections) >= self._limits.connections_max
        return list(self._connections) if is_full else []

    def _tell(self, peer_id: PeerId, *, connected: bool) -> None:
        for listener in self._listeners:
            listener(peer_id, connected)


def _network_of(address: Multiaddr) -> Network:
    name, ip = address.parts[0]
    return ip_network(f"{ip}/{_PREFIX_BITS[name]}", strict=False)
