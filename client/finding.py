"""Who sells storage on this network, and for how much."""

from chain.provider import Provider
from client.registry import registered_peer
from client.selection import Candidate
from client.session import Session
from ipfs.errors import PeerError
from ipfs.host import NetworkError, PeerAddress
from ipfs.p2p.peer_id import PeerId
from market.ask import network_cid, verify_ask


async def find_candidates(session: Session) -> tuple[Candidate, ...]:
    """Return who sells storage, each with the ask it signed just now.

    Found on the DHT under the network's CID and checked against the ledger's registry; who the
    registry knows and the DHT did not name is asked as well, afterwards. Who does not answer in
    time, or with an ask that is not its own, is left out: it costs nobody else anything.
    """
    told = {peer.peer_id: peer for peer in await session.find_on_dht(network_cid(session.chain_id))}
    head = await session.head()
    found: list[Candidate] = []

    async def visit(one: tuple[Provider, PeerAddress]) -> None:
        provider, peer = one
        try:
            signed = await session.request_ask(peer)
            verify_ask(
                signed, provider=provider, chain_id=session.chain_id, epoch=head.header.epoch
            )
        except (NetworkError, PeerError, TimeoutError) as error:
            session.log(f"provider {provider.id} gave no ask: {error or type(error).__name__}")
            return
        found.append(Candidate(provider, signed.ask, peer))

    # By entry, not by peer: anybody can register under the peer id of somebody else.
    reached = [
        (provider, _with_addresses(peer, told))
        for provider in await session.ledger.providers()
        if (peer := registered_peer(provider)) is not None
    ]
    await session.visit_all(sorted(reached, key=lambda one: one[1].peer_id not in told), visit)
    return tuple(sorted(found, key=lambda candidate: candidate.provider.id))


def _with_addresses(peer: PeerAddress, told: dict[PeerId, PeerAddress]) -> PeerAddress:
    """Add what the DHT told of a peer; it may know a newer address, or lie about it."""
    if peer.peer_id not in told:
        return peer
    both = (*peer.addresses, *told[peer.peer_id].addresses)
    return PeerAddress(peer.peer_id, tuple(dict.fromkeys(both)))
