"""A WebSocket (RFC 6455) between a connection and its socket; each write is one binary message.

For the connection it is the transport, for the socket the protocol, so that neither knows of it.
What the messages hold is what plain TCP would carry, cut anyhow (libp2p specs,
`websockets/README.md`).
"""

import asyncio
from typing import Any, Final, cast

from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.http11 import Request
from websockets.protocol import State
from websockets.server import ServerProtocol
from websockets.uri import WebSocketURI

from ipfs.errors import LimitExceeded, PeerError
from ipfs.p2p.connection import Connection
from ipfs.p2p.limits import NetworkLimits
from ipfs.p2p.multiaddr import TcpEndpoint

MESSAGE_BYTES_MAX: Final = 1024 * 1024
"""What is held until a message is whole; Noise gives its peers no reason for over 64 KiB."""


class WebSocketFault(PeerError):
    """The peer does not speak WebSocket, or not as it must."""

    code = "websocket-fault"


class WebSocketTransport(asyncio.Transport, asyncio.Protocol):
    """One side of a WebSocket. What is written before the opening handshake is over waits for it.

    A peer's fault ends the connection, and so do more pings than it reads answers to.
    """

    def __init__(
        self, connection: Connection, *, limits: NetworkLimits, dialled: TcpEndpoint | None
    ) -> None:
        super().__init__()
        self._connection = connection
        self._unsent_bytes_max = limits.unsent_bytes_high + limits.unsent_reply_bytes_max
        self._websocket: ClientProtocol | ServerProtocol
        if dialled is None:
            self._websocket = ServerProtocol(max_size=MESSAGE_BYTES_MAX)
        else:
            uri = WebSocketURI(False, dialled.host, dialled.port, "/", "")
            self._websocket = ClientProtocol(uri, max_size=MESSAGE_BYTES_MAX)
        self._early: list[bytes] = []

    # What the socket calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start the opening handshake."""
        self._socket = cast(asyncio.Transport, transport)
        self._connection.connection_made(self)
        if isinstance(self._websocket, ClientProtocol):
            self._websocket.send_request(self._websocket.connect())
        self._send()

    def data_received(self, data: bytes) -> None:
        """Hand the connection what came for it, and answer what is not."""
        self._websocket.receive_data(data)
        for event in self._websocket.events_received():
            if not self.is_closing():
                self._take(event)
        fault = self._websocket.handshake_exc or self._websocket.parser_exc
        if fault is not None:
            self._connection.fail(WebSocketFault(str(fault)))
        if self._early and self._websocket.state is State.OPEN:
            self._websocket.send_binary(b"".join(self._early))
            self._early.clear()
        self._send()
        unsent_bytes = self._socket.get_write_buffer_size()
        if unsent_bytes > self._unsent_bytes_max:
            self._connection.abort(
                LimitExceeded("unsent bytes", limit=self._unsent_bytes_max, asked=unsent_bytes)
            )

    def pause_writing(self) -> None:
        """Let the connection wait for the socket."""
        self._connection.pause_writing()

    def resume_writing(self) -> None:
        """Let the connection go on."""
        self._connection.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the connection."""
        self._connection.connection_lost(exc)

    # What the connection calls.

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send one message, or keep it until messages may be sent."""
        if self._websocket.state is State.OPEN:
            self._websocket.send_binary(data)
            self._send()
        elif self._websocket.state is State.CONNECTING:
            self._early.append(bytes(data))

    def close(self) -> None:
        """Say goodbye, and close once all is sent."""
        if self._websocket.state is State.OPEN:
            self._websocket.send_close()
        self._send()
        self._socket.close()

    def abort(self) -> None:
        """Close at once."""
        self._socket.abort()

    def is_closing(self) -> bool:
        """Whether nothing can be sent any more."""
        return self._socket.is_closing()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Set when writing pauses."""
        self._socket.set_write_buffer_limits(high, low)

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Return what is known of the socket, and that this is a WebSocket."""
        return True if name == "websocket" else self._socket.get_extra_info(name, default)

    def _take(self, event: object) -> None:
        match event:
            case Request() if isinstance(self._websocket, ServerProtocol):
                self._websocket.send_response(self._websocket.accept(event))
            case Frame(opcode=Opcode.BINARY | Opcode.CONT):
                self._connection.receive(memoryview(event.data))
            case Frame(opcode=Opcode.TEXT):
                self._connection.fail(WebSocketFault("text, where bytes are due"))
            case _:
                pass

    def _send(self) -> None:
        """Send what the protocol has to say; its last word is empty, and ends the socket."""
        for data in self._websocket.data_to_send():
            if data:
                self._socket.write(data)
            else:
                self._socket.close()
