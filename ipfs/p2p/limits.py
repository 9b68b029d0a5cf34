"""How much of us a stranger may take: every bound of the network in one value."""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkLimits:
    """Bounds on memory, sockets and patience. What a stranger asks for beyond them is refused,
    and of what was granted to all, the greediest connection pays with its end.
    """

    connections_max: int = 256
    """Of both directions, handshakes included."""

    connections_per_peer_max: int = 4
    """Two may well cross; Kubo dials again when it likes another transport better."""

    connections_per_ip_max: int = 64
    """Inbound, of an IPv4 address or an IPv6 /56: as many as a household or a stranger has."""

    streams_per_connection_max: int = 256
    """Of each direction; also the backlog that go-yamux allows itself."""

    streams_max: int = 1024
    """Inbound streams of all connections."""

    streams_per_peer_max: int = 256
    """Inbound streams of one peer, over all its connections."""

    stream_resets_burst: int = 1024
    stream_resets_per_second: float = 64.0
    """A peer that resets more of its own streams is cut off: a reset frees its place at once, and
    so gets it around the limits above (CVE-2023-44487).
    """

    stream_window_bytes_max: int = 4 * 1024 * 1024
    """What one stream's window may grow to, and so what one slow reader may hold."""

    connection_growth_bytes_max: int = 8 * 1024 * 1024
    """What the windows of one connection may have beyond the initial 256 KiB each."""

    growth_bytes_max: int = 64 * 1024 * 1024
    """The same of all connections."""

    held_bytes_max: int = 128 * 1024 * 1024
    """Unread bytes of all connections; beyond, the one that holds most is cut off."""

    unsent_reply_bytes_max: int = 256 * 1024
    """Answers owed to a peer that does not read them; beyond, it is cut off."""

    unsent_bytes_high: int = 256 * 1024
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

    redial_seconds: tuple[float, ...] = (0.25, 0.5, 1.0, 2.0, 4.0)
    """Pauses between attempts to replace a connection of ours that broke; then it is given up."""

    keepalive_seconds: float = 30.0
    """Between two Yamux pings; a ping unanswered at the next one ends the connection."""

    peers_known_max: int = 4096
    addresses_per_peer_max: int = 32


DEFAULT_LIMITS: Final = NetworkLimits()
