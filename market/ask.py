"""Where a network's providers announce themselves, and when an ask may be believed."""

from typing import Literal

from chain.provider import Provider, SignedAsk
from chain.units import Epoch
from ipfs.cid import CID
from ipfs.errors import PeerError
from ipfs.record import Record


class NetworkName(Record):
    """What the providers of one network announce on the DHT: nothing but its name."""

    kind: Literal["holdfast-network"] = "holdfast-network"
    chain_id: str


class AskNotBelieved(PeerError):
    """The ask is not this provider's, not for this chain, or over."""

    code = "ask-not-believed"


def network_cid(chain_id: str) -> CID:
    """Return the CID under which the providers of a network are found."""
    return NetworkName(chain_id=chain_id).cid


def verify_ask(signed: SignedAsk, *, provider: Provider, chain_id: str, epoch: Epoch) -> None:
    """Check an ask against the ledger's registry. Raises `AskNotBelieved`.

    provider:  as the ledger has it
    epoch:     the head's
    """
    ask = signed.ask
    if not signed.is_signed_by(provider.worker):
        raise AskNotBelieved(f"not signed by the worker of provider {provider.id}")
    if ask.provider_id != provider.id:
        raise AskNotBelieved(f"it is provider {ask.provider_id}'s, not {provider.id}'s")
    if ask.chain_id != chain_id:
        raise AskNotBelieved("it is for another chain")
    if ask.expires_epoch <= epoch:
        raise AskNotBelieved(f"it expired at epoch {ask.expires_epoch}; it is {epoch}")
