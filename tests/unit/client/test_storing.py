"""Storing, as stories: whoever fails, the file ends with those who keep it, and no money is lost."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest

from chain.deal import DealProposal, DealState
from chain.errors import InsufficientFunds
from chain.units import Atto, ProviderId
from client.errors import NotEnoughProviders, PieceTooLarge
from client.prepare import Prepared
from client.selection import Quote, StorageTerms
from client.storing import Stage, Step, Stored, missing_copies, quote_piece, store_piece
from market.messages import Progress, Propose, Reject, RejectCode, SignedProposal, Status
from tests.support.client_town import Client, FeignedProvider, RealProvider, Town, client_of, town

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
