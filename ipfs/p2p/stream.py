"""A stream over a connection: waits for bytes, the end, or the peer's window."""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Container, Sequence
from typing import Final, Protocol

from ipfs.errors import LimitExceeded, PeerError, PeerHungUp
from ipfs.host import NetworkError, StreamHandler
from ipfs.p2p.limits import NetworkLimits
from ipfs.p2p.multiaddr import Multiaddr
from ipfs.p2p.multistream import Dialer, Listener
from ipfs.p2p.peer_id import PeerId
from ipfs.p2p.yamux import Substream

_NEGOTIATION_READ_BYTES: Final = 4096
_DRAIN_BYTES: Final = 64 * 1024

log = logging.getLogger(__name__)


class StreamCarrier(Protocol):
    """What a stream needs of its connection."""

    @property
    def peer_id(self) -> PeerId:
        """Who is on the other side."""

    @property
    def remote_address(self) -> Multiaddr:
        """Where the other side is."""

    def read(self, substream: Substream, bytes_max: int) -> bytes:
        """Take what is unread."""

    async def write(self, substream: Substream, data: memoryview) -> int:
        """Send what the window takes; return how much."""

    def close_write(self, substream: Substream) -> None:
        """End our half."""

    def reset(self, substream: Substream) -> None:
        """Abandon both halves."""


class ConnectionStream:
    """A stream of a connection. One task may read while another writes."""

    def __init__(self, connection: StreamCarrier, substream: Substream) -> None:
        self._connection = connection
        self._substream = substream
        self._changed = asyncio.Event()
        self._rest = b""

    @property
    def peer_id(self) -> PeerId:
        """Who is on the other side."""
        return self._connection.peer_id

    @property
    def remote_address(self) -> Multiaddr:
        """Where the other side is, as the socket says."""
        return self._connection.remote_address

    async def read(self, bytes_max: int) -> bytes:
        """Return 1 to `bytes_max` bytes, or b"" at the end. Raises `PeerHungUp`."""
        if self._rest:
            data, self._rest = self._rest[:bytes_max], self._rest[bytes_max:]
            return data
        await self._until(lambda: self._substream.is_readable)
        return self._connection.read(self._substream, bytes_max)

    async def write(self, data: bytes) -> None:
        """Send all of `data`, waiting for the peer's window. Raises `PeerHungUp`."""
        view = memoryview(data)
        while view:
            view = view[await self._connection.write(self._substream, view) :]
            if view:
                await self._until(lambda: self._substream.send_window_bytes > 0)

    async def close_write(self) -> None:
        """End our half; the peer reads to the end."""
        self._connection.close_write(self._substream)

    async def reset(self) -> None:
        """Abandon both halves at once."""
        self._connection.reset(self._substream)

    def wake(self) -> None:
        """Let whoever waits look again."""
        self._changed.set()

    async def propose(self, protocol_ids: Sequence[str]) -> str | None:
        """Return the first protocol that the peer agrees to, or None. Raises `PeerError`."""
        dialer = Dialer(protocol_ids)
        await self.write(dialer.start())
        while dialer.agreed is None and not dialer.is_refused:
            await self.write(dialer.receive(await self._read_some()))
        self._rest = dialer.rest
        return dialer.agreed

    async def agree(self, protocol_ids: Container[str]) -> str:
        """Return the protocol of ours that the peer proposes. Raises `PeerError`."""
        listener = Listener(protocol_ids)
        while listener.agreed is None:
            await self.write(listener.receive(await self._read_some()))
        self._rest = listener.rest
        return listener.agreed

    async def _read_some(self) -> bytes:
        data = await self.read(_NEGOTIATION_READ_BYTES)
        if not data:
            raise PeerHungUp("the peer ended the stream before a protocol was agreed on")
        return data

    async def _until(self, is_ready: Callable[[], bool]) -> None:
        while not is_ready() and not self._substream.is_reset:
            self._changed.clear()
            await self._changed.wait()


class Answerer:
    """Answers inbound streams by protocol; a peer's fault costs it that stream."""

    def __init__(self, limits: NetworkLimits) -> None:
        self.handlers: dict[str, StreamHandler] = {}
        self._limits = limits
        self._counts: Counter[PeerId] = Counter()

    async def answer(self, stream: ConnectionStream) -> None:
        """Agree on a protocol and run its handler; the stream is over when this returns."""
        self._counts[stream.peer_id] += 1
        try:
            await self._answer(stream)
        except (PeerError, NetworkError, TimeoutError) as fault:
            log.debug("a stream of %s ended: %r", stream.peer_id, fault)
        finally:
            self._counts[stream.peer_id] -= 1
            if not self._counts[stream.peer_id]:
                del self._counts[stream.peer_id]
            await stream.reset()

    async def _answer(self, stream: ConnectionStream) -> None:
        for count, count_max in (
            (self._counts[stream.peer_id], self._limits.streams_per_peer_max),
            (self._counts.total(), self._limits.streams_max),
        ):
            if count > count_max:
                raise LimitExceeded("inbound streams", limit=count_max, asked=count)
        async with asyncio.timeout(self._limits.negotiation_seconds):
            protocol_id = await stream.agree(self.handlers)
        await self.handlers[protocol_id](stream)
        await stream.close_write()
        async with asyncio.timeout(self._limits.linger_seconds):
            while await stream.read(_DRAIN_BYTES):
                pass
