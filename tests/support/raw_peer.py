"""A peer that follows the protocols up to a point, and from there says whatever a test likes."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from ipfs.p2p.multiaddr import Multiaddr, TcpEndpoint
from ipfs.p2p.noise import NoiseChannel
from ipfs.p2p.peer_id import Identity
from ipfs.p2p.upgrade import Upgrade


class RawPeer:
    """A TCP connection that we dialled; after `upgrade`, a sealed one."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._channel: NoiseChannel | None = None

    async def upgrade(self, identity: Identity, *, first_words: bytes = b"") -> None:
        """Do all that a peer must do before it may open streams.

        first_words: multiplexed frames to say in one breath with the last proposal
        """
        upgrade = Upgrade(identity, is_initiator=True)
        await self.say(upgrade.start())
        while upgrade.result is None:
            out = upgrade.receive(await self._reader.read(1 << 16))
            if first_words and upgrade._handshake.is_finished:
                out += upgrade._handshake.channel.encrypt(first_words)
                first_words = b""
            await self.say(out)
        self._channel = upgrade.result.channel

    async def say(self, data: bytes) -> None:
        """Send bytes, sealed if the connection is."""
        self._writer.write(self._channel.encrypt(data) if self._channel else data)
        await self._writer.drain()

    async def hear(self) -> bytes:
        """Return what the other side says next; b"" where nothing is complete, or at the end."""
        data = await self._reader.read(1 << 16)
        return b"".join(self._channel.decrypt(data)) if self._channel else data

    async def hear_until(self, piece: bytes) -> None:
        """Return when the other side has said `piece`; fail if it hangs up before."""
        heard = b""
        while piece not in heard:
            assert not self._reader.at_eof(), "it hung up"
            heard += await self.hear()

    async def hear_to_end(self) -> bytes:
        """Return all that the other side says until it hangs up."""
        heard = bytearray()
        with suppress(ConnectionResetError):
            while not self._reader.at_eof():
                heard += await self.hear()
        return bytes(heard)


@asynccontextmanager
async def raw_peer(address: Multiaddr) -> AsyncIterator[RawPeer]:
    """Dial an address as a bare TCP client."""
    assert address.tcp_endpoint is not None
    async with raw_socket(address.tcp_endpoint) as peer:
        yield peer


@asynccontextmanager
async def raw_socket(endpoint: TcpEndpoint) -> AsyncIterator[RawPeer]:
    """Open a bare socket, whatever is behind it."""
    reader, writer = await asyncio.open_connection(*endpoint)
    try:
        yield RawPeer(reader, writer)
    finally:
        writer.close()
