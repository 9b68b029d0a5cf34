"""The registry: who sells storage, under which keys, where, and for how much."""

from chain.accounts import require_network
from chain.errors import Expired, NotAllowed, WrongChain
from chain.keys import Address
from chain.messages import PostAsk, RegisterProvider, UpdateProvider
from chain.provider import Provider
from chain.units import ProviderId
from chain.view import LedgerView, Transition


def register_provider(view: LedgerView, sender: Address, body: RegisterProvider) -> Transition:
    """Enter the registry under the next number; the sender owns the entry.

    Raises: `WrongChain`.
    """
    require_network(view, body.worker)
    counters = view.counters()
    provider = Provider(
        id=counters.next_provider_id,
        owner=sender,
        worker=body.worker,
        peer_id=body.peer_id,
        addresses=body.addresses,
    )
    following = counters.evolve(next_provider_id=provider.id + 1)
    return Transition(writes=(provider, following), created_ids=(provider.id,))


def update_provider(view: LedgerView, sender: Address, body: UpdateProvider) -> Transition:
    """Say where the provider is reached now.

    Raises: `NotFound`, `NotAllowed`.
    """
    provider = view.provider(body.provider_id)
    if sender not in (provider.worker, provider.owner):
        raise NotAllowed(f"{sender} is neither worker nor owner of provider {provider.id}")
    return Transition(writes=(provider.evolve(peer_id=body.peer_id, addresses=body.addresses),))


def post_ask(view: LedgerView, sender: Address, body: PostAsk) -> Transition:
    """Replace the provider's ask.

    Raises: `NotFound`, `NotAllowed`, `WrongChain`, `Expired`.
    """
    ask = body.ask
    provider = worked_by(view, ask.provider_id, sender)
    if ask.chain_id != view.chain_id:
        raise WrongChain("the ask is for another chain")
    if ask.expires_epoch < view.epoch:
        raise Expired("the ask", expired_epoch=ask.expires_epoch, current_epoch=view.epoch)
    if view.policy.sector_rule(ask.proof_type) is None:
        raise NotAllowed(f"this network takes no {ask.proof_type} sectors")
    return Transition(writes=(provider.evolve(ask=ask),))


def worked_by(view: LedgerView, provider_id: ProviderId, sender: Address) -> Provider:
    """Return the provider whose worker the sender is.

    Raises: `NotFound`, `NotAllowed`.
    """
    provider = view.provider(provider_id)
    if sender != provider.worker:
        raise NotAllowed(f"{sender} is not the worker of provider {provider_id}")
    return provider
