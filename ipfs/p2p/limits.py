"""How much of us a stranger may take: every bound of the network in one value."""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkLimits:
    """Bounds on memory, sockets and patience. The memory a stranger can pin follows from them:
    streams_max initial windows of 256 KiB, and what connections may grow on top.
    """

    connections_max: int = 256
    """Of both directions, handshakes included."""

    connections_per_peer_max: int = 4
    """Two may well cross; Kubo dials again when it likes another transport better."""

    streams_per_connection_max: int = 256
    """Of each direction; also the backlog that go-yamux allows itself."""

    streams_max: int = 1024
    """Inbound streams of all connections."""

    stream_window_bytes_max: int = 1024 * 1024
    """What one stream's window may grow to, and so what one slow reader may hold."""

    connection_growth_bytes_max: int = 4 * 1024 * 1024
    """What the windows of one connection may have beyond the initial 256 KiB each."""

    unsent_reply_bytes_max: int = 256 * 1024
    """Answers owed to a peer that does not read them; beyond, it is cut off."""

    unsent_bytes_high: int = 512 * 1024
    """Writers wait while a connection has this much to send."""

    addresses_per_dial_max: int = 16
    dial_stagger_seconds: float = 0.25
    """How long one address has to itself before the next is tried too (RFC 8305)."""

    handshake_seconds: float = 10.0
    """From the first SYN to a multiplexed connection."""

    negotiation_seconds: float = 10.0
    """For a stream to agree on its protocol, and for one of identify or ping."""

    linger_seconds: float = 10.0
    """How long a stream may stay half-open after its handler is done."""

    goodbye_seconds: float = 1.0
    """How long a closing connection may take to send what is due."""

    keepalive_seconds: float = 30.0
    """Between two Yamux pings; a ping unanswered at the next one ends the connection."""

    peers_known_max: int = 4096
    addresses_per_peer_max: int = 32


DEFAULT_LIMITS: Final = NetworkLimits()
