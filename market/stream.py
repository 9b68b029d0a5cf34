"""The market's protocols on streams: one framed request, one framed reply, then the end.

The caller's `asyncio.timeout` bounds every call; what we answer is bounded here.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from chain.keys import Address
from chain.provider import SignedAsk
from ipfs.cid import CID
from ipfs.errors import MalformedBytes, OutOfTurn, PeerHungUp
from ipfs.framing import FrameReader, encode_frame
from ipfs.host import Host, PeerAddress, Stream
from ipfs.p2p.peer_id import PeerId
from market.messages import (
    ASK_PROTOCOL,
    DEAL_PROTOCOL,
    FRAME_BYTES_MAX,
    Accept,
    AskRequest,
    DealReply,
    DealRequest,
    Propose,
    Reject,
    SignedProposal,
    Status,
    StatusRequest,
)
from market.negotiation import ClientNegotiation

READ_BYTES: Final = 4096
ANSWER_SECONDS: Final = 30.0
"""How long a peer may take over its question and our answer: an honest one takes one."""


async def request_ask(host: Host, peer: PeerAddress) -> SignedAsk:
    """Return the peer's current ask; whether to believe it is `verify_ask`'s question.

    Raises `NetworkError`, `PeerError`.
    """
    return SignedAsk.decode(await _request(host, peer, ASK_PROTOCOL, AskRequest().encode()))


async def negotiate(
    host: Host, peer: PeerAddress, proposal: SignedProposal, *, worker: Address
) -> Accept | Reject:
    """Propose a deal and return the answer; the blocks are to be fetched from `host`.

    worker:  whose signature makes an acceptance, as the ledger's registry says

    Raises `NetworkError`, `PeerError`. A proposal whose answer was lost may have been accepted:
    `request_status` tells, and gives the acceptance again.
    """
    negotiation = ClientNegotiation(
        Propose(
            signed_proposal=proposal,
            client_peer_id=str(host.peer_id),
            client_addresses=tuple(str(address) for address in host.addresses),
        ),
        worker=worker,
    )
    request = DealRequest(body=negotiation.propose())
    reply = DealReply.decode(await _request(host, peer, DEAL_PROTOCOL, request.encode()))
    negotiation.receive(reply.body)
    assert negotiation.answer is not None, "a reply in turn is the answer"
    return negotiation.answer


async def request_status(host: Host, peer: PeerAddress, proposal_cid: CID) -> Status:
    """Return how the peer stands with a proposal, and tell it where our blocks are now.

    Raises `NetworkError`, `PeerError`.
    """
    question = StatusRequest(
        proposal_cid=proposal_cid,
        client_addresses=tuple(str(address) for address in host.addresses),
    )
    request = DealRequest(body=question)
    reply = DealReply.decode(await _request(host, peer, DEAL_PROTOCOL, request.encode())).body
    if not isinstance(reply, Status) or reply.proposal_cid != proposal_cid:
        raise OutOfTurn(f"{reply.kind} where the status of {proposal_cid} was asked")
    return reply


def serve_asks(host: Host, current_ask: Callable[[], SignedAsk]) -> None:
    """Answer everybody who asks for the price."""

    async def answer(request: bytes, _sender: PeerId) -> bytes:
        AskRequest.decode(request)
        return current_ask().encode()

    _serve(host, ASK_PROTOCOL, answer)


def serve_deals(
    host: Host,
    *,
    consider: Callable[[Propose], Awaitable[Accept | Reject]],
    status: Callable[[StatusRequest, PeerId], Awaitable[Status]],
) -> None:
    """Answer proposals and questions after them; a question comes with who asks it."""

    async def answer(request: bytes, sender: PeerId) -> bytes:
        match DealRequest.decode(request).body:
            case Propose() as proposal:
                return DealReply(body=await consider(proposal)).encode()
            case StatusRequest() as question:
                return DealReply(body=await status(question, sender)).encode()

    _serve(host, DEAL_PROTOCOL, answer)


def _serve(
    host: Host, protocol_id: str, answer: Callable[[bytes, PeerId], Awaitable[bytes]]
) -> None:
    async def handle(stream: Stream) -> None:
        async with asyncio.timeout(ANSWER_SECONDS):
            reply = await answer(await _read_frame(stream), stream.peer_id)
            await stream.write(encode_frame(reply))

    host.handle(protocol_id, handle)


async def _request(host: Host, peer: PeerAddress, protocol_id: str, request: bytes) -> bytes:
    await host.connect(peer)
    stream, _ = await host.open_stream(peer.peer_id, [protocol_id])
    try:
        await stream.write(encode_frame(request))
        await stream.close_write()
        return await _read_frame(stream)
    except BaseException:
        await stream.reset()
        raise


async def _read_frame(stream: Stream) -> bytes:
    """Return the one frame that the peer's half of the stream consists of."""
    frames = FrameReader(frame_bytes_max=FRAME_BYTES_MAX)
    received: list[bytes] = []
    while data := await stream.read(READ_BYTES):
        received += frames.feed(data)
        if len(received) > 1:
            raise OutOfTurn("a second message on a stream for one")
    if not frames.is_between_frames:
        raise MalformedBytes("frame", "cut short")
    if not received:
        raise PeerHungUp("the stream ended without a message")
    return received[0]
