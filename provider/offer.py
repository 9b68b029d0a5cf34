"""What a provider sells, and when the registry has to hear of it again."""

from dataclasses import dataclass
from typing import Final

from chain.policy import Policy
from chain.provider import Ask
from chain.units import Atto, Epoch, ProviderId
from proofs.parameters import ProofType

ASK_PERIODS: Final = 8
"""How long an ask is good; renewed at half of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What the operator sells."""

    proof_type: ProofType
    price_atto_per_gib_epoch: Atto
    piece_size_bytes_min: int
    piece_size_bytes_max: int
    duration_epochs_max: int
    retrieval_price_atto_per_gib: Atto


def offer_of(
    terms: Terms, *, provider_id: ProviderId, chain_id: str, policy: Policy, head_epoch: Epoch
) -> Ask:
    """Return the ask to be signed now."""
    return Ask(
        provider_id=provider_id,
        chain_id=chain_id,
        proof_type=terms.proof_type,
        price_atto_per_gib_epoch=terms.price_atto_per_gib_epoch,
        piece_size_bytes_min=terms.piece_size_bytes_min,
        piece_size_bytes_max=terms.piece_size_bytes_max,
        duration_epochs_max=terms.duration_epochs_max,
        retrieval_price_atto_per_gib=terms.retrieval_price_atto_per_gib,
        expires_epoch=Epoch(head_epoch + ASK_PERIODS * policy.proving_period_epochs),
    )


def is_offered(posted: Ask | None, offer: Ask, *, head_epoch: Epoch) -> bool:
    """Whether the registry has these terms, and will for at least half of their time."""
    if posted is None or posted.evolve(expires_epoch=offer.expires_epoch) != offer:
        return False
    return 2 * (posted.expires_epoch - head_epoch) >= offer.expires_epoch - head_epoch
