"""The port to the network: a host dials peers, opens streams and answers them by protocol."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol, Self

from ipfs.errors import MalformedBytes
from ipfs.p2p.multiaddr import Multiaddr
from ipfs.p2p.peer_id import PeerId


@dataclass(frozen=True, slots=True)
class PeerAddress:
    """Where a peer may be reached: its identity and the addresses to try."""

    peer_id: PeerId
    addresses: tuple[Multiaddr, ...] = ()

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the peer of a multiaddr that ends in /p2p/. Raises `MalformedBytes`."""
        multiaddr = Multiaddr.parse(text)
        peer_id, address = multiaddr.peer_id, multiaddr.without_peer_id()
        if peer_id is None:
            raise MalformedBytes("peer address", f"{text} names no peer: /p2p/ is missing")
        return cls(peer_id, () if address is None else (address,))


class NetworkError(Exception):
    """A peer cannot be talked to now. Nobody is at fault: ask another peer, or later."""

    code: ClassVar[str]


class PeerUnreachable(NetworkError):
    """There is no connection to the peer, and no address of it gave one."""

    code = "peer-unreachable"

    def __init__(self, peer_id: PeerId, answers: Mapping[Multiaddr, str]) -> None:
        tried = "; ".join(f"{address}: {answer}" for address, answer in answers.items())
        super().__init__(f"{peer_id} is unreachable: {tried or 'no address is known'}")
        self.peer_id = peer_id
        self.answers = dict(answers)


class ProtocolUnsupported(NetworkError):
    """The peer speaks none of these protocols."""

    code = "protocol-unsupported"

    def __init__(self, peer_id: PeerId, protocol_ids: Sequence[str]) -> None:
        super().__init__(f"{peer_id} does not speak {' or '.join(protocol_ids)}")
        self.peer_id = peer_id
        self.protocol_ids = tuple(protocol_ids)


class Stream(Protocol):
    """One ordered, flow-controlled conversation with an authenticated peer."""

    @property
    def peer_id(self) -> PeerId:
        """Who is on the other side; proven by the handshake."""

    async def read(self, bytes_max: int) -> bytes:
        """Return 1 to `bytes_max` bytes, or b"" after the peer's half has ended.

        Raises `PeerHungUp` if the stream was reset.
        """

    async def write(self, data: bytes) -> None:
        """Send all of `data`, waiting for the peer's window. Raises `PeerHungUp`."""

    async def close_write(self) -> None:
        """End our half; the peer reads to the end."""

    async def reset(self) -> None:
        """Abandon both halves at once."""


StreamHandler = Callable[[Stream], Awaitable[None]]
"""Answers one inbound stream; our half is closed when it returns.

A `PeerError`, `NetworkError` or `TimeoutError` it raises resets that stream and nothing else.
Any other exception is our bug: it takes the host down and comes out of its `async with`.
"""


class Host(Protocol):
    """A node on the network."""

    @property
    def peer_id(self) -> PeerId:
        """Who we are."""

    @property
    def addresses(self) -> tuple[Multiaddr, ...]:
        """Where we listen, without the /p2p part."""

    def handle(self, protocol_id: str, handler: StreamHandler) -> None:
        """Answer inbound streams of this protocol with `handler` from now on."""

    def on_peer(self, listener: Callable[[PeerId, bool], None]) -> None:
        """Call `listener(peer_id, connected)` at a peer's first connection and after its last."""

    def on_identified(self, listener: Callable[[PeerId, Sequence[str]], None]) -> None:
        """Call `listener(peer_id, protocol_ids)` when a peer has told what it speaks."""

    async def connect(self, peer: PeerAddress) -> None:
        """Be connected to the peer, dialling every address if need be.

        Raises `PeerUnreachable`, which lists what each address answered.
        """

    async def open_stream(self, peer_id: PeerId, protocol_ids: Sequence[str]) -> tuple[Stream, str]:
        """Open a stream in the first protocol of ours that the peer speaks.

        Dials known addresses if there is no connection. Raises `PeerUnreachable`,
        `ProtocolUnsupported`. Whoever opens a stream reads it to its end or resets it.
        """

    def known_addresses(self, peer_id: PeerId) -> tuple[Multiaddr, ...]:
        """Addresses learned for a peer: dialled, identified, or added."""

    def remote_addresses(self, peer_id: PeerId) -> tuple[Multiaddr, ...]:
        """Where the live connections of a peer come from or lead to, which it can't make up."""

    def add_addresses(self, peer: PeerAddress) -> None:
        """Remember where a peer may be reached."""

    def connected_peers(self) -> tuple[PeerId, ...]:
        """Peers with a live connection."""

    def peer_protocols(self, peer_id: PeerId) -> tuple[str, ...]:
        """What identify learned that the peer speaks; empty if not identified."""

    async def close(self) -> None:
        """Stop listening and end every connection."""
