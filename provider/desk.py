"""Where clients are answered: the price, their proposals, and how those stand."""

from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

from chain.keys import Address, SigningKey
from chain.ledger import LedgerUnreachable
from chain.provider import Ask, SignedAsk
from ipfs.p2p.peer_id import PeerId
from market.messages import (
    Accept,
    Progress,
    Propose,
    Reject,
    RejectCode,
    Status,
    StatusRequest,
)
from market.negotiation import Listener, ProviderNegotiation
from provider.admission import Capacity, capacity_left, decide, fetch_by_epoch
from provider.answering import Answering
from provider.facts import Facts
from provider.offer import is_offered
from provider.promise import Promise, client_of
from provider.sealing_plan import SealingPlan
from provider.status import status_of
from provider.workshop import Workshop


@dataclass(frozen=True, slots=True)
class Budget:
    """What the operator lets the provider take on."""

    capacity_bytes: int
    fetches_open_max: int
    sealing: SealingPlan
    answering: Answering
    has_blocks_on_disk: bool


class Desk:
    """Answers for one provider, from the facts at the last head.

    turns:  lets one proposal at a time be decided on, or two would get the same space
    """

    def __init__(
        self,
        shop: Workshop,
        facts: Facts,
        *,
        owner: Address,
        worker: SigningKey,
        budget: Budget,
        turns: AbstractAsyncContextManager[object],
    ) -> None:
        self.facts = facts
        self._shop = shop
        self._owner = owner
        self._worker = worker
        self._budget = budget
        self._turns = turns

    @property
    def ask(self) -> Ask:
        """What is sold now, as the registry has it once it does."""
        facts = self.facts
        if facts.posted_ask is not None and is_offered(
            facts.posted_ask, facts.offer, head_epoch=facts.head_epoch
        ):
            return facts.posted_ask
        return facts.offer

    def signed_ask(self) -> SignedAsk:
        """Return the ask, signed."""
        return SignedAsk.sign(self.ask, self._worker)

    async def consider(self, propose: Propose) -> Accept | Reject:
        """Answer a proposal; an acceptance is durable before it is returned.

        Raises `MalformedBytes` if the proposal names no peer to fetch from.
        """
        client_of(propose)
        async with self._turns:
            known = await self._shop.store.promise(propose.proposal.cid)
            negotiation = ProviderNegotiation(
                Listener(
                    chain_id=self._shop.chain_id,
                    provider_id=self._shop.provider_id,
                    head_epoch=self.facts.head_epoch,
                    is_known=lambda _: known is not None,
                )
            )
            negotiation.receive(propose)
            if negotiation.answer is None:
                await self._decide(propose, negotiation)
            assert negotiation.answer is not None, "a decision is an answer"
            return negotiation.answer

    async def status(self, question: StatusRequest, sender: PeerId) -> Status:
        """Return how a proposal stands; fetch from where its client says it is now.

        A client that was started again is the same peer at another address.
        """
        promise = await self._shop.store.promise(question.proposal_cid)
        if promise is None:
            return Status(proposal_cid=question.proposal_cid, progress=Progress.UNKNOWN)
        propose = promise.propose
        if str(sender) == propose.client_peer_id and promise.is_open and not promise.is_received:
            moved = propose.evolve(client_addresses=question.client_addresses)
            if moved != propose:
                promise = await self._shop.store.change_promise(
                    question.proposal_cid, propose=moved
                )
        return self.status_of(promise)

    def status_of(self, promise: Promise) -> Status:
        """Return how a promise stands."""
        return status_of(
            promise,
            self.facts,
            transfers=self._shop.transfers,
            sealing=self._shop.sealing.progress,
        )

    async def space(self) -> Capacity:
        """Return what is left to promise, as far as the disk goes: without the ledger."""
        return await self._capacity(free_atto=0)

    async def _capacity(self, *, free_atto: int) -> Capacity:
        return capacity_left(
            await self._shop.store.promises(),
            await self._shop.store.plans(),
            published=self.facts.deals.keys(),
            sealing=self._budget.sealing,
            answering=self._budget.answering,
            limit_bytes=self._budget.capacity_bytes,
            disk_free_bytes=await self._shop.disk.free_bytes(),
            has_blocks_on_disk=self._budget.has_blocks_on_disk,
            free_atto=free_atto,
            fetches_open_max=self._budget.fetches_open_max,
        )

    async def _decide(self, propose: Propose, negotiation: ProviderNegotiation) -> None:
        facts = self.facts
        try:
            owner = (await self._shop.ledger.sender(self._owner)).account
            client = (await self._shop.ledger.sender(propose.proposal.client)).account
        except LedgerUnreachable as error:
            negotiation.reject(RejectCode.BUSY, str(error))
            return
        objection = decide(
            propose.proposal,
            ask=self.ask,
            policy=facts.policy,
            head_epoch=facts.head_epoch,
            capacity=await self._capacity(free_atto=owner.free_atto),
            client_free_atto=client.free_atto,
        )
        if objection is not None:
            negotiation.reject(objection.code, objection.reason)
            return
        last_epoch = fetch_by_epoch(propose.proposal, facts.rule(facts.proof_type))
        acceptance = negotiation.accept(fetch_by_epoch=last_epoch, worker=self._worker)
        await self._shop.store.add_promise(Promise(propose=propose, acceptance=acceptance))
