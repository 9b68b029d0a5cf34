"""One connection: bytes in, upgraded, cut into streams; many frames a wake-up."""

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Iterable, Sequence
from typing import Final, Protocol, cast

from ipfs.errors import LimitExceeded, PeerError, PeerHungUp
from ipfs.p2p.budget import MemoryBudget, Rate
from ipfs.p2p.limits import NetworkLimits
from ipfs.p2p.multiaddr import Multiaddr, TcpEndpoint
from ipfs.p2p.peer_id import Identity, PeerId
from ipfs.p2p.stream import ConnectionStream
from ipfs.p2p.upgrade import Upgrade, Upgraded
from ipfs.p2p.yamux import (
    GO_AWAY_NORMAL,
    GO_AWAY_PROTOCOL_ERROR,
    Substream,
    YamuxSession,
)

READ_BYTES: Final = 1024 * 1024
"""Read from a socket at once: less costs more wake-ups."""


class ConnectionOwner(Protocol):
    """Told, outside of any task, what becomes of a connection."""

    def connection_made(self, connection: "Connection") -> None:
        """The socket is there; abort the connection to refuse it."""

    def connection_upgraded(self, connection: "Connection") -> None:
        """The peer is proven and streams may be opened."""

    def stream_opened(self, stream: ConnectionStream) -> None:
        """The peer has opened a stream."""

    def memory_overdrawn(self) -> None:
        """All connections together hold more than they may."""

    def connection_ended(self, connection: "Connection") -> None:
        """The socket is gone, and all streams with it."""


class Connection(asyncio.BufferedProtocol):
    """A connection from its socket to its end.

    `wait_upgraded` returns once the peer is proven; every later fault of the peer ends the
    connection and resets its streams. Nothing here waits for a reader: Yamux windows bound
    what may come. A bug of ours in what asyncio calls is logged by asyncio, and ends it too.
    buffer:  what the socket is read into, of `READ_BYTES`; all connections of a loop may share it,
             as what is read is taken before any other socket is
    """

    def __init__(
        self,
        identity: Identity,
        *,
        owner: ConnectionOwner,
        limits: NetworkLimits,
        budget: MemoryBudget,
        buffer: memoryview,
        is_initiator: bool,
        expected_peer: PeerId | None = None,
    ) -> None:
        self._owner = owner
        self._limits = limits
        self._is_initiator = is_initiator
        self._upgrade = Upgrade(identity, is_initiator=is_initiator, expected_peer=expected_peer)
        self._loop = asyncio.get_running_loop()
        self._budget = budget
        self._session = YamuxSession(is_client=is_initiator, limits=limits, budget=budget)
        self._resets = Rate(
            per_second=limits.stream_resets_per_second, burst=limits.stream_resets_burst
        )
        self._streams: dict[int, ConnectionStream] = {}
        self._upgraded: Upgraded | None = None
        self._fault: Exception | None = None
        self._settled = asyncio.Event()
        self._ended = asyncio.Event()
        self._room = asyncio.Event()
        self._is_paused = False
        self._is_flush_due = False
        self._is_leaving = False
        self._is_sign_of_life_due = False
        self._deadline: asyncio.TimerHandle | None = None
        self._buffer = buffer

    @property
    def peer_id(self) -> PeerId:
        """Who is on the other side."""
        return self._proven.peer_id

    @property
    def remote_address(self) -> Multiaddr:
        """Where the other side is, as the socket says."""
        host, port = self._transport.get_extra_info("peername")[:2]
        endpoint = TcpEndpoint(host.partition("%")[0], port)
        is_websocket = self._transport.get_extra_info("websocket", False)
        return Multiaddr.websocket(endpoint) if is_websocket else Multiaddr.tcp(endpoint)

    @property
    def is_inbound(self) -> bool:
        """Whether the other side has dialled."""
        return not self._is_initiator

    @property
    def is_upgraded(self) -> bool:
        """Whether the peer was proven."""
        return self._upgraded is not None

    @property
    def is_idle(self) -> bool:
        """Whether the connection serves nobody at the moment."""
        return self.is_upgraded and not self.has_ended and not self._session.streams

    @property
    def can_open_stream(self) -> bool:
        """Whether one more stream may be opened now."""
        return self.is_upgraded and not self.has_ended and self._session.can_open

    @property
    def held_bytes(self) -> int:
        """What the peer has sent and nobody has read."""
        return self._session.held_bytes

    @property
    def fault(self) -> Exception | None:
        """Why the connection ended, if it was not by a goodbye."""
        return self._fault

    @property
    def has_broken(self) -> bool:
        """Whether it ended though neither side wanted that: it may be worth another."""
        was_wanted = self._is_leaving or self._session.is_peer_leaving
        is_cut = isinstance(self._fault, PeerError | ConnectionAbortedError)
        return self.is_upgraded and self.has_ended and not was_wanted and not is_cut

    @property
    def has_ended(self) -> bool:
        """Whether the connection is over, or about to be."""
        return self._ended.is_set() or self._transport.is_closing()

    async def wait_upgraded(self) -> None:
        """Return when the peer is proven. Raises `PeerError`, `OSError`, `TimeoutError`."""
        await self._settled.wait()
        if not self.is_upgraded:
            raise self._fault or PeerHungUp("the peer closed the connection during the handshake")

    def open_stream(self) -> ConnectionStream:
        """Open a stream of ours; ask `can_open_stream` first."""
        stream = self._add_stream(self._session.open())
        self._flush_soon()
        return stream

    async def keep_alive(self) -> None:
        """Ping the peer until the connection ends, and end it if the peer gives no sign of life."""
        while not await self._ends_within(self._limits.keepalive_seconds):
            if self._is_sign_of_life_due:
                self.abort(TimeoutError("the peer gives no sign of life"))
            else:
                self._is_sign_of_life_due = True
                self._session.ping()
                self._flush_soon()

    def close(self, *, reason: int = GO_AWAY_NORMAL) -> None:
        """Say goodbye and close once all is sent; `wait_ended` tells when."""
        if self.has_ended:
            return
        self._is_leaving = True
        if self._upgraded is not None:
            self._session.go_away(reason)
            self._send_outgoing()
        self._set_deadline(self._limits.goodbye_seconds)
        self._transport.close()

    def fail(self, fault: PeerError) -> None:
        """Close because of a fault of the peer's, and tell it so."""
        self._fault = self._fault or fault
        self.close(reason=GO_AWAY_PROTOCOL_ERROR)

    def abort(self, fault: Exception) -> None:
        """End the connection at once."""
        self._fault = self._fault or fault
        self._transport.abort()

    async def wait_ended(self) -> None:
        """Return when the socket is gone."""
        await self._ended.wait()

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start the upgrade."""
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(high=self._limits.unsent_bytes_high)
        self._set_deadline(self._limits.handshake_seconds)
        if transport.get_extra_info("peername") is None:
            self.abort(ConnectionResetError("the peer was gone before we knew its address"))
            return
        self._owner.connection_made(self)
        if self._is_initiator:
            self._transport.write(self._upgrade.start())

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - asyncio's signature
        """Lend the buffer that the socket is read into."""
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Take what was read."""
        self.receive(self._buffer[:nbytes])

    def receive(self, data: bytes | memoryview) -> None:
        """Take what came; a peer's fault ends the connection."""
        self._is_sign_of_life_due = False
        try:
            if self._upgraded is None:
                self._advance_upgrade(bytes(data))
            else:
                self._take(self._upgraded.channel.decrypt(data))
        except PeerError as fault:
            self.fail(fault)

    def pause_writing(self) -> None:
        """Keep frames back: the socket is slower than we are."""
        self._is_paused = True

    def resume_writing(self) -> None:
        """Send what was kept back."""
        self._is_paused = False
        self._flush()

    def connection_lost(self, exc: Exception | None) -> None:
        """Reset every stream and tell the owner."""
        self._fault = self._fault or exc
        if self._deadline:
            self._deadline.cancel()
        for substream in self._session.abort():
            self._wake((substream,))
        self._room.set()
        self._settled.set()
        self._ended.set()
        self._owner.connection_ended(self)

    # What the streams call.

    def read(self, substream: Substream, bytes_max: int) -> bytes:
        """Take what the stream has unread, which lets the peer send as much again."""
        data = self._session.read(substream, bytes_max)
        self._flush_soon()
        return data

    async def write(self, substream: Substream, data: memoryview) -> int:
        """Send what the window takes, once there is room; return how much."""
        while not self._has_room and not substream.is_reset:
            self._room.clear()
            await self._room.wait()
        sent_bytes = self._session.write(substream, data)
        self._flush_soon()
        return sent_bytes

    def close_write(self, substream: Substream) -> None:
        """End our half of a stream."""
        self._session.close_write(substream)
        self._flush_soon()
        self._forget_if_over(substream)

    def reset(self, substream: Substream) -> None:
        """Abandon a stream."""
        self._session.reset(substream)
        self._flush_soon()
        self._wake((substream,))

    @property
    def _proven(self) -> Upgraded:
        assert self._upgraded is not None, "the peer is not proven yet"
        return self._upgraded

    @property
    def _has_room(self) -> bool:
        is_full = self._session.outgoing_bytes >= self._limits.unsent_bytes_high
        return not self._is_paused and not is_full

    def _advance_upgrade(self, data: bytes) -> None:
        self._transport.write(self._upgrade.receive(data))
        if self._upgrade.result is None:
            return
        self._upgraded = self._upgrade.result
        if self._deadline:
            self._deadline.cancel()
        self._settled.set()
        self._owner.connection_upgraded(self)
        if not self.has_ended:
            self._take((self._upgraded.rest,))

    def _take(self, plaintexts: Iterable[bytes]) -> None:
        arrivals = self._session.receive(*plaintexts)
        if not self._resets.take(arrivals.reset_count, self._loop.time()):
            limit = self._limits.stream_resets_burst
            raise LimitExceeded("streams reset at once", limit=limit, asked=limit + 1)
        for substream in arrivals.opened:
            self._owner.stream_opened(self._add_stream(substream))
        self._wake(arrivals.changed)
        self._flush_soon()
        if self._budget.is_overdrawn:
            self._owner.memory_overdrawn()

    def _add_stream(self, substream: Substream) -> ConnectionStream:
        stream = ConnectionStream(self, substream)
        self._streams[substream.id] = stream
        return stream

    def _wake(self, substreams: Iterable[Substream]) -> None:
        for substream in substreams:
            if stream := self._streams.get(substream.id):
                stream.wake()
            self._forget_if_over(substream)

    def _forget_if_over(self, substream: Substream) -> None:
        if substream.is_over:
            self._streams.pop(substream.id, None)

    def _flush_soon(self) -> None:
        # Frames of one turn of the loop, from all streams, leave in one write.
        if not self._is_flush_due and self._session.outgoing_bytes:
            self._is_flush_due = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._is_flush_due = False
        if self._is_paused or self.has_ended:
            return
        self._send_outgoing()
        self._room.set()

    def _send_outgoing(self) -> None:
        # To send costs as much as to seal 64 KiB: what there is goes out at once.
        sealed: list[bytes] = []
        while outgoing := self._session.take_outgoing():
            sealed += self._proven.channel.seal(outgoing)
        if sealed:
            # By `writelines` several Pythons of 3.12 and 3.13 buffer without end (CVE-2024-12254).
            self._transport.write(b"".join(sealed))

    def _set_deadline(self, seconds: float) -> None:
        if self._deadline:
            self._deadline.cancel()
        fault = TimeoutError(f"the peer took over {seconds} s")
        self._deadline = self._loop.call_later(seconds, self.abort, fault)

    async def _ends_within(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                await self._ended.wait()
        except TimeoutError:
            return False
        return True


async def dial_first(
    addresses: Sequence[Multiaddr],
    attempt: Callable[[Multiaddr], Coroutine[None, None, str | None]],
    *,
    stagger_seconds: float,
) -> dict[Multiaddr, str]:
    """Attempt addresses in order until one succeeds; return what each that failed answered.

    `attempt` returns None on success. The next address starts as soon as one has failed, or
    beside those pending once the stagger is over (happy eyeballs, RFC 8305).
    """
    answers: dict[Multiaddr, str] = {}
    untried = deque(addresses)
    running: dict[asyncio.Task[str | None], Multiaddr] = {}
    async with asyncio.TaskGroup() as group:
        while untried or running:
            if untried:
                address = untried.popleft()
                running[group.create_task(attempt(address))] = address
            done, _ = await asyncio.wait(
                running,
                timeout=stagger_seconds if untried else None,
                return_when=asyncio.FIRST_COMPLETED,
            )
            for task in done:
                answer = task.result()
                address = running.pop(task)
                if answer is None:
                    for loser in running:
                        loser.cancel()
                    return answers
                answers[address] = answer
    return answers
