"""Addresses that say how to be spoken to (multiformats/multiaddr), as text and as bytes.

What we dial is ip, dns, tcp, ws and p2p; the rest of the table is there so that a peer's
list of addresses can be read past them. Any other protocol raises, and its reader drops it.
"""

import ipaddress
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NamedTuple, Self

from ipfs import multibase, varint
from ipfs.errors import LimitExceeded, MalformedBytes
from ipfs.p2p.peer_id import PeerId

MULTIADDR_BYTES_MAX: Final = 1024
"""Far above any address met; a relayed WebTransport address has some 200 bytes."""

_DNS_NAME: Final = re.compile(r"[A-Za-z0-9._-]{1,253}", re.ASCII)
_PORT: Final = re.compile(r"0|[1-9][0-9]{0,4}", re.ASCII)


class Part(NamedTuple):
    """One protocol of an address and its value as text, empty where it has none."""

    name: str
    value: str = ""


class TcpEndpoint(NamedTuple):
    """A host name or IP address, and a port."""

    host: str
    port: int


@dataclass(frozen=True, slots=True)
class _Protocol:
    """How one protocol's value is written; `size_bytes` is None behind a length prefix."""

    code: int
    name: str
    size_bytes: int | None
    to_bytes: Callable[[str], bytes]
    to_text: Callable[[bytes], str]


@dataclass(frozen=True, slots=True)
class Multiaddr:
    """A non-empty path of protocols, each with a canonical value.

    Raises `MalformedBytes` for anything else; `parse` takes other spellings of a value too.
    """

    parts: tuple[Part, ...]

    def __post_init__(self) -> None:
        if not self.parts:
            raise MalformedBytes("multiaddr", "empty")
        for name, value in self.parts:
            protocol = _BY_NAME.get(name)
            if protocol is None or protocol.name != name:
                raise MalformedBytes("multiaddr", f"unknown protocol {name!r}")
            if protocol.to_text(protocol.to_bytes(value)) != value:
                raise MalformedBytes("multiaddr", f"not a canonical value of {name}")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `/ip4/127.0.0.1/tcp/4001`. Raises `MalformedBytes`, `LimitExceeded`."""
        _check_size(len(text))
        words = iter(text.split("/"))
        if next(words):
            raise MalformedBytes("multiaddr", "must start with a slash")
        parts = []
        for name in words:
            protocol = _BY_NAME.get(name)
            if protocol is None:
                raise MalformedBytes("multiaddr", f"unknown protocol {name!r}")
            value = "" if protocol.size_bytes == 0 else next(words, "")
            parts.append(Part(protocol.name, protocol.to_text(protocol.to_bytes(value))))
        return cls(tuple(parts))

    @classmethod
    def parse_bytes(cls, data: bytes) -> Self:
        """Read the binary form. Raises `MalformedBytes`, `LimitExceeded`."""
        _check_size(len(data))
        parts = []
        position = 0
        while position < len(data):
            code, position = varint.decode(data, position)
            protocol = _BY_CODE.get(code)
            if protocol is None:
                raise MalformedBytes("multiaddr", f"unknown protocol {code}")
            size = protocol.size_bytes
            if size is None:
                size, position = varint.decode(data, position)
            if size > len(data) - position:
                raise MalformedBytes("multiaddr", "truncated value")
            value = data[position : position + size]
            position += size
            parts.append(Part(protocol.name, protocol.to_text(value)))
        return cls(tuple(parts))

    @classmethod
    def tcp(cls, endpoint: TcpEndpoint) -> Self:
        """Return the address of an IP endpoint."""
        address = ipaddress.ip_address(endpoint.host)
        return cls((Part(f"ip{address.version}", str(address)), Part("tcp", str(endpoint.port))))

    @classmethod
    def websocket(cls, endpoint: TcpEndpoint) -> Self:
        """Return the address of a WebSocket at an IP endpoint."""
        return cls((*cls.tcp(endpoint).parts, Part("ws")))

    def encode(self) -> bytes:
        """Return the binary form."""
        out = bytearray()
        for name, text in self.parts:
            protocol = _BY_NAME[name]
            value = protocol.to_bytes(text)
            out += varint.encode(protocol.code)
            if protocol.size_bytes is None:
                out += varint.encode(len(value))
            out += value
        return bytes(out)

    def __str__(self) -> str:
        return "".join(f"/{name}/{value}" if value else f"/{name}" for name, value in self.parts)

    @property
    def peer_id(self) -> PeerId | None:
        """The peer at the end of the path, if it names one there."""
        name, value = self.parts[-1]
        return PeerId.parse(value) if name == "p2p" else None

    def with_peer_id(self, peer_id: PeerId) -> Self:
        """Return this address, ending in that peer."""
        bare = self.without_peer_id()
        return type(self)((*(bare.parts if bare else ()), Part("p2p", str(peer_id))))

    def without_peer_id(self) -> Self | None:
        """Return this address less the peer at its end, or None if nothing is left."""
        parts = self.parts[:-1] if self.parts[-1].name == "p2p" else self.parts
        return type(self)(parts) if parts else None

    @property
    def tcp_endpoint(self) -> TcpEndpoint | None:
        """Where to dial plain TCP; None if the path is anything else."""
        return self._endpoint_before([])

    @property
    def websocket_endpoint(self) -> TcpEndpoint | None:
        """Where to dial a WebSocket over plain TCP; None if the path is anything else."""
        return self._endpoint_before([Part("ws")])

    @property
    def http_url(self) -> str | None:
        """Where an HTTP server answers, `http://host:port`; None if the path is anything else."""
        for scheme, rest in _HTTP_ENDINGS:
            if endpoint := self._endpoint_before(rest):
                host = f"[{endpoint.host}]" if ":" in endpoint.host else endpoint.host
                return f"{scheme}://{host}:{endpoint.port}"
        return None

    @classmethod
    def http(cls, endpoint: TcpEndpoint) -> Self:
        """Return the address of an HTTP server at an IP endpoint."""
        return cls((*cls.tcp(endpoint).parts, Part("http")))

    def _endpoint_before(self, rest: list[Part]) -> TcpEndpoint | None:
        bare = self.without_peer_id()
        match bare.parts if bare else ():
            case [Part("ip4" | "ip6" | "dns" | "dns4" | "dns6", host), Part("tcp", port), *tail]:
                return TcpEndpoint(host, int(port)) if tail == rest else None
            case _:
                return None


_HTTP_ENDINGS: Final = (
    ("http", [Part("http")]),
    ("https", [Part("https")]),
    ("https", [Part("tls"), Part("http")]),
)


def _check_size(size_bytes: int) -> None:
    if size_bytes > MULTIADDR_BYTES_MAX:
        raise LimitExceeded("multiaddr bytes", limit=MULTIADDR_BYTES_MAX, asked=size_bytes)


def _ip4_bytes(text: str) -> bytes:
    try:
        return ipaddress.IPv4Address(text).packed
    except ValueError:
        raise MalformedBytes("multiaddr", "not an IPv4 address") from None


def _ip6_bytes(text: str) -> bytes:
    try:
        address = ipaddress.IPv6Address(text)
    except ValueError:
        raise MalformedBytes("multiaddr", "not an IPv6 address") from None
    if address.scope_id is not None:
        raise MalformedBytes("multiaddr", "an IPv6 zone is not part of the address")
    return address.packed


def _port_bytes(text: str) -> bytes:
    if not _PORT.fullmatch(text) or int(text) > 0xFFFF:
        raise MalformedBytes("multiaddr", "not a port")
    return int(text).to_bytes(2, "big")


def _port_text(data: bytes) -> str:
    return str(int.from_bytes(data, "big"))


def _dns_bytes(text: str) -> bytes:
    if not _DNS_NAME.fullmatch(text):
        raise MalformedBytes("multiaddr", "not a domain name")
    return text.encode()


def _dns_text(data: bytes) -> str:
    text = data.decode("ascii", errors="replace")
    _dns_bytes(text)
    return text


def _peer_bytes(text: str) -> bytes:
    return PeerId.parse(text).multihash


def _peer_text(data: bytes) -> str:
    return str(PeerId(data))


def _certhash_bytes(text: str) -> bytes:
    if text[:1] != "u":
        raise MalformedBytes("multiaddr", "a certificate hash must be in base64url")
    return multibase.decode(text)


def _certhash_text(data: bytes) -> str:
    return multibase.encode("u", data)


def _nothing_bytes(text: str) -> bytes:
    if text:
        raise MalformedBytes("multiaddr", "the protocol takes no value")
    return b""


def _nothing_text(data: bytes) -> str:
    assert not data, "a size of zero was read"
    return ""


_PROTOCOLS: Final = (
    _Protocol(4, "ip4", 4, _ip4_bytes, lambda data: str(ipaddress.IPv4Address(data))),
    _Protocol(41, "ip6", 16, _ip6_bytes, lambda data: str(ipaddress.IPv6Address(data))),
    _Protocol(6, "tcp", 2, _port_bytes, _port_text),
    _Protocol(273, "udp", 2, _port_bytes, _port_text),
    _Protocol(53, "dns", None, _dns_bytes, _dns_text),
    _Protocol(54, "dns4", None, _dns_bytes, _dns_text),
    _Protocol(55, "dns6", None, _dns_bytes, _dns_text),
    _Protocol(56, "dnsaddr", None, _dns_bytes, _dns_text),
    _Protocol(449, "sni", None, _dns_bytes, _dns_text),
    _Protocol(421, "p2p", None, _peer_bytes, _peer_text),
    _Protocol(466, "certhash", None, _certhash_bytes, _certhash_text),
    *(
        _Protocol(code, name, 0, _nothing_bytes, _nothing_text)
        for code, name in (
            (477, "ws"),
            (478, "wss"),
            (448, "tls"),
            (480, "http"),
            (443, "https"),
            (460, "quic"),
            (461, "quic-v1"),
            (465, "webtransport"),
            (280, "webrtc-direct"),
            (281, "webrtc"),
            (290, "p2p-circuit"),
        )
    ),
)
"""Codes: multiformats/multiaddr `protocols.csv`."""

_BY_CODE: Final = {protocol.code: protocol for protocol in _PROTOCOLS}
_BY_NAME: Final = {protocol.name: protocol for protocol in _PROTOCOLS} | {"ipfs": _BY_CODE[421]}
"""`ipfs` is the old text name of `p2p`."""
