"""One peer, as Bitswap sees it: the stream that we write to, and the frames that it writes."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final

from ipfs.bitswap.messages import MESSAGE_BYTES_MAX, PROTOCOL_ID, Message
from ipfs.bitswap.wantlist import Requests
from ipfs.errors import PeerHungUp, PeerTooSlow
from ipfs.framing import FrameReader, encode_frame
from ipfs.host import Host, Stream
from ipfs.p2p.peer_id import PeerId

READ_BYTES: Final = 256 * 1024

MESSAGE_SECONDS_MAX: Final = 60.0
"""For one message to come or go, from its first byte: 4 MiB at 70 kB/s."""


@dataclass(slots=True)
class Tally:
    """What went both ways between us and one peer while it was connected."""

    bytes_sent: int = 0
    bytes_received: int = 0
    blocks_sent: int = 0
    blocks_received: int = 0
    blocks_unasked: int = 0


class Link:
    """What we have to say to one peer, and the stream to say it on, opened when first needed."""

    def __init__(self, host: Host, peer_id: PeerId) -> None:
        self._host = host
        self._stream: Stream | None = None
        self.peer_id = peer_id
        self.requests = Requests()
        self.tally = Tally()
        self.has_news = asyncio.Event()

    async def send(self, message: Message) -> None:
        """Send one message, again on a new stream if the old one turns out to be reset.

        Raises `NetworkError`, `PeerHungUp`, `PeerTooSlow`.
        """
        frame = encode_frame(message.encode())
        try:
            async with asyncio.timeout(MESSAGE_SECONDS_MAX):
                try:
                    await self._write(frame)
                except PeerHungUp:
                    self._stream = None
                    await self._write(frame)
        except TimeoutError:
            raise PeerTooSlow("it did not take a message") from None
        self.tally.bytes_sent += len(frame)
        self.tally.blocks_sent += len(message.blocks)

    async def _write(self, frame: bytes) -> None:
        if self._stream is None:
            self._stream, _ = await self._host.open_stream(self.peer_id, (PROTOCOL_ID,))
        await self._stream.write(frame)

    async def close(self) -> None:
        """End the stream; what was sent on it still arrives."""
        if self._stream is not None:
            with contextlib.suppress(PeerHungUp):
                await self._stream.close_write()

    async def reset(self) -> None:
        """Abandon the stream."""
        if self._stream is not None:
            await self._stream.reset()


async def read_frames(
    stream: Stream, *, frame_seconds_max: float = MESSAGE_SECONDS_MAX
) -> AsyncIterator[bytes]:
    """Yield the frames of a stream to its end, however long it is silent between them.

    Raises `PeerTooSlow` if one frame takes too long, `PeerHungUp` if one is cut.
    """
    frames = FrameReader(frame_bytes_max=MESSAGE_BYTES_MAX)
    deadline_s: float | None = None
    while True:
        try:
            async with asyncio.timeout_at(deadline_s):
                data = await stream.read(READ_BYTES)
        except TimeoutError:
            raise PeerTooSlow("it did not finish a message") from None
        if not data:
            break
        for frame in frames.feed(data):
            deadline_s = None
            yield frame
        if frames.is_between_frames:
            deadline_s = None
        elif deadline_s is None:
            deadline_s = asyncio.get_running_loop().time() + frame_seconds_max
    if not frames.is_between_frames:
        raise PeerHungUp("the stream ended inside a message")
