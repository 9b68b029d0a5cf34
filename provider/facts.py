"""Everything that decides what a provider does, read anew at every head."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from chain.block import Header
from chain.deal import Deal
from chain.ledger import Ledger
from chain.policy import Policy, SectorRule
from chain.provider import Ask
from chain.sector import Sector
from chain.units import Epoch, ProviderId, SectorNumber
from ipfs.cid import CID
from proofs.parameters import ProofType
from proofs.registry import parameters_of
from provider.disk import SectorDisk
from provider.offer import Terms, offer_of
from provider.packing import Packing
from provider.promise import Promise, SectorPlan
from provider.store import ProviderStore


@dataclass(frozen=True)
class Facts:
    """Everything that decides what to do: ours from the store, the rest as the ledger has it.

    head_milliseconds:  what the head says the time is
    offer:      what we sell now
    posted_ask: what the registry says of it
    promises:   the open ones
    plans:      those not cleared
    reserved:   proposals for which money is set aside
    deals:      by proposal, of the open promises
    sectors:    ours, all of them
    damaged:    those in which the last scrub found something wrong
    """

    head_epoch: Epoch
    head_milliseconds: int
    policy: Policy
    pack_wait_epochs: int
    scrub_interval_epochs: int
    offer: Ask
    posted_ask: Ask | None
    promises: tuple[Promise, ...]
    plans: tuple[SectorPlan, ...]
    reserved: frozenset[CID]
    deals: Mapping[CID, Deal]
    sectors: Mapping[SectorNumber, Sector]
    damaged: frozenset[SectorNumber]

    @cached_property
    def planned(self) -> Mapping[CID, SectorNumber]:
        """The sector that each assigned proposal is to lie in."""
        return {cid: plan.number for plan in self.plans for cid in plan.proposal_cids}

    @cached_property
    def client_peer_ids(self) -> frozenset[str]:
        """The peers that have an open promise of ours."""
        return frozenset(promise.propose.client_peer_id for promise in self.promises)

    @property
    def proof_type(self) -> ProofType:
        """The kind of sector that we seal."""
        return self.offer.proof_type

    @property
    def packing(self) -> Packing:
        """How sectors are filled."""
        return Packing(
            sector_size_bytes=parameters_of(self.proof_type).sector_size_bytes,
            pieces_max=self.policy.sector_pieces_max,
            wait_epochs=self.pack_wait_epochs,
        )

    def rule(self, proof_type: ProofType) -> SectorRule:
        """Return how long a kind of sector may take."""
        rule = self.policy.sector_rule(proof_type)
        assert rule is not None, "only what the network takes is sold"
        return rule


@dataclass(frozen=True, slots=True, kw_only=True)
class FactsReader:
    """Reads the facts of one provider."""

    ledger: Ledger
    store: ProviderStore
    disk: SectorDisk
    terms: Terms
    provider_id: ProviderId
    chain_id: str
    policy: Policy
    pack_wait_epochs: int
    scrub_interval_epochs: int

    async def at(self, head: Header) -> Facts:
        """Return the facts at a head. Raises `LedgerUnreachable`.

        The ledger may move on while it is asked, so it is asked in the order in which things go:
        what has left one list by then is on the next one.
        """
        promises = await self.store.promises()
        plans = await self.store.plans()
        reservations = await self.ledger.reservations(self.provider_id)
        deals = await self.ledger.deals(provider_id=self.provider_id)
        sectors = await self.ledger.sectors(self.provider_id)
        provider = await self.ledger.provider(self.provider_id)
        damages = await self.disk.damages()
        return Facts(
            head_epoch=head.epoch,
            head_milliseconds=head.timestamp_milliseconds,
            policy=self.policy,
            pack_wait_epochs=self.pack_wait_epochs,
            scrub_interval_epochs=self.scrub_interval_epochs,
            offer=offer_of(
                self.terms,
                provider_id=self.provider_id,
                chain_id=self.chain_id,
                policy=self.policy,
                head_epoch=head.epoch,
            ),
            posted_ask=provider.ask,
            promises=promises,
            plans=plans,
            reserved=frozenset(reservation.proposal.cid for reservation in reservations),
            deals={deal.proposal.cid: deal for deal in deals},
            sectors={sector.number: sector for sector in sectors},
            damaged=frozenset(damages),
        )
