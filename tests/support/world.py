"""A ledger in memory and the persons of a story; what must always hold is checked at every step."""

import hashlib
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field

from chain import statements
from chain.account import Account
from chain.accounts import genesis_transition
from chain.apply import advance_epoch, apply
from chain.beacon import OwnBeacon
from chain.block import Genesis, Receipt
from chain.deadline import open_windows
from chain.deal import Deal, DealProposal, DealState
from chain.invariants import violations, violations_of
from chain.keys import Address, SigningKey
from chain.messages import (
    Body,
    CancelProposal,
    DrawFaucet,
    Message,
    PreCommitSectors,
    ProveCommitSectors,
    PublishDeals,
    RegisterProvider,
    ReserveEscrow,
    SectorPreCommit,
    SectorProof,
    SignedMessage,
    SubmitWindowPost,
)
from chain.policy import DEV, Policy
from chain.sector import Sector
from chain.units import ATTO_PER_TOKEN, Atto, DealId, Epoch, ProviderId, SectorNumber
from chain.view import Judge, MemoryLedger, Statement, Transition
from ipfs.cid import CID, Codec
from ipfs.piece_cid import piece_cid_v2
from proofs.parameters import ProofType

STORY_POLICY = DEV.evolve(
    name="story",
    message_fee_atto=Atto(0),
    collateral_floor_atto_per_gib=Atto(0),
    faucet_atto_max=Atto(10**6 * ATTO_PER_TOKEN),
)
"""DEV with round numbers: periods of 16 epochs, 4 deadlines, 3 epochs to answer, no fees."""

PROOF_TYPE = ProofType.SDR_2KIB
PIECE_BYTES = 512
PIECE_HEIGHT = 4
COMM_R = bytes(31) + b"\1"


def honest_proof(statement: Statement) -> CID:
    """Return the CID of the proof that a story's judge takes for this statement and no other."""
    return CID.of(Codec.RAW, repr(statement).encode())


class StoryJudge(Judge):
    """Believes a proof if it was made for exactly the statement that the ledger checks."""

    def __call__(self, statement: Statement, proof_cid: CID) -> bool:
        return proof_cid == honest_proof(statement)


class World:
    """One ledger, epoch by epoch. What persons say is settled in the epoch that is open."""

    def __init__(self, policy: Policy = STORY_POLICY, judge: Judge | None = None) -> None:
        operator = SigningKey(hashlib.sha256(b"operator").digest())
        genesis = Genesis(
            policy=policy,
            ledger_address=operator.address(policy.address_prefix),
            beacon=OwnBeacon(public_key=bytes(48)),
            timestamp_milliseconds=0,
        )
        self.policy = policy
        self.ledger = MemoryLedger(
            policy=policy,
            chain_id=genesis.chain_id,
            ledger=genesis.ledger_address,
            judge=judge or StoryJudge(),
        )
        self.ledger.at(Epoch(0), self.beacon_of(0)).write(genesis_transition(genesis))
        self.passes(epochs=1)

    @staticmethod
    def beacon_of(epoch: int) -> bytes:
        return hashlib.sha256(b"beacon of %d" % epoch).digest()

    @property
    def epoch(self) -> Epoch:
        return self.ledger.epoch

    def person(self, name: str, *, atto: int = 0) -> "Person":
        person = Person(self, SigningKey(hashlib.sha256(name.encode()).digest()))
        if atto:
            person.does(DrawFaucet(amount_atto=Atto(atto)))
        return person

    def provider(self, name: str, *, atto: int) -> "ProviderPerson":
        owner, worker = self.person(name, atto=atto), self.person(f"{name}'s worker")
        registered = owner.does(
            RegisterProvider(worker=worker.address, peer_id=f"peer of {name}", addresses=())
        )
        [provider_id] = registered.created_ids
        return ProviderPerson(self, owner.key, worker, ProviderId(provider_id))

    def settle(self, signed: SignedMessage) -> Receipt:
        outcome = apply(self.ledger, signed)
        self.changes(outcome.transition)
        return outcome.receipt

    def passes(
        self,
        *,
        epochs: int = 0,
        periods: int = 0,
        proven_by: "ProviderPerson | Collection[ProviderPerson]" = (),
        is_after_gap: bool = False,
    ) -> None:
        """Close the open epoch and go on; whoever proves answers each window at once."""
        provers = [proven_by] if isinstance(proven_by, ProviderPerson) else proven_by
        for _ in range(epochs + periods * self.policy.proving_period_epochs):
            epoch = Epoch(self.epoch + 1)
            self.ledger.at(epoch, self.beacon_of(epoch))
            self.changes(advance_epoch(self.ledger, is_after_gap=is_after_gap))
            for provider in provers:
                provider.answers_windows()

    def passes_until(
        self, epoch: int, *, proven_by: "ProviderPerson | Collection[ProviderPerson]" = ()
    ) -> None:
        assert epoch >= self.epoch, "time goes one way"
        self.passes(epochs=epoch - self.epoch, proven_by=proven_by)

    def passes_window(
        self, deal: "StoryDeal", *, proven_by: "ProviderPerson | Collection[ProviderPerson]" = ()
    ) -> Epoch:
        """Go on until the deal's next window has closed; return when it opened."""
        sector = deal.sector
        assert sector.window_epoch is not None
        assert sector.close_epoch is not None
        self.passes_until(sector.close_epoch, proven_by=proven_by)
        return sector.window_epoch

    def changes(self, transition: Transition) -> None:
        assert list(violations_of(self.ledger, transition)) == []
        self.ledger.write(transition)
        assert list(violations(self.ledger)) == []


@dataclass
class Person:
    """Somebody with a key."""

    world: World
    key: SigningKey

    @property
    def address(self) -> Address:
        return self.key.address(self.world.policy.address_prefix)

    @property
    def account(self) -> Account:
        return self.world.ledger.account(self.address)

    @property
    def free_atto(self) -> int:
        return self.account.free_atto

    def message(self, body: Body) -> Message:
        return Message(
            chain_id=self.world.ledger.chain_id,
            sender=self.address,
            nonce=self.account.nonce,
            expires_epoch=Epoch(self.world.epoch + 10),
            body=body,
        )

    def says(self, body: Body) -> Receipt:
        return self.world.settle(SignedMessage.sign(self.message(body), self.key))

    def does(self, body: Body) -> Receipt:
        """Say something, all of which stands."""
        receipt = self.says(body)
        assert receipt.is_done, receipt
        assert not receipt.refusals, receipt
        return receipt

    def proposes(
        self,
        provider: "ProviderPerson",
        *,
        periods: int = 10,
        price_atto_per_epoch: int = 1,
        collateral_atto: int | None = None,
        starts_in: int = 3,
        published_within: int = 0,
        piece: str = "piece",
        piece_height: int = PIECE_HEIGHT,
        nonce: int = 0,
    ) -> DealProposal:
        policy, size = self.world.policy, 32 << piece_height
        duration = periods * policy.proving_period_epochs
        least_atto = policy.collateral_atto(
            piece_size_bytes=size,
            duration_epochs=duration,
            price_atto_per_epoch=price_atto_per_epoch,
        )
        root = hashlib.sha256(piece.encode()).digest()[:31] + b"\0"
        start = self.world.epoch + starts_in
        return DealProposal(
            piece_cid=piece_cid_v2(root, padding_bytes=0, height=piece_height),
            piece_size_bytes=size,
            root_cid=CID.of(Codec.RAW, piece.encode()),
            client=self.address,
            provider_id=provider.id,
            start_epoch=Epoch(start),
            end_epoch=Epoch(start + duration),
            publish_by_epoch=Epoch(self.world.epoch + published_within),
            price_atto_per_epoch=Atto(price_atto_per_epoch),
            collateral_atto=least_atto if collateral_atto is None else Atto(collateral_atto),
            chain_id=self.world.ledger.chain_id,
            nonce=nonce,
        )

    def reserves(self, proposal: DealProposal) -> Receipt:
        return self.does(ReserveEscrow(proposal=proposal))

    def cancels(self, proposal: DealProposal) -> Receipt:
        return self.does(CancelProposal(proposal_cid=proposal.cid))

    def stores_with(
        self,
        provider: "ProviderPerson",
        *,
        periods: int = 10,
        price_atto_per_epoch: int = 1,
        collateral_atto: int | None = None,
    ) -> "StoryDeal":
        """Go the whole way to an active deal whose first paid epoch is now."""
        proposal = self.proposes(
            provider,
            periods=periods,
            price_atto_per_epoch=price_atto_per_epoch,
            collateral_atto=collateral_atto,
        )
        self.reserves(proposal)
        deal = provider.publishes(proposal)
        sector_number = provider.seals(deal)
        self.world.passes_until(proposal.start_epoch)
        provider.proves_replication(sector_number)
        return deal


@dataclass(frozen=True)
class StoryDeal:
    """A deal, as the ledger holds it now."""

    world: World
    id: DealId

    @property
    def now(self) -> Deal:
        return self.world.ledger.deal(self.id)

    @property
    def sector(self) -> Sector:
        deal = self.now
        assert deal.sector_number is not None
        return self.world.ledger.sector(deal.proposal.provider_id, deal.sector_number)

    def is_now(self, state: DealState) -> bool:
        return self.now.state is state

    def ends_as(self, state: DealState) -> bool:
        """Whether it ended so, with every atto of the quote paid or given back."""
        deal = self.now
        return (
            deal.state is state
            and not state.is_live
            and deal.paid_atto + deal.refunded_atto == deal.proposal.payment_atto
        )


@dataclass
class ProviderPerson(Person):
    """Somebody who owns a provider; the worker speaks for it, the owner has the money."""

    worker: Person
    id: ProviderId
    _numbers: Iterator[int] = field(default_factory=lambda: iter(range(2**20)))

    @property
    def sectors(self) -> list[Sector]:
        return list(self.world.ledger.sectors_of(self.id))

    def publishes(self, proposal: DealProposal) -> StoryDeal:
        body = PublishDeals(provider_id=self.id, proposal_cids=(proposal.cid,))
        [deal_id] = self.worker.does(body).created_ids
        return StoryDeal(self.world, DealId(deal_id))

    def sealed(self, *deals: StoryDeal) -> SectorPreCommit:
        """Return the commitment to a sector of these deals, not handed in yet."""
        proposals = [deal.now.proposal for deal in deals]
        return SectorPreCommit(
            number=SectorNumber(next(self._numbers)),
            proof_type=PROOF_TYPE,
            comm_d=statements.data_commitment(PROOF_TYPE, proposals),
            comm_r=COMM_R,
            ticket_epoch=Epoch(self.world.epoch - 1),
            deal_ids=tuple(deal.id for deal in deals),
        )

    def seals(self, *deals: StoryDeal) -> SectorNumber:
        item = self.sealed(*deals)
        self.worker.does(PreCommitSectors(provider_id=self.id, sectors=(item,)))
        return item.number

    def replication_proof(self, number: SectorNumber) -> SectorProof:
        ledger = self.world.ledger
        sector = ledger.sector(self.id, number)
        statement = statements.replication_statement(
            chain_id=ledger.chain_id,
            sector=sector,
            deals=ledger.deals_of(sector),
            ticket_beacon=ledger.beacons[sector.ticket_epoch],
            seed_beacon=ledger.beacons[statements.seed_epoch(ledger.policy, sector)],
        )
        return SectorProof(number=number, proof_cid=honest_proof(statement))

    def proves_replication(self, *numbers: SectorNumber) -> Receipt:
        proofs = tuple(self.replication_proof(number) for number in numbers)
        return self.worker.does(ProveCommitSectors(provider_id=self.id, proofs=proofs))

    def window_proof(self, sector: Sector) -> SectorProof:
        ledger = self.world.ledger
        statement = statements.window_statement(
            chain_id=ledger.chain_id,
            policy=ledger.policy,
            sector=sector,
            deals=ledger.deals_of(sector),
            beacons=ledger.beacons,
        )
        return SectorProof(number=sector.number, proof_cid=honest_proof(statement))

    def answers_windows(self) -> None:
        """Answer what could be answered on the head before the epoch that is open."""
        head_epoch = Epoch(self.world.epoch - 1)
        for sector in open_windows(self.sectors, head_epoch=head_epoch):
            self.worker.does(self.window_answer(sector))

    def window_answer(self, sector: Sector) -> SubmitWindowPost:
        assert sector.window_epoch is not None
        return SubmitWindowPost(
            provider_id=self.id,
            window_epoch=sector.window_epoch,
            proofs=(self.window_proof(sector),),
        )
