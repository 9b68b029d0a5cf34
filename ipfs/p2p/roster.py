"""Who is connected: every connection, the peers they lead to, and who is let in."""

from collections.abc import Callable

from ipfs.p2p.connection import Connection
from ipfs.p2p.limits import NetworkLimits
from ipfs.p2p.peer_id import PeerId


class Roster:
    """The connections of one host within its limits; tells of each peer's coming and going."""

    def __init__(self, our_id: PeerId, limits: NetworkLimits) -> None:
        self._our_id = our_id
        self._limits = limits
        self._connections: dict[Connection, None] = {}
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

    def usable(self, peer_id: PeerId) -> Connection | None:
        """Return a connection to the peer that takes one more stream, if there is one."""
        connections = self._peers.get(peer_id, ())
        return next((connection for connection in connections if connection.can_open_stream), None)

    def on_peer(self, listener: Callable[[PeerId, bool], None]) -> None:
        """Call the listener at a peer's first connection and after its last."""
        self._listeners.append(listener)

    def admit(self, connection: Connection) -> None:
        """Count a connection; if it is one too many, the oldest idle one goes, or else it does."""
        if len(self._connections) >= self._limits.connections_max:
            idle = next((other for other in self._connections if other.is_idle), None)
            if idle is None:
                connection.abort(ConnectionRefusedError("too many connections"))
            else:
                idle.close()
        self._connections[connection] = None

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

    def _tell(self, peer_id: PeerId, *, connected: bool) -> None:
        for listener in self._listeners:
            listener(peer_id, connected)
