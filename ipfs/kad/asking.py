"""One request to one peer, and what it answered."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from ipfs.errors import OutOfTurn, PeerHungUp
from ipfs.framing import FrameReader, encode_frame
from ipfs.host import Host, PeerAddress, Stream
from ipfs.kad.messages import (
    MESSAGE_BYTES_MAX,
    AddProvider,
    Request,
    Response,
    decode_response,
    encode_request,
)
from ipfs.kad.reach import InReach, within

_READ_BYTES: Final = 64 << 10


class Asker:
    """Asks peers over a stream for each request. Timeouts are the caller's cancel scope.

    Both methods raise `NetworkError` if the peer can't be talked to, `PeerError` if it is at fault.
    """

    def __init__(self, host: Host, protocol_id: str, in_reach: InReach) -> None:
        self._host = host
        self._protocol_id = protocol_id
        self._in_reach = in_reach

    async def ask(self, peer: PeerAddress, request: Request) -> Response:
        """Return the response, without the addresses that are out of reach."""
        async with self._conversation(peer) as stream:
            await stream.write(encode_frame(encode_request(request)))
            await stream.close_write()
            reader = FrameReader(frame_bytes_max=MESSAGE_BYTES_MAX)
            while data := await stream.read(_READ_BYTES):
                for payload in reader.feed(data):
                    return self._believed(decode_response(payload, request))
            raise PeerHungUp(f"{peer.peer_id} ended the stream without an answer")

    async def tell(self, peer: PeerAddress, request: AddProvider) -> bool:
        """Send what has no response; a peer that refuses resets the stream instead of ending it."""
        async with self._conversation(peer) as stream:
            await stream.write(encode_frame(encode_request(request)))
            await stream.close_write()
            if await stream.read(1):
                raise OutOfTurn(f"{peer.peer_id} answered what has no answer")
        return True

    def _believed(self, response: Response) -> Response:
        return Response(
            response.message_type,
            within(self._in_reach, response.closer_peers),
            within(self._in_reach, response.provider_peers),
            response.record,
        )

    @asynccontextmanager
    async def _conversation(self, peer: PeerAddress) -> AsyncIterator[Stream]:
        known = self._host.known_addresses(peer.peer_id)
        addresses = tuple(dict.fromkeys((*known, *peer.addresses)))
        await self._host.connect(PeerAddress(peer.peer_id, addresses))
        stream, _ = await self._host.open_stream(peer.peer_id, [self._protocol_id])
        try:
            yield stream
        finally:
            await stream.reset()
