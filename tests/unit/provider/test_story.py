"""A provider at work over a real ledger node, from the proposal to windows answered."""

from pathlib import Path

import pytest

from chain.deal import Deal, DealState
from market.messages import Accept, Progress, Reject, RejectCode
from market.stream import request_status
from provider.duties import (
    AnswerWindow,
    Assign,
    Duty,
    FetchPiece,
    OfferAsk,
    PreCommit,
    ProveCommit,
    Publish,
    Seal,
    Trim,
)
from provider.node import ProviderNode
from tests.support.provider_town import Client, Town, client_of, town


def only_deal(node: ProviderNode) -> Deal | None:
    deals = tuple(node.facts.deals.values())
    return deals[0] if deals else None


def windows_proven(count: int, node: ProviderNode) -> bool:
    deal = only_deal(node)
    return deal is not None and deal.windows_proven >= count


async def test_a_piece_is_fetched_sealed_proven_and_paid_for(tmp_path: Path) -> None:
    async with town(tmp_path) as place, client_of(place) as client:
        provider = await place.start()
        root = client.add_dag(b"a" * 300, b"b" * 300)
        proposal = await client.propose(provider, root)
        accept = await client.negotiate(provider, proposal)
        assert isinstance(accept, Accept)
        status = await request_status(client.host, client.address_of(provider), proposal.cid)
        assert status.progress is Progress.AWAITS_ESCROW
        assert status.acceptance == accept
        await client.reserve(proposal)
        await place.until(lambda node: windows_proven(2, node))
        [deal] = await place.deals()
        assert deal.state is DealState.ACTIVE
        assert deal.paid_atto > 0
        assert place.node is not None
        seen = await place.node.status()
        assert (seen.windows_proven, seen.windows_missed, seen.troubles) == (2, 0, ())
        status = await request_status(client.host, client.address_of(provider), proposal.cid)
        assert status.progress is Progress.PROVEN
        [sector] = await place.node.sectors()
        assert sector.plan.is_trimmed
        names = {path.name for path in (tmp_path / "provider/sectors/0/replica").iterdir()}
        assert names == {"replica", "tree_r_last", "manifest.json"}
