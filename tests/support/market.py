"""Keys, proposals and asks that make sense, for tests of the market and its roles."""

from typing import Any

from chain.deal import DealProposal
from chain.keys import TEST_PREFIX, SigningKey
from chain.provider import Ask, SignedAsk
from chain.units import Atto, Epoch, ProviderId
from ipfs.cid import CID, Codec
from ipfs.piece_cid import piece_cid_v1
from market.messages import Propose, SignedProposal
from proofs.parameters import ProofType

CHAIN_ID = "a-chain"
CLIENT = SigningKey(b"client".ljust(32, b"\0"))
OWNER = SigningKey(b"owner".ljust(32, b"\0"))
WORKER = SigningKey(b"worker".ljust(32, b"\0"))
STRANGER = SigningKey(b"stranger".ljust(32, b"\0"))
PROVIDER_ID = ProviderId(7)


def piece_cid(seed: bytes = b"piece") -> CID:
    """Return a version 1 piece CID over no data in particular."""
    digest = CID.of(Codec.RAW, seed).digest
    return piece_cid_v1(digest[:-1] + bytes((digest[-1] & 0x3F,)))


def deal_proposal(**changes: Any) -> DealProposal:
    """Return a proposal that the ask below takes, with changes."""
    terms: dict[str, Any] = {
        "piece_cid": piece_cid(),
        "piece_size_bytes": 1 << 20,
        "root_cid": CID.of(Codec.RAW, b"root"),
        "client": CLIENT.address(TEST_PREFIX),
        "provider_id": PROVIDER_ID,
        "start_epoch": Epoch(60),
        "end_epoch": Epoch(260),
        "publish_by_epoch": Epoch(40),
        "price_atto_per_epoch": Atto(1_000),
        "collateral_atto": Atto(10**18),
        "chain_id": CHAIN_ID,
        "nonce": 0,
    }
    return DealProposal(**{**terms, **changes})


def proposed(
    proposal: DealProposal | None = None, *, signer: SigningKey = CLIENT, peer_id: str = "12D3KooW"
) -> Propose:
    """Return the message that proposes it."""
    return Propose(
        signed_proposal=SignedProposal.sign(proposal or deal_proposal(), signer),
        client_peer_id=peer_id,
        client_addresses=("/ip4/127.0.0.1/tcp/1",),
    )


def ask(**changes: Any) -> Ask:
    """Return an ask for small sectors, with changes."""
    terms: dict[str, Any] = {
        "provider_id": PROVIDER_ID,
        "chain_id": CHAIN_ID,
        "proof_type": ProofType.SDR_8MIB,
        "price_atto_per_gib_epoch": Atto(1_000 * 1024),
        "piece_size_bytes_min": 256,
        "piece_size_bytes_max": 8 << 20,
        "duration_epochs_max": 10_000,
        "expires_epoch": Epoch(1_000),
    }
    return Ask(**{**terms, **changes})


def signed_ask(**changes: Any) -> SignedAsk:
    """Return that ask, signed by its worker."""
    return SignedAsk.sign(ask(**changes), WORKER)
