"""Our node on the network: the `Host` over TCP and WebSocket."""

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Final, Self
from weakref import WeakValueDictionary

from ipfs.errors import PeerError
from ipfs.host import (
    NetworkError,
    PeerAddress,
    PeerUnreachable,
    ProtocolUnsupported,
    Stream,
    StreamHandler,
)
from ipfs.p2p.budget import MemoryBudget, keep_freed_buffers
from ipfs.p2p.connection import READ_BYTES, Connection, dial_first
from ipfs.p2p.identify import IDENTIFY, IDENTIFY_PUSH, PeerInfo, hear_identity, tell_identity
from ipfs.p2p.limits import DEFAULT_LIMITS, NetworkLimits
from ipfs.p2p.multiaddr import Multiaddr
from ipfs.p2p.peer_id import Identity, PeerId
from ipfs.p2p.peer_store import PeerStore
from ipfs.p2p.ping import PING, PING_BYTES, echo_pings, ping_once
from ipfs.p2p.roster import Roster
from ipfs.p2p.stream import Answerer, ConnectionStream
from ipfs.p2p.transport import Listener, dial, is_dialable, listen

PROTOCOL_VERSION: Final = "ipfs/0.1.0"
AGENT_VERSION: Final = "holdfast/0.1.0"

log = logging.getLogger(__name__)


class Swarm:
    """Listens, dials, upgrades, and answers streams by protocol.

        async with Swarm(identity, listen=[address]) as host: …

    Peers are told the `announce` addresses, which a host behind a router needs; without any,
    those of the sockets. Entering raises `OSError` if an address is taken, `ValueError` if it
    is neither TCP nor WebSocket.

    One TaskGroup owns every task. A stream handler's `PeerError`, `NetworkError` or
    `TimeoutError` resets its stream; any other exception of a handler is a bug: it cancels the
    body and comes out of the `async with` in an `ExceptionGroup`.
    """

    def __init__(
        self,
        identity: Identity,
        *,
        listen: Sequence[Multiaddr] = (),
        announce: Sequence[Multiaddr] = (),
        limits: NetworkLimits = DEFAULT_LIMITS,
    ) -> None:
        self._identity = identity
        self._listen = tuple(listen)
        self._announce = tuple(announce)
        self._limits = limits
        self._budget = MemoryBudget(limits)
        self._buffer = memoryview(bytearray(READ_BYTES))
        self._roster = Roster(identity.peer_id, limits)
        self._store = PeerStore(limits)
        self._answerer = Answerer(limits)
        self._answerer.handlers[IDENTIFY] = self._answer_identify
        self._answerer.handlers[IDENTIFY_PUSH] = self._take_push
        self._answerer.handlers[PING] = echo_pings
        self._identified_listeners: list[Callable[[PeerId, Sequence[str]], None]] = []
        self._listeners: list[Listener] = []
        self._dials: WeakValueDictionary[PeerId, asyncio.Lock] = WeakValueDictionary()
        self._group = asyncio.TaskGroup()
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_closing = False

    async def __aenter__(self) -> Self:
        keep_freed_buffers()
        await self._group.__aenter__()
        try:
            for address in self._listen:
                self._listeners.append(await listen(address, self._new_connection, self._limits))
        except BaseException:
            await self.close()
            await self._group.__aexit__(None, None, None)
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()
        # The body's own exception goes its way; only those of our tasks are the group's to raise.
        if isinstance(error, asyncio.CancelledError):
            await self._group.__aexit__(kind, error, traceback)
        else:
            await self._group.__aexit__(None, None, None)

    @property
    def peer_id(self) -> PeerId:
        """Who we are."""
        return self._identity.peer_id

    @property
    def addresses(self) -> tuple[Multiaddr, ...]:
        """Where we are reached: what is announced, else every socket we listen on."""
        if self._announce:
            return self._announce
        return tuple(address for each in self._listeners for address in each.addresses)

    def handle(self, protocol_id: str, handler: StreamHandler) -> None:
        """Answer inbound streams of this protocol; peers connected already are told."""
        self._answerer.handlers[protocol_id] = handler
        for peer_id in self._roster.peer_ids:
            if connection := self._roster.usable(peer_id):
                self._spawn(self._push(connection))

    def on_peer(self, listener: Callable[[PeerId, bool], None]) -> None:
        """Call the listener at a peer's first connection and after its last."""
        self._roster.on_peer(listener)

    def on_identified(self, listener: Callable[[PeerId, Sequence[str]], None]) -> None:
        """Call the listener whenever a peer has told what it speaks."""
        self._identified_listeners.append(listener)

    async def connect(self, peer: PeerAddress) -> None:
        """Be connected to the peer. Raises `PeerUnreachable`."""
        self.add_addresses(peer)
        await self._connection_to(peer.peer_id)

    async def open_stream(self, peer_id: PeerId, protocol_ids: Sequence[str]) -> tuple[Stream, str]:
        """Open a stream. Raises `PeerUnreachable`, `ProtocolUnsupported`."""
        connection = await self._connection_to(peer_id)
        return await self._open_stream(connection, protocol_ids)

    async def ping(self, peer_id: PeerId) -> float:
        """Return the round trip in seconds. Raises `NetworkError`, `PeerError`, `TimeoutError`."""
        connection = await self._connection_to(peer_id)
        loop = asyncio.get_running_loop()
        async with self._brief_stream(connection, PING) as stream:
            started = loop.time()
            await ping_once(stream, os.urandom(PING_BYTES))
            return loop.time() - started

    def known_addresses(self, peer_id: PeerId) -> tuple[Multiaddr, ...]:
        """Addresses learned for a peer, those that worked first."""
        return self._store.addresses(peer_id)

    def remote_addresses(self, peer_id: PeerId) -> tuple[Multiaddr, ...]:
        """Where the live connections of a peer come from or lead to."""
        return self._roster.remote_addresses(peer_id)

    def add_addresses(self, peer: PeerAddress) -> None:
        """Remember where a peer may be reached."""
        self._store.add(peer.peer_id, peer.addresses)

    def connected_peers(self) -> tuple[PeerId, ...]:
        """Peers with a live connection."""
        return self._roster.peer_ids

    def peer_protocols(self, peer_id: PeerId) -> tuple[str, ...]:
        """What identify learned that the peer speaks; empty if not identified."""
        return self._store.protocol_ids(peer_id)

    def peer_agent(self, peer_id: PeerId) -> str:
        """The software that the peer says it is; a stranger's text."""
        return self._store.agent_version(peer_id)

    async def close(self) -> None:
        """Stop listening, end every connection and every task."""
        self._is_closing = True
        for listener in self._listeners:
            listener.close()
        connections = self._roster.connections
        for connection in connections:
            connection.close()
        for connection in connections:
            await connection.wait_ended()
        for task in tuple(self._tasks):
            task.cancel()

    # What connections tell us, outside of any task.

    def connection_made(self, connection: Connection) -> None:
        """Let it in, if there is room."""
        self._roster.admit(connection)
        if self._is_closing:
            connection.abort(ConnectionAbortedError("the host is closing"))

    def connection_upgraded(self, connection: Connection) -> None:
        """Know the peer from now on, and learn what it speaks."""
        if self._roster.enter(connection):
            self._spawn(self._identify(connection))
            self._spawn(connection.keep_alive())

    def stream_opened(self, stream: ConnectionStream) -> None:
        """Answer it."""
        self._spawn(self._answerer.answer(stream))

    def memory_overdrawn(self) -> None:
        """Make the greediest pay."""
        self._roster.relieve()

    def connection_ended(self, connection: Connection) -> None:
        """Forget it, or replace one that we had dialled and that broke."""
        self._roster.remove(connection)
        if connection.has_broken and not connection.is_inbound:
            self._spawn(self._redial(connection.peer_id))
        log.debug("a connection ended: %s", connection.fault)

    # Outbound: dial, open.

    def _new_connection(self, expected_peer: PeerId | None = None) -> Connection:
        return Connection(
            self._identity,
            owner=self,
            limits=self._limits,
            budget=self._budget,
            buffer=self._buffer,
            is_initiator=expected_peer is not None,
            expected_peer=expected_peer,
        )

    async def _connection_to(self, peer_id: PeerId) -> Connection:
        if connection := self._roster.usable(peer_id):
            return connection
        lock = self._dials.setdefault(peer_id, asyncio.Lock())
        async with lock:
            answers = {}
            if not self._roster.usable(peer_id):
                answers = await self._dial(peer_id)
        if connection := self._roster.usable(peer_id):
            return connection
        raise PeerUnreachable(peer_id, answers)

    async def _dial(self, peer_id: PeerId) -> dict[Multiaddr, str]:
        """Dial the peer's addresses, also those told meanwhile; return what each answered."""
        if peer_id == self.peer_id:
            return dict.fromkeys(self._store.addresses(peer_id), "that is ourselves")
        answers: dict[Multiaddr, str] = {}
        tried: set[Multiaddr] = set()
        while not self._roster.usable(peer_id):
            known = self._store.addresses(peer_id)
            answers |= {it: "not an address that we dial" for it in known if not is_dialable(it)}
            untried = [it for it in known if is_dialable(it) and it not in tried]
            if not untried:
                break
            now = untried[: self._limits.addresses_per_dial_max]
            tried.update(now)
            answers |= await dial_first(
                now,
                lambda address: self._attempt(peer_id, address),
                stagger_seconds=self._limits.dial_stagger_seconds,
            )
        return answers

    async def _redial(self, peer_id: PeerId) -> None:
        """Be connected again, so that the peer can reach us where it cannot dial us."""
        for pause_s in self._limits.redial_seconds:
            try:
                await self._connection_to(peer_id)
            except PeerUnreachable:
                await asyncio.sleep(pause_s)
            else:
                return

    async def _attempt(self, peer_id: PeerId, address: Multiaddr) -> str | None:
        """Dial one address; return why it failed, or None."""
        connection = self._new_connection(peer_id)
        is_upgraded = False
        try:
            async with asyncio.timeout(self._limits.handshake_seconds):
                await dial(address, connection, self._limits)
                await connection.wait_upgraded()
            is_upgraded = True
        except (OSError, PeerError) as error:
            self._store.failed(peer_id, address)
            return _reason(error)
        finally:
            if not is_upgraded and connection in self._roster.connections:
                connection.abort(ConnectionAbortedError("the dial was given up"))
        self._store.succeeded(peer_id, address)
        return "the peer wants no more connections" if connection.has_ended else None

    async def _open_stream(
        self, connection: Connection, protocol_ids: Sequence[str]
    ) -> tuple[ConnectionStream, str]:
        if not connection.can_open_stream:
            answer = "the peer takes no more streams"
            raise PeerUnreachable(connection.peer_id, {connection.remote_address: answer})
        stream = connection.open_stream()
        protocol_id = None
        try:
            async with asyncio.timeout(self._limits.negotiation_seconds):
                protocol_id = await stream.propose(protocol_ids)
        except (PeerError, TimeoutError) as error:
            answer = str(error) or "timed out"
            raise PeerUnreachable(
                connection.peer_id, {connection.remote_address: answer}
            ) from error
        finally:
            if protocol_id is None:
                await stream.reset()
        if protocol_id is None:
            raise ProtocolUnsupported(connection.peer_id, protocol_ids)
        return stream, protocol_id

    @asynccontextmanager
    async def _brief_stream(
        self, connection: Connection, protocol_id: str
    ) -> AsyncIterator[ConnectionStream]:
        """Open a stream for one short exchange, timed, and leave nothing of it."""
        stream, _ = await self._open_stream(connection, [protocol_id])
        try:
            async with asyncio.timeout(self._limits.negotiation_seconds):
                yield stream
                await stream.close_write()
                await stream.read(1)
        finally:
            await stream.reset()

    # Identify, both ways.

    async def _identify(self, connection: Connection) -> None:
        try:
            async with self._brief_stream(connection, IDENTIFY) as stream:
                self._learn(connection.peer_id, await hear_identity(stream))
        except (PeerError, NetworkError, TimeoutError) as fault:
            log.debug("%s does not identify itself: %r", connection.peer_id, fault)

    async def _push(self, connection: Connection) -> None:
        try:
            async with self._brief_stream(connection, IDENTIFY_PUSH) as stream:
                await tell_identity(stream, self._info(stream))
        except (PeerError, NetworkError, TimeoutError) as fault:
            log.debug("%s takes no push: %r", connection.peer_id, fault)

    async def _answer_identify(self, stream: Stream) -> None:
        assert isinstance(stream, ConnectionStream), "the swarm's streams have an address"
        await tell_identity(stream, self._info(stream))

    async def _take_push(self, stream: Stream) -> None:
        self._learn(stream.peer_id, await hear_identity(stream))

    def _info(self, stream: ConnectionStream) -> PeerInfo:
        return PeerInfo(
            public_key=self._identity.public_key,
            addresses=self.addresses,
            protocol_ids=tuple(self._answerer.handlers),
            observed_address=stream.remote_address,
            protocol_version=PROTOCOL_VERSION,
            agent_version=AGENT_VERSION,
        )

    def _learn(self, peer_id: PeerId, info: PeerInfo) -> None:
        self._store.add(peer_id, info.addresses)
        self._store.identified(peer_id, info.protocol_ids, info.agent_version)
        for listener in self._identified_listeners:
            listener(peer_id, info.protocol_ids)

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        if self._is_closing:
            work.close()
            return
        task = self._group.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._task_done)

    def _task_done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        # A bug: the group has begun to end all tasks, and would refuse new ones.
        if not task.cancelled() and task.exception() is not None:
            self._is_closing = True


def _reason(error: Exception) -> str:
    """Return why a dial failed, in the system's words rather than asyncio's where it has any."""
    if isinstance(error, OSError) and error.errno is not None and error.errno > 0:
        return os.strerror(error.errno).lower()
    return getattr(error, "strerror", None) or str(error) or "timed out"
