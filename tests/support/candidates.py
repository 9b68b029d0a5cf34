"""Providers, asks and candidates to choose from, made up for one test."""

from chain.keys import SigningKey
from chain.provider import Ask, Provider
from chain.units import Atto, Epoch, ProviderId
from client.selection import Candidate
from ipfs.host import PeerAddress
from ipfs.p2p.multiaddr import Multiaddr
from ipfs.p2p.peer_id import Identity
from proofs.parameters import ProofType

CHAIN_ID = "a-chain"


def candidate(
    number: int,
    *,
    price_atto: int = 1_000,
    owner: int | None = None,
    proof_type: ProofType = ProofType.SDR_8MIB,
    piece_size_bytes_max: int = 8 << 20,
    duration_epochs_max: int = 10_000,
    expires_epoch: int = 10_000,
    retrieval_price_atto: int = 0,
    ip: str = "127.0.0.1",
) -> Candidate:
    """Return provider `number` with its ask; `owner` tells whose it is, `ip` where."""
    seed = (owner if owner is not None else number).to_bytes(32)
    key = SigningKey(seed).address("thf")
    peer_id = Identity.from_seed(number.to_bytes(32)).peer_id
    return Candidate(
        provider=Provider(id=ProviderId(number), owner=key, worker=key, peer_id=str(peer_id)),
        ask=Ask(
            provider_id=ProviderId(number),
            chain_id=CHAIN_ID,
            proof_type=proof_type,
            price_atto_per_gib_epoch=Atto(price_atto),
            piece_size_bytes_min=128,
            piece_size_bytes_max=piece_size_bytes_max,
            duration_epochs_max=duration_epochs_max,
            retrieval_price_atto_per_gib=Atto(retrieval_price_atto),
            expires_epoch=Epoch(expires_epoch),
        ),
        peer=PeerAddress(peer_id, (Multiaddr.parse(f"/ip4/{ip}/tcp/4001"),)),
    )
