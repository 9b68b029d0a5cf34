"""Yamux: many flow-controlled streams over one connection (hashicorp/yamux `spec.md`); sans-io.

Every frame is 12 bytes of header, and a body only for DATA. A sender spends the window that
the receiver granted; we grant again what our reader has consumed, never more than we hold.
"""

import struct
from collections import deque
from dataclasses import dataclass, field
from typing import Final

from ipfs.errors import PeerError, PeerHungUp
from ipfs.p2p.budget import MemoryBudget
from ipfs.p2p.limits import NetworkLimits
from ipfs.p2p.noise import PAYLOAD_BYTES_MAX

INITIAL_WINDOW_BYTES: Final = 256 * 1024
HEADER_BYTES: Final = 12
DATA_BYTES_MAX: Final = 4 * PAYLOAD_BYTES_MAX - HEADER_BYTES
"""Our frames fill four Noise messages, and fit the window that a stream begins with; a peer's may
be as large as its window."""

DATA, WINDOW_UPDATE, PING, GO_AWAY = range(4)
SYN, ACK, FIN, RST = 1, 2, 4, 8
_KNOWN_FLAGS: Final = SYN | ACK | FIN | RST
_WINDOW_BYTES_MAX: Final = (1 << 32) - 1
_STREAM_ID_MAX: Final = (1 << 32) - 1
_HEADER: Final = struct.Struct(">BBHII")

GO_AWAY_NORMAL: Final = 0
GO_AWAY_PROTOCOL_ERROR: Final = 1


class YamuxFault(PeerError):
    """The peer broke the multiplexer's rules; the connection is of no more use."""

    code = "yamux-fault"


class Substream:
    """The state of one stream. Only its `YamuxSession` changes it."""

    def __init__(self, stream_id: int) -> None:
        self.id = stream_id
        self.send_window_bytes = INITIAL_WINDOW_BYTES
        self.receive_window_bytes = INITIAL_WINDOW_BYTES
        """What the peer may still send."""
        self.capacity_bytes = INITIAL_WINDOW_BYTES
        """What we hold at most: the window and the unread together."""
        self.unread = bytearray()
        self.is_write_closed = False
        self.is_read_ended = False
        """Whether the peer has said all; a reset after that takes nothing of it away."""
        self.is_reset = False

    @property
    def is_readable(self) -> bool:
        """Whether `read` has bytes, the end or a reset to tell."""
        return bool(self.unread) or self.is_read_ended or self.is_reset

    @property
    def is_over(self) -> bool:
        """Whether no frame can change the stream any more."""
        return self.is_reset or (self.is_write_closed and self.is_read_ended)


@dataclass(slots=True)
class Arrivals:
    """What some received bytes brought about."""

    opened: list[Substream] = field(default_factory=list)
    changed: set[Substream] = field(default_factory=set)
    reset_count: int = 0
    """How many streams of its own the peer has reset."""


class YamuxSession:
    """One end of a multiplexed connection. `take_outgoing` has what to send after any call."""

    def __init__(
        self, *, is_client: bool, limits: NetworkLimits, budget: MemoryBudget | None = None
    ) -> None:
        self._limits = limits
        self._budget = budget or MemoryBudget(limits)
        self._next_id = 1 if is_client else 2
        self._peer_parity = 0 if is_client else 1
        self._streams: dict[int, Substream] = {}
        self._growth_bytes = 0
        self.held_bytes = 0
        self._partial_header = b""
        self._body_bytes_left = 0
        self._body_stream: Substream | None = None
        self._body_is_last = False
        self._outgoing: deque[bytes | memoryview] = deque()
        self.outgoing_bytes = 0
        self._reply_bytes = 0
        self.is_peer_leaving = False

    @property
    def streams(self) -> tuple[Substream, ...]:
        """The streams that are not over."""
        return tuple(self._streams.values())

    @property
    def can_open(self) -> bool:
        """Whether one more stream of ours is allowed."""
        ours = sum(stream_id % 2 != self._peer_parity for stream_id in self._streams)
        has_room = ours < self._limits.streams_per_connection_max
        return has_room and not self.is_peer_leaving and self._next_id <= _STREAM_ID_MAX

    def open(self) -> Substream:
        """Open a stream; it may be written at once."""
        assert self.can_open, "ask can_open first"
        stream = Substream(self._next_id)
        self._next_id += 2
        self._streams[stream.id] = stream
        self._send(WINDOW_UPDATE, SYN, stream.id, 0)
        return stream

    def write(self, stream: Substream, data: memoryview) -> int:
        """Send as much of `data` as the peer's window takes, return how much; 0 means wait.

        Raises `PeerHungUp` on a reset stream.
        """
        _refuse_reset(stream)
        assert not stream.is_write_closed, "our half was closed"
        size_bytes = min(len(data), stream.send_window_bytes, DATA_BYTES_MAX)
        if size_bytes:
            self._send(DATA, 0, stream.id, size_bytes)
            self._outgoing.append(data[:size_bytes])
            self.outgoing_bytes += size_bytes
            stream.send_window_bytes -= size_bytes
        return size_bytes

    def read(self, stream: Substream, bytes_max: int) -> bytes:
        """Return what is unread, at most `bytes_max`; b"" means wait, or the end if it is ended.

        Grants the peer what was consumed. Raises `PeerHungUp` if it was reset before its end.
        """
        if not stream.is_read_ended:
            _refuse_reset(stream)
        data = bytes(memoryview(stream.unread)[:bytes_max])
        del stream.unread[: len(data)]
        self._hold(-len(data))
        if not stream.is_read_ended:
            self._grant(stream)
        return data

    def close_write(self, stream: Substream) -> None:
        """End our half of the stream; again is no error."""
        if not stream.is_write_closed and not stream.is_reset:
            stream.is_write_closed = True
            self._send(DATA, FIN, stream.id, 0)
            self._forget_if_over(stream)

    def reset(self, stream: Substream) -> None:
        """Abandon the stream; again is no error."""
        if not stream.is_over:
            self._send(WINDOW_UPDATE, RST, stream.id, 0)
        stream.is_reset = True
        stream.is_read_ended = False
        self._drop_unread(stream)
        self._forget_if_over(stream)

    def ping(self) -> None:
        """Ask the peer for a sign of life."""
        self._send(PING, SYN, 0, 0)

    def go_away(self, reason: int) -> None:
        """Tell the peer that we leave."""
        self._send(GO_AWAY, 0, 0, reason)

    def abort(self) -> tuple[Substream, ...]:
        """Reset every stream without a word, as the connection is gone; return them."""
        streams = self.streams
        for stream in streams:
            stream.is_reset = True
        self._streams.clear()
        self._budget.held_bytes -= self.held_bytes
        self._budget.grown_bytes -= self._growth_bytes
        # What can still be read is held on nobody's account but its reader's.
        self._budget = MemoryBudget(self._limits)
        return streams

    def take_outgoing(self, bytes_max: int = PAYLOAD_BYTES_MAX) -> bytes | memoryview:
        """Return what is to be sent next, wherever that cuts a frame; b"" if there is nothing."""
        parts: list[bytes | memoryview] = []
        room_bytes = bytes_max
        while self._outgoing and room_bytes:
            part = self._outgoing.popleft()
            if len(part) > room_bytes:
                self._outgoing.appendleft(part[room_bytes:])
                part = part[:room_bytes]
            parts.append(part)
            room_bytes -= len(part)
        self.outgoing_bytes -= bytes_max - room_bytes
        self._reply_bytes = min(self._reply_bytes, self.outgoing_bytes)
        # Most of a large body is sent from where it is.
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def receive(self, *pieces: bytes) -> Arrivals:
        """Take the peer's bytes, however they are cut. Raises `YamuxFault`."""
        arrivals = Arrivals()
        for piece in pieces:
            self._receive(piece, arrivals)
        if self._reply_bytes > self._limits.unsent_reply_bytes_max:
            raise YamuxFault("asks for more answers than it reads")
        return arrivals

    def _receive(self, data: bytes, arrivals: Arrivals) -> None:
        view = memoryview(self._partial_header + data if self._partial_header else data)
        position = 0
        while position < len(view):
            if self._body_bytes_left:
                chunk = view[position : position + self._body_bytes_left]
                self._take_body(chunk, arrivals)
                position += len(chunk)
            elif len(view) - position < HEADER_BYTES:
                break
            else:
                self._take_header(_HEADER.unpack_from(view, position), arrivals)
                position += HEADER_BYTES
        self._partial_header = bytes(view[position:])

    def _take_header(self, header: tuple[int, int, int, int, int], arrivals: Arrivals) -> None:
        version, kind, flags, stream_id, value = header
        if version != 0 or kind > GO_AWAY or flags & ~_KNOWN_FLAGS:
            raise YamuxFault(f"version {version}, type {kind}, flags {flags:#x}")
        if kind in (PING, GO_AWAY):
            self._take_session_frame(kind, flags, stream_id, value)
            return
        if stream_id == 0:
            raise YamuxFault("a stream frame for the session")
        if flags & SYN:
            self._accept(stream_id, arrivals)
        stream = self._streams.get(stream_id)
        if kind == DATA:
            self._expect_body(stream, value, is_last=bool(flags & FIN))
        elif stream is not None:
            if stream.send_window_bytes + value > _WINDOW_BYTES_MAX:
                raise YamuxFault("a window over 32 bits")
            stream.send_window_bytes += value
            arrivals.changed.add(stream)
        if stream is not None and flags & RST:
            arrivals.reset_count += stream_id % 2 == self._peer_parity
            stream.is_reset = True
            if not stream.is_read_ended:
                self._drop_unread(stream)
            arrivals.changed.add(stream)
            self._forget_if_over(stream)
        elif stream is not None and flags & FIN and not self._body_bytes_left:
            self._end(stream, arrivals)

    def _take_session_frame(self, kind: int, flags: int, stream_id: int, value: int) -> None:
        if stream_id != 0:
            raise YamuxFault("a session frame for a stream")
        if kind == GO_AWAY:
            self.is_peer_leaving = True
        elif flags & SYN:
            self._reply(PING, ACK, 0, value)

    def _accept(self, stream_id: int, arrivals: Arrivals) -> None:
        if stream_id % 2 != self._peer_parity:
            raise YamuxFault("opens a stream under an id of ours")
        if stream_id in self._streams:
            raise YamuxFault("opens a stream twice")
        theirs = sum(known % 2 == self._peer_parity for known in self._streams)
        if theirs >= self._limits.streams_per_connection_max:
            self._reply(WINDOW_UPDATE, RST, stream_id, 0)
            return
        stream = Substream(stream_id)
        self._streams[stream_id] = stream
        self._reply(WINDOW_UPDATE, ACK, stream_id, 0)
        arrivals.opened.append(stream)

    def _expect_body(self, stream: Substream | None, size_bytes: int, *, is_last: bool) -> None:
        # What the peer sent before it knew of our reset is still on its way: skipped, in bounds.
        granted = self._limits.stream_window_bytes_max
        if stream is not None:
            if size_bytes and stream.is_read_ended:
                raise YamuxFault("data after the end of a stream")
            granted = stream.receive_window_bytes
            stream.receive_window_bytes -= size_bytes
        if size_bytes > granted:
            raise YamuxFault(f"{size_bytes} bytes of data, {granted} granted")
        self._body_bytes_left = size_bytes
        self._body_stream = stream
        self._body_is_last = is_last

    def _take_body(self, chunk: memoryview, arrivals: Arrivals) -> None:
        self._body_bytes_left -= len(chunk)
        stream = self._body_stream
        if stream is None or stream.is_reset:
            return
        stream.unread += chunk
        self._hold(len(chunk))
        arrivals.changed.add(stream)
        if self._body_is_last and not self._body_bytes_left:
            self._end(stream, arrivals)

    def _end(self, stream: Substream, arrivals: Arrivals) -> None:
        stream.is_read_ended = True
        arrivals.changed.add(stream)
        self._forget_if_over(stream)

    def _grant(self, stream: Substream) -> None:
        used_bytes = stream.receive_window_bytes + len(stream.unread)
        if stream.capacity_bytes - used_bytes < stream.capacity_bytes // 2:
            return
        growth_bytes = min(
            stream.capacity_bytes,
            self._limits.stream_window_bytes_max - stream.capacity_bytes,
            self._limits.connection_growth_bytes_max - self._growth_bytes,
            self._budget.growth_left_bytes,
        )
        self._grow(stream, growth_bytes)
        delta_bytes = stream.capacity_bytes - used_bytes
        stream.receive_window_bytes += delta_bytes
        self._send(WINDOW_UPDATE, 0, stream.id, delta_bytes)

    def _forget_if_over(self, stream: Substream) -> None:
        if stream.is_over and self._streams.pop(stream.id, None) is not None:
            self._grow(stream, INITIAL_WINDOW_BYTES - stream.capacity_bytes)

    def _grow(self, stream: Substream, delta_bytes: int) -> None:
        stream.capacity_bytes += delta_bytes
        self._growth_bytes += delta_bytes
        self._budget.grown_bytes += delta_bytes

    def _hold(self, delta_bytes: int) -> None:
        self.held_bytes += delta_bytes
        self._budget.held_bytes += delta_bytes

    def _drop_unread(self, stream: Substream) -> None:
        self._hold(-len(stream.unread))
        stream.unread.clear()

    def _reply(self, kind: int, flags: int, stream_id: int, value: int) -> None:
        self._reply_bytes += HEADER_BYTES
        self._send(kind, flags, stream_id, value)

    def _send(self, kind: int, flags: int, stream_id: int, value: int) -> None:
        self._outgoing.append(_HEADER.pack(0, kind, flags, stream_id, value))
        self.outgoing_bytes += HEADER_BYTES


def _refuse_reset(stream: Substream) -> None:
    if stream.is_reset:
        raise PeerHungUp("the stream was reset")
