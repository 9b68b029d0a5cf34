"""Which providers get the file: cheapest first, no owner twice, no network if there are others."""

import hashlib
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from chain.amount import format_amount
from chain.keys import Address
from chain.policy import Policy
from chain.provider import Ask, Provider
from chain.units import Atto, Epoch, ProviderId
from client.errors import NotEnoughProviders
from ipfs.cid import CID
from ipfs.host import PeerAddress
from ipfs.kad.reach import Network, networks_of
from ipfs.record import BIG_NATURAL_BITS_MAX
from proofs.registry import parameters_of


@dataclass(frozen=True, slots=True, kw_only=True)
class StorageTerms:
    """What the user wants."""

    duration_epochs: int
    copies: int = 1
    price_atto_per_gib_epoch_max: int | None = None
    sector_size_bytes: int | None = None
    """Only providers that seal sectors of this size."""

    label: str = ""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A provider that the registry knows, with the ask it gave us itself."""

    provider: Provider
    ask: Ask
    peer: PeerAddress


@dataclass(frozen=True, slots=True)
class Offer:
    """What one candidate's deal for this piece would cost."""

    candidate: Candidate
    price_atto_per_epoch: Atto
    total_atto: Atto
    collateral_atto: Atto
    """What the provider must lock."""


@dataclass(frozen=True, slots=True)
class Quote:
    """The exact total for all copies, and who would keep them.

    chosen:  one offer a copy
    spares:  whom to ask next if one of them says no, never dearer than the dearest chosen
    """

    chosen: tuple[Offer, ...]
    spares: tuple[Offer, ...]

    @property
    def total_atto(self) -> Atto:
        """Return what all copies cost over their whole time."""
        return Atto(sum(offer.total_atto for offer in self.chosen))


def quote(
    candidates: Iterable[Candidate],
    terms: StorageTerms,
    *,
    piece_cid: CID,
    piece_size_bytes: int,
    policy: Policy,
    head_epoch: Epoch,
    keepers: Collection[Address] = (),
) -> Quote:
    """Return the cheapest offers for the terms. Raises `NotEnoughProviders`.

    keepers:  owners who have a copy already: the quote is for the others

    Copies are put in different networks as far as providers are (`networks_of`): who rents many
    addresses has few networks. Among equal prices the piece decides, so that many files spread
    over many providers.
    """
    offers: list[Offer] = []
    refusals: dict[ProviderId, str] = {}
    kept_in: set[Network] = set()
    for candidate in candidates:
        offer = _offer(candidate, terms, piece_size_bytes, policy)
        reason = _objection(offer, terms, piece_size_bytes, policy, head_epoch)
        if candidate.provider.owner in keepers:
            reason = "its owner keeps a copy already"
            kept_in |= networks_of(candidate.peer.addresses)
        if reason is None:
            offers.append(offer)
        else:
            refusals[candidate.provider.id] = reason
    offers.sort(key=lambda offer: (offer.total_atto, _spread(piece_cid, offer)))
    distinct = _one_an_owner([*_apart(offers, kept_in), *offers])
    missing = max(0, terms.copies - len(set(keepers)))
    if len(distinct) < missing:
        raise NotEnoughProviders(needed=missing, found=len(distinct), reasons=refusals)
    chosen = distinct[:missing]
    dearest_atto = max((offer.total_atto for offer in chosen), default=0)
    spares = (offer for offer in distinct[missing:] if offer.total_atto <= dearest_atto)
    return Quote(chosen=chosen, spares=tuple(spares))


def _apart(offers: Iterable[Offer], kept_in: Iterable[Network]) -> list[Offer]:
    """Return the offers that share neither owner nor network with one before, or with `kept_in`."""
    owners: set[Address] = set()
    networks = set(kept_in)
    apart: list[Offer] = []
    for offer in offers:
        its_networks = networks_of(offer.candidate.peer.addresses)
        if offer.candidate.provider.owner not in owners and networks.isdisjoint(its_networks):
            apart.append(offer)
            owners.add(offer.candidate.provider.owner)
            networks |= its_networks
    return apart


def _one_an_owner(offers: Iterable[Offer]) -> tuple[Offer, ...]:
    """Return the first offer of each owner."""
    by_owner: dict[Address, Offer] = {}
    for offer in offers:
        by_owner.setdefault(offer.candidate.provider.owner, offer)
    return tuple(by_owner.values())


def largest_piece_bytes(candidates: Iterable[Candidate], terms: StorageTerms) -> int | None:
    """Return the largest piece that anybody takes on these terms, None if nobody takes any."""
    return max(
        (
            min(candidate.ask.piece_size_bytes_max, sector_bytes)
            for candidate in candidates
            if terms.sector_size_bytes in (None, sector_bytes := _sector_bytes(candidate.ask))
        ),
        default=None,
    )


def _objection(
    offer: Offer, terms: StorageTerms, piece_size_bytes: int, policy: Policy, head_epoch: Epoch
) -> str | None:
    ask = offer.candidate.ask
    sector_bytes = _sector_bytes(ask)
    if policy.sector_rule(ask.proof_type) is None:
        return f"seals {ask.proof_type} sectors, which this network does not take"
    if terms.sector_size_bytes not in (None, sector_bytes):
        return f"seals sectors of {sector_bytes} bytes"
    if ask.expires_epoch <= head_epoch:
        return f"its ask expired at epoch {ask.expires_epoch}"
    size_bytes_max = min(ask.piece_size_bytes_max, sector_bytes)
    if not ask.piece_size_bytes_min <= piece_size_bytes <= size_bytes_max:
        return (
            f"takes pieces of {ask.piece_size_bytes_min} to {size_bytes_max} bytes, "
            f"this one has {piece_size_bytes}"
        )
    period_epochs = policy.proving_period_epochs
    epochs_min = policy.deal_periods_min * period_epochs
    epochs_max = min(ask.duration_epochs_max, policy.deal_periods_max * period_epochs)
    if not epochs_min <= terms.duration_epochs <= epochs_max:
        return f"keeps for {epochs_min} to {epochs_max} epochs, you want {terms.duration_epochs}"
    price_max = terms.price_atto_per_gib_epoch_max
    if price_max is not None and ask.price_atto_per_gib_epoch > price_max:
        asked, offered = map(format_amount, (ask.price_atto_per_gib_epoch, price_max))
        return f"asks {asked} tokens a GiB and epoch, you offer {offered}"
    if ask.retrieval_price_atto_per_gib:
        return f"asks {ask.retrieval_price_atto_per_gib} atto a GiB for getting it back"
    if max(offer.total_atto, offer.collateral_atto).bit_length() > BIG_NATURAL_BITS_MAX:
        return "asks for more than any account can hold"
    return None


def _sector_bytes(ask: Ask) -> int:
    return parameters_of(ask.proof_type).sector_size_bytes


def _offer(
    candidate: Candidate, terms: StorageTerms, piece_size_bytes: int, policy: Policy
) -> Offer:
    price_atto = candidate.ask.price_atto_per_epoch(piece_size_bytes)
    return Offer(
        candidate=candidate,
        price_atto_per_epoch=price_atto,
        total_atto=Atto(price_atto * terms.duration_epochs),
        collateral_atto=policy.collateral_atto(
            piece_size_bytes=piece_size_bytes,
            duration_epochs=terms.duration_epochs,
            price_atto_per_epoch=price_atto,
        ),
    )


def _spread(piece_cid: CID, offer: Offer) -> bytes:
    name = f"{piece_cid}/{offer.candidate.provider.id}"
    return hashlib.sha256(name.encode()).digest()
