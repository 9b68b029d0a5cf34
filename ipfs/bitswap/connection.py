"""One peer, as Bitswap sees it: the streams that we write to, and the frames that it writes."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Final

from ipfs import varint
from ipfs.bitswap.messages import MESSAGE_BYTES_MAX, PROTOCOL_IDS, Message, Presence
from ipfs.bitswap.pace import Pace
from ipfs.bitswap.wantlist import Requests
from ipfs.errors import PeerHungUp, PeerTooSlow
from ipfs.framing import FrameReader
from ipfs.host import Host, Stream
from ipfs.p2p.peer_id import PeerId

READ_BYTES: Final = 256 * 1024

MESSAGE_SECONDS_MAX: Final = 60.0
"""For one message to come or go, from its first byte: 4 MiB at 70 kB/s."""

UNFINISHED_BYTES_MAX: Final = 64 * 1024 * 1024
"""What all peers' messages may hold that are not whole, or not heard to their end. Beyond it the
peer that holds most is listened to no more on any of its streams."""

STREAMS_PER_PEER_MAX: Final = 16
"""Streams of one peer that are listened to at a time. Kubo has one, Helia one a message."""

ENTRIES_PER_SECOND: Final = 8_192
"""Wants and presences heard of one peer in the long run: a flood of them costs a tenth of a core,
as one takes some 10 µs. Whoever says more is listened to more slowly, and so slowed down."""

ENTRIES_AT_ONCE: Final = 1024
"""What may be said after a pause without any wait."""


@dataclass(slots=True)
class Tally:
    """What went both ways between us and one peer while it was connected."""

    bytes_sent: int = 0
    bytes_received: int = 0
    blocks_sent: int = 0
    blocks_received: int = 0
    blocks_unasked: int = 0


class Lane:
    """A stream on which we speak to a peer, opened when first needed, again if it was reset."""

    def __init__(self, host: Host, peer_id: PeerId) -> None:
        self._host = host
        self._peer_id = peer_id
        self._stream: Stream | None = None
        self._protocol_id = ""

    async def send(self, message_of: Callable[[bool], Message]) -> int:
        """Send one message, in the version that the peer speaks; return its size in bytes.

        message_of:  what to say; its argument tells whether the stream is new, so that whatever
                     was said before on another one may have been lost

        Raises `NetworkError`, `PeerHungUp`, `PeerTooSlow`.
        """
        try:
            async with asyncio.timeout(MESSAGE_SECONDS_MAX):
                try:
                    return await self._send(message_of)
                except PeerHungUp:
                    self._stream = None
                    return await self._send(message_of)
        except TimeoutError:
            raise PeerTooSlow("it did not take a message") from None

    async def _send(self, message_of: Callable[[bool], Message]) -> int:
        stream, is_new = self._stream, self._stream is None
        if stream is None:
            stream, self._protocol_id = await self._host.open_stream(self._peer_id, PROTOCOL_IDS)
            self._stream = stream
        message = message_of(is_new).encode(self._protocol_id)
        # The two parts of a frame: to put them together would copy megabytes.
        length = varint.encode(len(message))
        await stream.write(length)
        await stream.write(message)
        return len(length) + len(message)

    async def close(self) -> None:
        """End the stream; what was sent on it still arrives."""
        stream, self._stream = self._stream, None
        if stream is not None:
            with contextlib.suppress(PeerHungUp):
                await stream.close_write()

    async def reset(self) -> None:
        """Abandon the stream."""
        stream, self._stream = self._stream, None
        if stream is not None:
            await stream.reset()


class Link:
    """What is between us and one peer.

    Words, that is wants and presences, go out on one stream and blocks on another: what we ask
    and who has what never waits for the peer to take a megabyte.
    """

    def __init__(self, host: Host, peer_id: PeerId) -> None:
        self._words = Lane(host, peer_id)
        self._blocks = Lane(host, peer_id)
        self.peer_id = peer_id
        self.requests = Requests()
        self.tally = Tally()
        self.has_words = asyncio.Event()
        self.has_blocks = asyncio.Event()
        self.inbound: dict[Stream, int] = {}
        """The streams that we listen to, and how much of a message each holds."""
        self.entries = Pace(per_second=ENTRIES_PER_SECOND, burst=ENTRIES_AT_ONCE)

    @property
    def held_bytes(self) -> int:
        """How much the peer's unfinished messages hold."""
        return sum(self.inbound.values())

    async def send_words(self, presences: tuple[Presence, ...] = ()) -> None:
        """Say what we want that was not said yet, and who has what; on a new stream, all we want.

        Raises like `Lane.send`.
        """

        def message_of(is_new: bool) -> Message:
            requests = self.requests
            wants = requests.take_all() if is_new else requests.take_unsent()
            return Message(wants=wants, full=is_new, presences=presences)

        self.tally.bytes_sent += await self._words.send(message_of)

    async def send_blocks(self, message: Message) -> None:
        """Send blocks. Raises like `Lane.send`."""
        self.tally.bytes_sent += await self._blocks.send(lambda _: message)
        self.tally.blocks_sent += len(message.blocks)

    async def close(self) -> None:
        """End the streams; what was sent on them still arrives."""
        await self._words.close()
        await self._blocks.close()

    async def reset(self) -> None:
        """Abandon the streams."""
        await self._words.reset()
        await self._blocks.reset()


def _tell_nobody(_: int) -> None:
    """Hold whatever there is."""


async def read_frames(
    stream: Stream,
    *,
    frame_seconds_max: float = MESSAGE_SECONDS_MAX,
    on_held: Callable[[int], None] = _tell_nobody,
) -> AsyncIterator[bytes]:
    """Yield the frames of a stream to its end, however long it is silent between them.

    on_held:  called with the bytes that are held now, the frame included that is being heard

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
            on_held(frames.held_bytes + len(frame))
            yield frame
        on_held(frames.held_bytes)
        if frames.is_between_frames:
            deadline_s = None
        elif deadline_s is None:
            deadline_s = asyncio.get_running_loop().time() + frame_seconds_max
    if not frames.is_between_frames:
        raise PeerHungUp("the stream ended inside a message")
