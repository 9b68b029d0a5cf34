"""Whatever anybody does, in any order: money is conserved and goes where a plain model says."""

from collections.abc import Sequence
from typing import TypeVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from chain.deadline import open_windows
from chain.deal import DealProposal
from chain.messages import (
    CancelProposal,
    DeclareFaults,
    PreCommitSectors,
    ProveCommitSectors,
    PublishDeals,
    ReserveEscrow,
    SectorProof,
    SubmitWindowPost,
    Transfer,
)
from chain.units import Atto, DealId, Epoch, SectorNumber
from ipfs.cid import CID, Codec
from tests.support.ledger_model import LIVE, Model, ModelDeal, ModelSector
from tests.support.world import STORY_POLICY, Person, ProviderPerson, StoryDeal, World

POLICY = STORY_POLICY.evolve(
    proving_period_epochs=8,
    deadlines_per_period=2,
    prove_commit_epochs=12,
    collateral_periods=5,
    fault_duration_divisor=2,
    forgiven_miss_periods=4,
    declared_faults_max=2,
    sector_pieces_max=3,
)
"""Everything happens soon, and the fees eat the collateral up."""

some = st.integers(0, 10**6)
Choice = TypeVar("Choice")


class LedgerMachine(RuleBasedStateMachine):
    """Two clients, and two providers, one of whom also stores with itself."""

    @initialize()
    def begin(self) -> None:
        self.world = World(POLICY)
        rule_of = POLICY.sectors[0]
        self.model = Model(POLICY, rule_of.response_epochs)
        self.providers = [self.world.provider(name, atto=3_000) for name in ("bob", "carol")]
        alice = self.world.person("alice", atto=2_000)
        self.clients: list[Person] = [alice, self.world.person("dave", atto=500), self.providers[0]]
        self.people: list[Person] = [*self.clients, self.providers[1]]
        for person in self.people:
            self.model.free[person.address] = person.free_atto
        self.nonces = {person.address: person.account.nonce for person in self.people}
        self.sectors: dict[tuple[int, int], ModelSector] = {}
        self.proposals: list[DealProposal] = []

    def provider_of(self, proposal: DealProposal) -> ProviderPerson:
        return next(each for each in self.providers if each.id == proposal.provider_id)

    def client_of(self, proposal: DealProposal) -> Person:
        return next(each for each in self.clients if each.address == proposal.client)

    @rule(payer=some, payee=some, amount=st.integers(0, 700))
    def transfer(self, payer: int, payee: int, amount: int) -> None:
        giver, taker = pick(self.people, payer), pick(self.people, payee)
        is_covered = self.model.free[giver.address] >= amount
        receipt = giver.says(Transfer(to=taker.address, amount_atto=Atto(amount)))
        assert receipt.is_done is is_covered
        if is_covered:
            self.model.free[giver.address] -= amount
            self.model.free[taker.address] += amount

    @rule(
        who=some,
        whom=some,
        price=st.integers(0, 5),
        periods=st.integers(1, 6),
        starts_in=st.integers(0, 20),
        within=st.integers(0, 20),
        extra=st.integers(0, 3),
        goes_on=st.integers(0, 3),
    )
    def reserve(
        self,
        who: int,
        whom: int,
        price: int,
        periods: int,
        starts_in: int,
        within: int,
        extra: int,
        goes_on: int,
    ) -> None:
        client, provider = pick(self.clients, who), pick(self.providers, whom)
        proposal = client.proposes(
            provider,
            periods=periods,
            price_atto_per_epoch=price,
            starts_in=starts_in,
            published_within=min(within, starts_in),
            piece=f"piece {len(self.proposals)}",
        )
        proposal = proposal.evolve(end_epoch=Epoch(proposal.end_epoch + extra))
        least_atto = POLICY.collateral_atto(
            piece_size_bytes=proposal.piece_size_bytes,
            duration_epochs=proposal.duration_epochs,
            price_atto_per_epoch=price,
        )
        proposal = proposal.evolve(collateral_atto=least_atto)
        receipt = client.says(ReserveEscrow(proposal=proposal))
        is_covered = self.model.free[client.address] >= proposal.payment_atto
        assert receipt.code == (None if is_covered else "insufficient-funds")
        if is_covered:
            self.model.reserve(proposal)
            self.proposals.append(proposal)
            if goes_on:
                self.publish(len(self.proposals) - 1)

    @rule(which=some)
    def reserve_again(self, which: int) -> None:
        if self.proposals:
            proposal = pick(self.proposals, which)
            receipt = self.client_of(proposal).says(ReserveEscrow(proposal=proposal))
            assert receipt.code in ("already-exists", "expired")

    @rule(which=some)
    def cancel(self, which: int) -> None:
        if self.proposals:
            proposal = pick(self.proposals, which)
            is_reserved = str(proposal.cid) in self.model.reserved
            body = CancelProposal(proposal_cid=proposal.cid)
            assert self.client_of(proposal).says(body).is_done is is_reserved
            if is_reserved:
                self.model.release(proposal)

    @rule(which=some)
    def publish(self, which: int) -> None:
        if self.proposals:
            proposal = pick(self.proposals, which)
            provider = self.provider_of(proposal)
            is_reserved = str(proposal.cid) in self.model.reserved
            is_covered = self.model.free[provider.address] >= proposal.collateral_atto
            body = PublishDeals(provider_id=provider.id, proposal_cids=(proposal.cid,))
            receipt = provider.worker.says(body)
            assert bool(receipt.created_ids) is (is_reserved and is_covered)
            if receipt.created_ids:
                self.model.publish(proposal, provider.address)

    @rule(whom=some, count=st.integers(1, 3))
    def seal(self, whom: int, count: int) -> None:
        provider = pick(self.providers, whom)
        waiting = [
            (StoryDeal(self.world, DealId(index + 1)), deal)
            for index, deal in enumerate(self.model.deals)
            if deal.proposal.provider_id == provider.id
            and deal.state in LIVE
            and deal.sector is None
        ][:count]
        if waiting:
            item = provider.sealed(*(story for story, _ in waiting))
            receipt = provider.worker.says(
                PreCommitSectors(provider_id=provider.id, sectors=(item,))
            )
            if receipt.refusals:
                assert receipt.refusals[0].code in ("insufficient-funds", "too-late")
                return
            sector = self.model.seal([deal for _, deal in waiting], self.world.epoch)
            self.sectors[provider.id, item.number] = sector

    @rule(which=some)
    def prove_replication(self, which: int) -> None:
        waiting = [
            (key, sector)
            for key, sector in self.sectors.items()
            if sector.deadline is None and not sector.is_over
        ]
        if waiting:
            (provider_id, number), sector = pick(waiting, which)
            provider = next(each for each in self.providers if each.id == provider_id)
            held = self.world.ledger.sector(provider.id, SectorNumber(number))
            if held.precommit_epoch + POLICY.seed_delay_epochs >= self.world.epoch:
                return
            proof = provider.replication_proof(held.number)
            provider.worker.does(ProveCommitSectors(provider_id=provider.id, proofs=(proof,)))
            deadline = self.world.ledger.sector(provider.id, held.number).deadline_index
            assert deadline is not None
            self.model.activate(sector, deadline, self.world.epoch)

    @rule(whom=some, periods_off=st.sampled_from([0, 0, 0, -1, 1]))
    def declare(self, whom: int, periods_off: int) -> None:
        provider = pick(self.providers, whom)
        for (provider_id, number), sector in self.sectors.items():
            if provider_id != provider.id:
                continue
            window = max(0, (sector.window or 0) + periods_off * POLICY.proving_period_epochs)
            may = self.model.may_declare(sector, window, self.world.epoch)
            body = DeclareFaults(
                provider_id=provider.id,
                window_epoch=Epoch(window),
                numbers=(SectorNumber(number),),
            )
            assert (not provider.worker.says(body).refusals) is may
            if may:
                self.model.declare(sector)

    @rule(
        epochs=st.integers(1, 16),
        provers=st.lists(st.integers(0, 1)),
        halts=some,
        fails=st.integers(0, 3),
    )
    def time_passes(self, epochs: int, provers: list[int], halts: int, fails: int) -> None:
        if fails < len(self.providers):
            self.declare(fails, 0)
            provers = [index for index in provers if index != fails]
        for _ in range(epochs):
            is_after_gap = halts % 97 == self.world.epoch % 97
            self.world.passes(epochs=1, is_after_gap=is_after_gap)
            self.model.tick(self.world.epoch, is_after_gap=is_after_gap)
            for index in sorted(set(provers)):
                self.work(index)

    def work(self, index: int) -> None:
        """Do what a diligent provider does at every head."""
        provider = self.providers[index]
        self.seal(index, 3)
        for which in range(len(self.sectors)):
            self.prove_replication(which)
        head_epoch = Epoch(self.world.epoch - 1)
        for sector in open_windows(provider.sectors, head_epoch=head_epoch):
            provider.worker.does(provider.window_answer(sector))
            self.model.prove(self.sectors[provider.id, sector.number])

    @rule(whom=some, number=st.integers(0, 5), window=st.integers(0, 200), as_owner=st.booleans())
    def say_nonsense(self, whom: int, number: int, window: int, as_owner: bool) -> None:
        provider = pick(self.providers, whom)
        speaker = provider if as_owner else provider.worker
        proof = SectorProof(number=SectorNumber(number), proof_cid=CID.of(Codec.RAW, b"no proof"))
        nobodys = SectorNumber(number + 10**6)
        bodies = (
            DeclareFaults(
                provider_id=provider.id, window_epoch=Epoch(window), numbers=(nobodys, nobodys)
            ),
            ProveCommitSectors(provider_id=provider.id, proofs=(proof, proof)),
            SubmitWindowPost(
                provider_id=provider.id, window_epoch=Epoch(window), proofs=(proof, proof)
            ),
        )
        for body in bodies:
            before = dict(self.world.ledger.entities)
            receipt = speaker.says(body)
            assert len(receipt.refusals) == 2 or receipt.code == "not-allowed"
            key = speaker.account.key
            changed = {**self.world.ledger.entities, key: None}
            assert changed == {**before, key: None}, "only the speaker's nonce changed"

    @invariant()
    def agrees_with_the_model(self) -> None:
        for person in self.people:
            account = person.account
            assert account.free_atto == self.model.free[person.address]
            assert account.nonce >= self.nonces[person.address], "nonces only grow"
            self.nonces[person.address] = account.nonce
        for found, deal in zip(self.world.ledger.deals(), self.model.deals, strict=True):
            assert seen(deal) == (
                found.proposal,
                found.state,
                found.settled_until_epoch,
                found.paid_atto,
                found.refunded_atto,
                found.compensation_atto,
            )


def pick(choices: Sequence[Choice], index: int) -> Choice:
    return choices[index % len(choices)]


def seen(deal: ModelDeal) -> tuple[object, ...]:
    return (
        deal.proposal,
        deal.state,
        deal.settled,
        deal.paid,
        deal.refunded,
        deal.compensation,
    )


LedgerMachine.TestCase.settings = settings(
    max_examples=80,
    stateful_step_count=50,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
TestLedger = LedgerMachine.TestCase
