"""Storing, as stories: whoever fails, the file is kept by others, and no money is lost."""

import asyncio
from pathlib import Path

import pytest

from chain.deal import DealState
from chain.errors import InsufficientFunds
from chain.messages import ReserveEscrow
from chain.units import ProviderId
from client.errors import NotEnoughProviders, PieceTooLarge
from client.prepare import Prepared
from client.selection import Quote, StorageTerms
from client.storing import Stage, Step, Stored, missing_copies, quote_piece, store_piece
from ipfs.p2p.peer_id import PeerId
from market.messages import (
    Progress,
    Propose,
    Reject,
    RejectCode,
    SignedProposal,
    Status,
    StatusRequest,
)
from tests.support.client_town import (
    Client,
    FeignedProvider,
    Forgetful,
    RealProvider,
    Town,
    client_of,
    told,
    town,
)

TERMS = StorageTerms(duration_epochs=160, label="file")
Provider = FeignedProvider | RealProvider


async def quoted(client: Client, prepared: Prepared, terms: StorageTerms = TERMS) -> Quote:
    return await client.town.passing(quote_piece(client.session, prepared, terms, client.payer))


async def file_for(client: Client, first: Provider) -> tuple[Prepared, Quote]:
    """Return a file for which, among equals, this provider comes first."""
    for number in range(100):
        prepared = await client.file(f"text {number}\n")
        agreed = await quoted(client, prepared)
        if agreed.chosen[0].candidate.provider.id == first.id:
            return prepared, agreed
    raise AssertionError("every provider comes first now and then")


class Diary:
    """What a watcher was told."""

    def __init__(self) -> None:
        self.steps: list[Step] = []

    def __call__(self, step: Step) -> None:
        self.steps.append(step)

    def stages_of(self, provider: Provider) -> list[Stage]:
        """Return a provider's stages, each once in a row."""
        stages = [step.stage for step in self.steps if step.provider_id == provider.id]
        return [one for one, last in zip(stages, [None, *stages], strict=False) if one != last]


async def stored(
    client: Client, prepared: Prepared, agreed: Quote, diary: Diary, terms: StorageTerms = TERMS
) -> Stored:
    return await client.town.passing(
        store_piece(client.session, client.payer, prepared, terms, agreed, diary)
    )


async def locked_by(place: Town, client: Client) -> int:
    """Return what the client's live deals hold, by the ledger."""
    deals = await place.ledger.deals(client=client.payer.address)
    return sum(deal.unsettled_atto for deal in deals)


def keepers(result: Stored) -> list[ProviderId]:
    return sorted(deal.proposal.provider_id for deal in result.deals)


async def test_two_copies_land_with_two_owners(tmp_path: Path) -> None:
    async with town(tmp_path) as place, client_of(place) as client:
        providers = [await place.provider(), await place.provider()]
        prepared = await client.file("twice")
        terms = StorageTerms(duration_epochs=160, copies=2, label="ü" * 200)
        agreed = await quoted(client, prepared, terms)
        diary = Diary()
        result = await stored(client, prepared, agreed, diary, terms)
        assert keepers(result) == sorted(provider.id for provider in providers)
        assert {deal.state for deal in result.deals} == {DealState.ACTIVE}
        assert {deal.proposal.label for deal in result.deals} == {"ü" * 128}
        account = await client.account()
        assert account.locked_atto == await locked_by(place, client)
        assert sum(deal.proposal.payment_atto for deal in result.deals) == agreed.total_atto
        assert diary.stages_of(providers[0])[:3] == [Stage.ASKED, Stage.ACCEPTED, Stage.RESERVED]
        assert diary.stages_of(providers[0])[-1] is Stage.ACTIVE
        # Said again it finds what is there, pays nothing and needs nobody.
        assert await missing_copies(client.session, client.payer, prepared, terms) == 0
        again = await stored(client, prepared, Quote((), ()), Diary(), terms)
        assert {deal.id for deal in again.deals} == {deal.id for deal in result.deals}
        longer = StorageTerms(duration_epochs=161, copies=2)
        assert await missing_copies(client.session, client.payer, prepared, longer) == 2


async def test_who_rejects_is_paid_nothing_and_the_next_is_asked(tmp_path: Path) -> None:
    async with town(tmp_path) as place, client_of(place) as client:
        picky, other = await place.feigned(), await place.provider()
        picky.sells()
        picky.answers(rejecting)
        prepared, agreed = await file_for(client, picky)
        diary = Diary()
        result = await stored(client, prepared, agreed, diary)
        assert keepers(result) == [other.id]
        assert diary.stages_of(picky) == [Stage.ASKED, Stage.REJECTED, Stage.FELL_THROUGH]
        assert diary.steps[2].detail.endswith("no-space: full")
        assert [deal.id for deal in await place.ledger.deals()] == [result.deals[0].id]
        assert (await client.account()).locked_atto == await locked_by(place, client)


async def test_who_is_unreachable_is_passed_over(tmp_path: Path) -> None:
    async with town(tmp_path) as place, client_of(place) as client:
        first, other = await place.provider(), await place.provider()
        prepared, agreed = await file_for(client, first)
        await first.kill()
        diary = Diary()
        result = await stored(client, prepared, agreed, diary)
        assert keepers(result) == [other.id]
        assert diary.stages_of(first) == [Stage.ASKED, Stage.FELL_THROUGH]


async def test_a_proposal_that_is_never_published_lapses_by_itself(tmp_path: Path) -> None:
    async with town(tmp_path) as place, client_of(place) as client:
        idle, other = await place.feigned(), await place.provider()
        idle.sells()
        idle.answers(idle.accept)
        prepared, agreed = await file_for(client, idle)
        diary, began = Diary(), place.epoch
        result = await stored(client, prepared, agreed, diary)
        assert keepers(result) == [other.id]
        assert diary.stages_of(idle)[-2:] == [Stage.TRANSFERRING, Stage.FELL_THROUGH]
        [lapsed] = idle.proposals
        assert place.epoch > lapsed.publish_by_epoch > began
        assert (await client.account()).locked_atto == await locked_by(place, client)


@pytest.mark.parametrize("progress", [Progress.DROPPED, Progress.UNKNOWN])
async def test_a_dropped_transfer_frees_the_money_at_once(
    tmp_path: Path, progress: Progress
) -> None:
    async with town(tmp_path) as place, client_of(place) as client:
        weary = await place.feigned()
        weary.sells()
        weary.answers(weary.accept, told(progress))
        prepared, agreed = await file_for(client, weary)
        with pytest.raises(NotEnoughProviders) as failure:
            await stored(client, prepared, agreed, Diary())
        [dropped] = weary.proposals
        assert place.epoch <= dropped.publish_by_epoch, "nobody waited for it to lapse"
        assert list(failure.value.reasons) == [weary.id]
        account = await client.account()
        fees_atto = 2 * place.genesis.policy.message_fee_atto
        assert account.locked_atto == 0
        assert account.balance_atto == place.genesis.policy.faucet_atto_max - fees_atto


async def test_who_says_dropped_and_publishes_pays_for_it(tmp_path: Path) -> None:
    async with town(tmp_path) as place, client_of(place) as client:
        liar = await place.feigned()
        liar.sells()
        publishing: list[asyncio.Task[None]] = []

        async def publish_first(question: StatusRequest, _: PeerId) -> Status:
            """Say so once the deal waits for the block, before which the client cancels."""
            if not publishing:
                nonce = (await place.ledger.sender(liar.sender.address)).next_nonce
                publishing.append(asyncio.create_task(liar.publish(liar.proposals[0])))
                await place.hears(liar.sender.address, nonce + 1)
            return Status(proposal_cid=question.proposal_cid, progress=Progress.DROPPED)

        liar.answers(liar.accept, publish_first)
        prepared, agreed = await file_for(client, liar)
        with pytest.raises(NotEnoughProviders):
            await stored(client, prepared, agreed, Diary())
        await asyncio.gather(*publishing)
        [deal] = await place.ledger.deals()
        assert deal.state is DealState.LAPSED
        assert deal.refunded_atto == deal.proposal.payment_atto
        assert deal.compensation_atto == deal.proposal.collateral_atto
        assert (await client.account()).locked_atto == 0


async def test_an_interrupted_store_goes_on_and_pays_once(tmp_path: Path) -> None:
    async with town(tmp_path) as place, client_of(place) as client:
        provider = await place.provider()
        prepared = await client.file("interrupted")
        agreed = await quoted(client, prepared)
        await interrupted(client, prepared, agreed, Stage.RESERVED)
        held = (await client.account()).locked_atto
        assert held == agreed.total_atto
        assert await missing_copies(client.session, client.payer, prepared, TERMS) == 0
        assert (await quoted(client, prepared)).chosen == ()
        await provider.kill()
        spare = await place.provider()
        assert spare.id != provider.id
        other_terms = StorageTerms(duration_epochs=160, copies=2)
        assert await missing_copies(client.session, client.payer, prepared, other_terms) == 1
        more = await quoted(client, prepared, other_terms)
        assert [offer.candidate.provider.id for offer in more.chosen] == [spare.id]


async def test_said_again_it_ends_with_the_same_proposal(tmp_path: Path) -> None:
    async with town(tmp_path) as place, client_of(place) as client:
        provider = await place.provider()
        prepared = await client.file("interrupted")
        agreed = await quoted(client, prepared)
        for stage in (Stage.RESERVED, Stage.PUBLISHED):
            await interrupted(client, prepared, agreed, stage)
        result = await stored(client, prepared, agreed, Diary())
        assert keepers(result) == [provider.id]
        [signed] = client.session.store.proposals(prepared.root_cid)
        [deal] = await place.ledger.deals()
        assert deal.proposal == signed.proposal
        assert (await client.account()).locked_atto == deal.unsettled_atto


async def test_every_deal_that_was_begun_is_brought_to_its_proof(tmp_path: Path) -> None:
    async with town(tmp_path) as place, client_of(place) as client:
        providers = [await place.provider(), await place.provider()]
        prepared = await client.file("more than enough")
        twice = StorageTerms(duration_epochs=160, copies=2)
        agreed = await quoted(client, prepared, twice)
        await interrupted(client, prepared, agreed, Stage.RESERVED, twice)
        result = await stored(client, prepared, Quote((), ()), Diary())
        assert keepers(result) == [provider.id for provider in providers], "one was asked for now"
        assert (await client.account()).locked_atto == await locked_by(place, client)


async def test_who_looks_again_after_the_end_is_not_asked_to_pay_again(tmp_path: Path) -> None:
    async with town(tmp_path) as place, client_of(place) as client:
        await place.provider()
        prepared = await client.file("short")
        terms = StorageTerms(duration_epochs=16)
        agreed = await quoted(client, prepared, terms)
        cut = CutAt(place, client, {Stage.PUBLISHED}, epochs=50)
        [deal] = (await stored(client, prepared, agreed, cut, terms)).deals
        assert deal.state is DealState.COMPLETED
        assert cut.steps[-1].detail == f"deal {deal.id}, completed by now"
        assert len(await place.ledger.deals()) == 1
        assert (await client.account()).locked_atto == 0
        assert await missing_copies(client.session, client.payer, prepared, terms) == 1


async def test_the_ledger_goes_away_and_comes_back(tmp_path: Path) -> None:
    async with town(tmp_path) as place, client_of(place) as client:
        provider = await place.provider()
        prepared = await client.file("patience")
        agreed = await quoted(client, prepared)
        cuts = CutAt(place, client, {Stage.ACCEPTED, Stage.RESERVED, Stage.PUBLISHED})
        result = await stored(client, prepared, agreed, cuts)
        assert keepers(result) == [provider.id]
        assert cuts.to_come <= {Stage.PUBLISHED}, "it went away; who is cut off may miss a stage"
        assert len(await place.ledger.deals()) == 1
        assert (await client.account()).locked_atto == await locked_by(place, client)


async def test_a_reservation_whose_answers_were_lost_is_not_made_twice(tmp_path: Path) -> None:
    async with town(tmp_path) as place, client_of(place, line_kind=Forgetful) as client:
        provider = await place.provider()
        prepared = await client.file("say it again")
        agreed = await quoted(client, prepared)
        assert isinstance(client.line, Forgetful)
        client.line.forgets = ReserveEscrow
        [deal] = (await stored(client, prepared, agreed, Diary())).deals
        assert deal.proposal.provider_id == provider.id
        [signed] = client.session.store.proposals(prepared.root_cid)
        assert deal.proposal == signed.proposal
        assert (await client.account()).locked_atto == deal.unsettled_atto


async def test_too_little_money_is_found_before_anything_is_proposed(tmp_path: Path) -> None:
    async with town(tmp_path) as place, client_of(place, poor=True) as client:
        provider = await place.feigned()
        provider.sells()
        provider.answers(provider.accept)
        prepared, agreed = await file_for(client, provider)
        diary = Diary()
        with pytest.raises(InsufficientFunds) as refusal:
            await stored(client, prepared, agreed, diary)
        fee_atto = place.genesis.policy.message_fee_atto
        assert refusal.value.missing_atto == agreed.total_atto + fee_atto
        assert (diary.steps, provider.proposals) == ([], [])


async def test_proposals_of_another_chain_or_wallet_are_not_ours(tmp_path: Path) -> None:
    async with (
        town(tmp_path) as place,
        client_of(place) as client,
        client_of(place, name="bob") as bob,
    ):
        idle = await place.feigned()
        idle.sells()
        idle.answers(idle.accept)
        prepared, agreed = await file_for(client, idle)
        await interrupted(client, prepared, agreed, Stage.RESERVED)
        [mine] = client.session.store.proposals(prepared.root_cid)
        foreign = mine.proposal.evolve(chain_id="another", nonce=1)
        client.session.store.remember(SignedProposal.sign(foreign, client.payer.key))
        assert await missing_copies(client.session, client.payer, prepared, TERMS) == 0
        bob.session.store.remember(mine)
        assert await missing_copies(bob.session, bob.payer, prepared, TERMS) == 1


async def test_a_failing_copy_leaves_the_other_one_be(tmp_path: Path) -> None:
    async with town(tmp_path) as place, client_of(place) as client:
        picky, other = await place.feigned(), await place.provider()
        picky.sells()
        picky.answers(rejecting)
        prepared = await client.file("one of two")
        terms = StorageTerms(duration_epochs=160, copies=2)
        agreed = await quoted(client, prepared, terms)
        with pytest.raises(NotEnoughProviders) as failure:
            await stored(client, prepared, agreed, Diary(), terms)
        assert failure.value.reasons[picky.id].endswith("no-space: full")
        [deal] = await place.ledger.deals()
        assert (deal.proposal.provider_id, deal.state) == (other.id, DealState.ACTIVE)
        assert (await client.account()).locked_atto == deal.unsettled_atto


async def test_a_piece_that_nobody_takes_is_refused_with_the_flag_that_helps(
    tmp_path: Path,
) -> None:
    async with town(tmp_path) as place, client_of(place) as client:
        (await place.feigned()).sells(piece_size_bytes_max=2**53)
        prepared = await client.file("far too large for two kibibytes" * 20)
        with pytest.raises(PieceTooLarge, match="--sector-size") as refusal:
            await quoted(client, prepared)
        assert refusal.value.payload_bytes_max == 2048 // 128 * 127


class InterruptAt(Diary):
    """Presses Ctrl-C at a stage."""

    def __init__(self, stage: Stage, *, copies: int) -> None:
        super().__init__()
        self._stage = stage
        self._copies = copies
        self.task: asyncio.Task[Stored] | None = None

    def __call__(self, step: Step) -> None:
        super().__call__(step)
        there = {one.provider_id for one in self.steps if one.stage is self._stage}
        if len(there) == self._copies and self.task is not None:
            self.task.cancel()


async def interrupted(
    client: Client, prepared: Prepared, agreed: Quote, stage: Stage, terms: StorageTerms = TERMS
) -> None:
    """Begin to store, and be cancelled when the last copy is at a stage."""
    interrupt = InterruptAt(stage, copies=terms.copies)
    interrupt.task = asyncio.create_task(stored(client, prepared, agreed, interrupt, terms))
    with pytest.raises(asyncio.CancelledError):
        await interrupt.task


class CutAt(Diary):
    """Cuts the client off from the ledger at each of some stages, for a few epochs."""

    def __init__(self, place: Town, client: Client, stages: set[Stage], *, epochs: int = 2) -> None:
        super().__init__()
        self._epochs = epochs
        self.to_come = stages
        self._place = place
        self._line = client.line
        self._mending: list[asyncio.Task[None]] = []

    def __call__(self, step: Step) -> None:
        super().__call__(step)
        if step.stage in self.to_come:
            self.to_come.discard(step.stage)
            self._line.cut()
            self._mending.append(
                asyncio.create_task(self._mend_at(self._place.epoch + self._epochs))
            )

    async def _mend_at(self, epoch: int) -> None:
        await self._place.ledger.head_after(epoch - 1)
        self._line.mend()


def rejecting(propose: Propose) -> Reject:
    code = RejectCode.NO_SPACE
    return Reject(proposal_cid=propose.proposal.cid, code=code, reason="full")
