"""The market's protocols between two hosts, the rude ones included."""

import asyncio

import pytest

from chain.keys import TEST_PREFIX
from chain.units import Epoch
from ipfs.errors import OutOfTurn, PeerError, PeerHungUp
from ipfs.framing import encode_frame
from ipfs.host import Host, PeerAddress, Stream
from ipfs.p2p.memory import MemoryNetwork
from ipfs.p2p.peer_id import PeerId
from market.messages import (
    DEAL_PROTOCOL,
    FRAME_BYTES_MAX,
    Accept,
    DealReply,
    Progress,
    Propose,
    Reject,
    RejectCode,
    SignedProposal,
    Status,
    StatusRequest,
)
from market.stream import negotiate, request_ask, request_status, serve_asks, serve_deals
from tests.support.market import CLIENT, WORKER, deal_proposal, signed_ask

WORKER_ADDRESS = WORKER.address(TEST_PREFIX)
SIGNED = SignedProposal.sign(deal_proposal(), CLIENT)
CHEAP = SignedProposal.sign(deal_proposal(price_atto_per_epoch=0), CLIENT)


class Provider:
    """Takes what costs something, and remembers who proposed it."""

    def __init__(self) -> None:
        self.heard: list[Propose] = []
        self.asked_by: list[tuple[PeerId, tuple[str, ...]]] = []

    async def consider(self, propose: Propose) -> Accept | Reject:
        self.heard.append(propose)
        cid = propose.proposal.cid
        if propose.proposal.price_atto_per_epoch:
            return Accept.sign(cid, fetch_by_epoch=Epoch(30), worker=WORKER)
        return Reject(proposal_cid=cid, code=RejectCode.PRICE_TOO_LOW, reason="nothing is free")

    async def status(self, question: StatusRequest, sender: PeerId) -> Status:
        self.asked_by.append((sender, question.client_addresses))
        cid = question.proposal_cid
        return Status(proposal_cid=cid, progress=Progress.TRANSFERRING, done_bytes=3)


def at(host: Host) -> PeerAddress:
    return PeerAddress(host.peer_id, host.addresses)


async def test_an_ask_a_proposal_and_its_status_are_answered() -> None:
    async with MemoryNetwork() as network:
        client, host = network.add_host(), network.add_host()
        provider = Provider()
        serve_asks(host, signed_ask)
        serve_deals(host, consider=provider.consider, status=provider.status)
        assert await request_ask(client, at(host)) == signed_ask()
        yes = await negotiate(client, at(host), SIGNED, worker=WORKER_ADDRESS)
        assert isinstance(yes, Accept)
        no = await negotiate(client, at(host), CHEAP, worker=WORKER_ADDRESS)
        assert isinstance(no, Reject)
        assert no.code is RejectCode.PRICE_TOO_LOW
        assert (await request_status(client, at(host), SIGNED.proposal.cid)).done_bytes == 3
        assert provider.asked_by == [(client.peer_id, tuple(map(str, client.addresses)))]
        assert {propose.client_peer_id for propose in provider.heard} == {str(client.peer_id)}
        assert provider.heard[0].client_addresses == tuple(map(str, client.addresses))


OTHER_CID = deal_proposal(nonce=9).cid
STATUS_OF_ANOTHER = DealReply(body=Status(proposal_cid=OTHER_CID, progress=Progress.UNKNOWN))
RUDE = {
    "hangs up": b"",
    "cuts its frame short": encode_frame(bytes(100))[:50],
    "sends noise": encode_frame(b"\xff" * 10),
    "sends too much": encode_frame(bytes(FRAME_BYTES_MAX + 1)),
    "answers twice": encode_frame(STATUS_OF_ANOTHER.encode()) * 2,
    "answers another question": encode_frame(STATUS_OF_ANOTHER.encode()),
}


@pytest.mark.parametrize("reply", RUDE.values(), ids=RUDE)
async def test_a_rude_provider_is_one_typed_error(reply: bytes) -> None:
    async def be_rude(stream: Stream) -> None:
        await stream.write(reply)

    async with MemoryNetwork() as network:
        client, host = network.add_host(), network.add_host()
        host.handle(DEAL_PROTOCOL, be_rude)
        with pytest.raises(PeerError):
            await negotiate(client, at(host), SIGNED, worker=WORKER_ADDRESS)
        with pytest.raises(PeerError):
            await request_status(client, at(host), SIGNED.proposal.cid)


async def test_a_rude_client_costs_its_own_stream_only() -> None:
    async with MemoryNetwork() as network:
        client, host = network.add_host(), network.add_host()
        provider = Provider()
        serve_deals(host, consider=provider.consider, status=provider.status)
        for rudeness in RUDE.values():
            await client.connect(at(host))
            stream, _ = await client.open_stream(host.peer_id, [DEAL_PROTOCOL])
            await stream.write(rudeness)
            await stream.close_write()
            with pytest.raises(PeerHungUp):
                await stream.read(1)
        assert not provider.heard
        yes = await negotiate(client, at(host), SIGNED, worker=WORKER_ADDRESS)
        assert isinstance(yes, Accept)


async def test_a_silent_provider_is_the_callers_timeout() -> None:
    async def stay_silent(stream: Stream) -> None:
        await asyncio.get_running_loop().create_future()

    async with MemoryNetwork() as network:
        client, host = network.add_host(), network.add_host()
        host.handle(DEAL_PROTOCOL, stay_silent)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await negotiate(client, at(host), SIGNED, worker=WORKER_ADDRESS)


async def test_a_status_is_no_answer_to_a_proposal() -> None:
    async def answer_status(stream: Stream) -> None:
        status = Status(proposal_cid=SIGNED.proposal.cid, progress=Progress.UNKNOWN)
        await stream.write(encode_frame(DealReply(body=status).encode()))

    async with MemoryNetwork() as network:
        client, host = network.add_host(), network.add_host()
        host.handle(DEAL_PROTOCOL, answer_status)
        with pytest.raises(OutOfTurn):
            await negotiate(client, at(host), SIGNED, worker=WORKER_ADDRESS)
