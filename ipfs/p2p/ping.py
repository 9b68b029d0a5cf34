"""Ping: 32 bytes and their echo (libp2p specs, `ping/ping.md`)."""

from typing import Final

from ipfs.errors import OutOfTurn, PeerHungUp
from ipfs.host import Stream

PING: Final = "/ipfs/ping/1.0.0"
PING_BYTES: Final = 32


async def echo_pings(stream: Stream) -> None:
    """Echo whatever comes, until the peer has had enough."""
    while data := await stream.read(PING_BYTES):
        await stream.write(data)


async def ping_once(stream: Stream, payload: bytes) -> None:
    """Send 32 bytes and wait for their echo. Raises `PeerError`."""
    assert len(payload) == PING_BYTES, "a ping has 32 bytes"
    await stream.write(payload)
    echo = b""
    while len(echo) < PING_BYTES:
        data = await stream.read(PING_BYTES - len(echo))
        if not data:
            raise PeerHungUp("the peer stopped echoing")
        echo += data
    if echo != payload:
        raise OutOfTurn("the echo of another ping")
