"""A whole network inside one process, with faults on request: for tests and simulation.

`async with MemoryNetwork() as network:` owns every task; a bug in a stream handler comes out there.
"""

import asyncio
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Final, Self

from ipfs.errors import PeerError, PeerHungUp
from ipfs.host import (
    NetworkError,
    PeerAddress,
    PeerUnreachable,
    ProtocolUnsupported,
    Stream,
    StreamHandler,
)
from ipfs.p2p.multiaddr import Multiaddr
from ipfs.p2p.peer_id import Identity, PeerId

PIPE_BYTES_MAX: Final = 256 * 1024
"""What one direction of a stream holds unread: Yamux's initial window, so waits happen alike."""


class MemoryNetwork:
    """Hosts that reach each other by address, until told otherwise."""

    def __init__(self) -> None:
        self._hosts: dict[PeerId, MemoryHost] = {}
        self._down: set[PeerId] = set()
        self._links: dict[frozenset[PeerId], set[MemoryStream]] = {}
        self._group = asyncio.TaskGroup()
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        await self._group.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for peer_id in tuple(self._hosts):
            self.disconnect_all(peer_id)
        for task in self._tasks:
            task.cancel()
        # The body's own exception goes its way; only those of handlers are the group's to raise.
        if isinstance(error, asyncio.CancelledError):
            await self._group.__aexit__(kind, error, traceback)
        else:
            await self._group.__aexit__(None, None, None)

    def add_host(self, identity: Identity | None = None, *, ip4: str = "127.0.0.1") -> "MemoryHost":
        """Return a new host, reachable at an address of its own."""
        peer_id = (identity or Identity.generate()).peer_id
        address = Multiaddr.parse(f"/ip4/{ip4}/tcp/{len(self._hosts) + 1}")
        host = MemoryHost(self, peer_id, address)
        self._hosts[peer_id] = host
        return host

    def host(self, peer_id: PeerId) -> "MemoryHost":
        """Return a host of this network."""
        return self._hosts[peer_id]

    def take_down(self, peer_id: PeerId) -> None:
        """Make a host unreachable and cut its connections."""
        self._down.add(peer_id)
        self.disconnect_all(peer_id)

    def bring_up(self, peer_id: PeerId) -> None:
        """Make a host reachable again."""
        self._down.discard(peer_id)

    def disconnect_all(self, peer_id: PeerId) -> None:
        """Cut every connection of one host."""
        for other in self.peers_of(peer_id):
            self.disconnect(peer_id, other)

    def disconnect(self, one: PeerId, other: PeerId) -> None:
        """Cut the connection between two hosts, if there is one; its streams are reset."""
        streams = self._links.pop(frozenset((one, other)), None)
        if streams is None:
            return
        for stream in tuple(streams):
            stream.break_off()
        self._hosts[one].tell_peer(other, connected=False)
        self._hosts[other].tell_peer(one, connected=False)

    def peers_of(self, peer_id: PeerId) -> tuple[PeerId, ...]:
        """Return who is connected to a host, in the order of connecting."""
        links = (link for link in self._links if peer_id in link)
        return tuple(other for link in links for other in link if other != peer_id)

    def is_linked(self, one: PeerId, other: PeerId) -> bool:
        """Whether two hosts are connected."""
        return frozenset((one, other)) in self._links

    def link(self, host: "MemoryHost", peer: PeerAddress) -> None:
        """Connect two hosts, both told of it. Raises `PeerUnreachable`."""
        if frozenset((host.peer_id, peer.peer_id)) in self._links:
            return
        remote = self._hosts.get(peer.peer_id)
        is_down = not self._down.isdisjoint((peer.peer_id, host.peer_id))
        if remote in (None, host) or is_down or not set(peer.addresses) & set(remote.addresses):
            raise PeerUnreachable(peer.peer_id, dict.fromkeys(peer.addresses, "nobody answers"))
        self._links[frozenset((host.peer_id, peer.peer_id))] = set()
        host.tell_peer(remote.peer_id, connected=True)
        remote.tell_peer(host.peer_id, connected=True)
        host.identify(remote)
        remote.identify(host)

    def open_stream(self, host: "MemoryHost", peer_id: PeerId, protocol_id: str) -> "MemoryStream":
        """Open a stream over an existing connection; the other side starts to answer it."""
        link = self._links[frozenset((host.peer_id, peer_id))]
        there, back = Pipe(), Pipe()
        near = MemoryStream(peer_id, incoming=back, outgoing=there, siblings=link)
        far = MemoryStream(host.peer_id, incoming=there, outgoing=back, siblings=link)
        link |= {near, far}
        task = self._group.create_task(self._hosts[peer_id].answer(far, protocol_id))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return near


class MemoryHost:
    """A `Host` of a `MemoryNetwork`. It identifies itself with the protocols it handles by then."""

    def __init__(self, network: MemoryNetwork, peer_id: PeerId, address: Multiaddr) -> None:
        self._network = network
        self._peer_id = peer_id
        self._address = address
        self._handlers: dict[str, StreamHandler] = {}
        self._peer_listeners: list[Callable[[PeerId, bool], None]] = []
        self._identified_listeners: list[Callable[[PeerId, Sequence[str]], None]] = []
        self._known: dict[PeerId, tuple[Multiaddr, ...]] = {}
        self._protocols: dict[PeerId, tuple[str, ...]] = {}

    @property
    def peer_id(self) -> PeerId:
        """Who we are."""
        return self._peer_id

    @property
    def addresses(self) -> tuple[Multiaddr, ...]:
        """The one address we are reached at."""
        return (self._address,)

    def handle(self, protocol_id: str, handler: StreamHandler) -> None:
        """Answer streams of this protocol from now on."""
        self._handlers[protocol_id] = handler

    def on_peer(self, listener: Callable[[PeerId, bool], None]) -> None:
        """Call the listener at each connection and disconnection."""
        self._peer_listeners.append(listener)

    def on_identified(self, listener: Callable[[PeerId, Sequence[str]], None]) -> None:
        """Call the listener with what a peer speaks."""
        self._identified_listeners.append(listener)

    async def connect(self, peer: PeerAddress) -> None:
        """Be connected. Raises `PeerUnreachable`."""
        self.add_addresses(peer)
        await asyncio.sleep(0)
        self._network.link(self, PeerAddress(peer.peer_id, self.known_addresses(peer.peer_id)))

    async def open_stream(self, peer_id: PeerId, protocol_ids: Sequence[str]) -> tuple[Stream, str]:
        """Open a stream. Raises `PeerUnreachable`, `ProtocolUnsupported`."""
        await self.connect(PeerAddress(peer_id))
        spoken = self._network.host(peer_id).protocols
        for protocol_id in protocol_ids:
            if protocol_id in spoken:
                return self._network.open_stream(self, peer_id, protocol_id), protocol_id
        raise ProtocolUnsupported(peer_id, protocol_ids)

    def known_addresses(self, peer_id: PeerId) -> tuple[Multiaddr, ...]:
        """Addresses learned for a peer."""
        return self._known.get(peer_id, ())

    def remote_addresses(self, peer_id: PeerId) -> tuple[Multiaddr, ...]:
        """Where a connected peer is."""
        is_connected = self._network.is_linked(self._peer_id, peer_id)
        return self._network.host(peer_id).addresses if is_connected else ()

    def add_addresses(self, peer: PeerAddress) -> None:
        """Remember where a peer may be reached."""
        known = dict.fromkeys((*self.known_addresses(peer.peer_id), *peer.addresses))
        self._known[peer.peer_id] = tuple(known)

    def connected_peers(self) -> tuple[PeerId, ...]:
        """Peers with a live connection."""
        return self._network.peers_of(self._peer_id)

    def peer_protocols(self, peer_id: PeerId) -> tuple[str, ...]:
        """What the peer said that it speaks when it connected."""
        return self._protocols.get(peer_id, ())

    async def close(self) -> None:
        """Leave the network."""
        self._network.take_down(self._peer_id)
        await asyncio.sleep(0)

    @property
    def protocols(self) -> tuple[str, ...]:
        """What we answer."""
        return tuple(self._handlers)

    def tell_peer(self, peer_id: PeerId, *, connected: bool) -> None:
        """Tell the listeners that a connection has come or gone."""
        for listener in self._peer_listeners:
            listener(peer_id, connected)

    def identify(self, peer: "MemoryHost") -> None:
        """Learn what a connected peer would say of itself, and tell the listeners."""
        self.add_addresses(PeerAddress(peer.peer_id, peer.addresses))
        self._protocols[peer.peer_id] = peer.protocols
        for listener in self._identified_listeners:
            listener(peer.peer_id, peer.protocols)

    async def answer(self, stream: "MemoryStream", protocol_id: str) -> None:
        """Run the handler of one inbound stream; a peer's fault resets the stream."""
        try:
            await self._handlers[protocol_id](stream)
            await stream.close_write()
        except (PeerError, NetworkError, TimeoutError):
            await stream.reset()


class Pipe:
    """One direction of a stream; a slow reader slows its writer."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._is_ended = False
        self._is_broken = False
        self._changed = asyncio.Event()

    async def read(self, bytes_max: int) -> bytes:
        """Return what is there, waiting for it; b"" at the end. Raises `PeerHungUp`."""
        await self._until(lambda: bool(self._buffer) or self._is_ended)
        data = bytes(self._buffer[:bytes_max])
        del self._buffer[:bytes_max]
        self._changed.set()
        return data

    async def write(self, data: bytes) -> None:
        """Put all of `data` in, waiting for room. Raises `PeerHungUp`."""
        view = memoryview(data)
        while view:
            await self._until(lambda: len(self._buffer) < PIPE_BYTES_MAX)
            assert not self._is_ended, "our half was closed"
            room_bytes = PIPE_BYTES_MAX - len(self._buffer)
            self._buffer += view[:room_bytes]
            view = view[room_bytes:]
            self._changed.set()

    def end(self) -> None:
        """Let the reader come to an end."""
        self._is_ended = True
        self._changed.set()

    def break_off(self) -> None:
        """Fail both ends from now on."""
        self._is_broken = True
        self._changed.set()

    async def _until(self, is_ready: Callable[[], bool]) -> None:
        while not self._is_broken and not is_ready():
            self._changed.clear()
            await self._changed.wait()
        if self._is_broken:
            raise PeerHungUp("the stream was reset")


class MemoryStream:
    """One end of a stream between two hosts of a `MemoryNetwork`."""

    def __init__(
        self, peer_id: PeerId, *, incoming: Pipe, outgoing: Pipe, siblings: "set[MemoryStream]"
    ) -> None:
        self._peer_id = peer_id
        self._incoming = incoming
        self._outgoing = outgoing
        self._siblings = siblings

    @property
    def peer_id(self) -> PeerId:
        """Who is on the other side."""
        return self._peer_id

    async def read(self, bytes_max: int) -> bytes:
        """Return 1 to `bytes_max` bytes, or b"" at the end. Raises `PeerHungUp`."""
        return await self._incoming.read(bytes_max)

    async def write(self, data: bytes) -> None:
        """Send all of `data`. Raises `PeerHungUp`."""
        await self._outgoing.write(data)

    async def close_write(self) -> None:
        """End our half."""
        self._outgoing.end()

    async def reset(self) -> None:
        """Abandon both halves."""
        self.break_off()

    def break_off(self) -> None:
        """Fail both ends, at once."""
        self._incoming.break_off()
        self._outgoing.break_off()
        self._siblings.discard(self)
