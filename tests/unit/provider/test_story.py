"""A provider at work over a real ledger node, from the proposal to windows answered."""

from pathlib import Path

from chain.deal import Deal, DealState
from ipfs.bitswap.stream import Bitswap
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
    Scrub,
    Seal,
    Trim,
)
from provider.node import ProviderNode
from tests.support.provider_town import CLIENT_IDENTITY, client_of, town


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
        earned = seen.earnings
        assert earned.paid_atto == deal.paid_atto
        assert earned.ahead_atto == proposal.payment_atto - deal.paid_atto - deal.refunded_atto
        assert (earned.collateral_atto, earned.lost_atto) == (proposal.collateral_atto, 0)
        status = await request_status(client.host, client.address_of(provider), proposal.cid)
        assert status.progress is Progress.PROVEN
        [sector] = await place.node.sectors()
        assert sector.plan.is_trimmed
        names = {path.name for path in (tmp_path / "provider/sectors/0/replica").iterdir()}
        assert names == {"replica", "tree_r_last", "manifest.json"}


EVERY_DUTY = (
    OfferAsk,
    FetchPiece,
    Publish,
    Assign,
    Seal,
    PreCommit,
    ProveCommit,
    Trim,
    Scrub,
    AnswerWindow,
)


def is_doing(kind: type[Duty], node: ProviderNode) -> bool:
    """Whether a duty of this kind is under way; or, if it was over before we looked, done."""
    facts = node.facts
    is_done = {
        OfferAsk: facts.posted_ask is not None,
        FetchPiece: any(promise.is_received for promise in facts.promises),
        Publish: bool(facts.deals),
        Assign: bool(facts.plans),
        Seal: any(plan.sealed is not None for plan in facts.plans),
        PreCommit: bool(facts.sectors),
        ProveCommit: any(deal.state is DealState.ACTIVE for deal in facts.deals.values()),
        Trim: any(plan.is_trimmed for plan in facts.plans),
        Scrub: any(plan.scrubbed_epoch is not None for plan in facts.plans),
        AnswerWindow: any(deal.windows_proven for deal in facts.deals.values()),
    }
    return is_done[kind] or any(isinstance(duty, kind) for duty in node.under_way)


async def test_a_provider_killed_within_every_duty_carries_on(tmp_path: Path) -> None:
    async with town(tmp_path) as place, client_of(place) as client:
        provider = await place.start()
        await place.until(lambda node: is_doing(OfferAsk, node))
        await place.kill()
        provider = await place.start()
        proposal = await client.propose(provider, client.add_dag(b"a" * 300, b"b" * 300))
        assert isinstance(await client.negotiate(provider, proposal), Accept)
        await client.reserve(proposal)
        for kind in EVERY_DUTY[1:]:
            await place.until(lambda node, kind=kind: is_doing(kind, node))  # type: ignore[misc]
            await place.kill()
            await place.start()
        await place.until(lambda node: windows_proven(2, node))
        [deal] = await place.deals()
        assert (deal.state, deal.windows_missed) == (DealState.ACTIVE, 0)
        assert len(await place.ledger.sectors(provider.id)) == 1


async def test_a_deal_ends_paid_and_leaves_nothing_behind(tmp_path: Path) -> None:
    async with town(tmp_path) as place, client_of(place) as client:
        provider = await place.start()
        proposal = await client.propose(provider, client.add_dag(b"short"))
        assert isinstance(await client.negotiate(provider, proposal), Accept)
        await client.reserve(proposal)
        await place.until(lambda node: bool(node.facts.promises))
        await place.until(lambda node: not node.facts.promises and not node.facts.plans)
        [deal] = await place.deals()
        assert (deal.state, deal.paid_atto) == (DealState.COMPLETED, proposal.payment_atto)
        assert not list((tmp_path / "provider/sectors").iterdir())
        assert place.node is not None
        [closed] = await place.node.deals()
        assert closed.status.progress is Progress.DROPPED
        assert closed.status.detail == "the deal is completed"
        assert (await place.node.status()).used_bytes == 0


async def test_pieces_that_wait_together_share_a_sector(tmp_path: Path) -> None:
    async with town(tmp_path) as place, client_of(place) as client:
        place.config = place.config.model_copy(update={"pack_wait_epochs": 20})
        provider = await place.start()
        small = await client.propose(provider, client.add_dag(b"small"))
        large = await client.propose(provider, client.add_dag(b"large" * 100))
        for proposal in (small, large):
            assert isinstance(await client.negotiate(provider, proposal), Accept)
            await client.reserve(proposal)
        await place.until(
            lambda node: (
                [deal.state for deal in node.facts.deals.values()] == 2 * [DealState.ACTIVE]
            )
        )
        place.ledger.deals_asked_one_by_one = 0
        await place.until(
            lambda node: sum(deal.windows_proven > 0 for deal in node.facts.deals.values()) == 2
        )
        assert place.ledger.deals_asked_one_by_one == 0, "a window's deals are asked for together"
        [sector] = await place.ledger.sectors(provider.id)
        deals = [await place.ledger.deal(deal_id) for deal_id in sector.deal_ids]
        assert [deal.proposal.cid for deal in deals] == [large.cid, small.cid]


async def test_blocks_that_are_not_the_piece_end_the_promise(tmp_path: Path) -> None:
    async with town(tmp_path) as place, client_of(place) as client:
        provider = await place.start()
        root, other = client.add_dag(b"promised" * 20), client.add_dag(b"of equal" * 20)
        honest = await client.propose(provider, root)
        proposal = honest.evolve(root_cid=other)
        assert isinstance(await client.negotiate(provider, proposal), Accept)
        await client.reserve(proposal)
        await place.until(lambda node: bool(node.facts.promises))
        await place.until(lambda node: not node.facts.promises)
        assert place.node is not None
        [closed] = await place.node.deals()
        assert closed.status.detail == "the blocks are not the piece that was proposed"
        assert not await place.deals()
        assert not list(place.stored_blocks())


async def test_a_larger_dag_than_was_proposed_is_not_kept(tmp_path: Path) -> None:
    async with town(tmp_path) as place, client_of(place) as client:
        provider = await place.start()
        honest = await client.propose(provider, client.add_dag(b"small"))
        huge = client.add_dag(*(b"%d" % number * 200 for number in range(20)))
        proposal = honest.evolve(root_cid=huge)
        assert isinstance(await client.negotiate(provider, proposal), Accept)
        await client.reserve(proposal)
        await place.until(lambda node: bool(node.facts.promises))
        await place.until(lambda node: not node.facts.promises)
        assert place.node is not None
        [closed] = await place.node.deals()
        assert closed.status.detail.startswith("limit-exceeded")
        assert not list(place.stored_blocks())


async def test_money_that_never_comes_moves_no_byte(tmp_path: Path) -> None:
    async with town(tmp_path) as place, client_of(place) as client:
        provider = await place.start()
        proposal = await client.propose(provider, client.add_dag(b"unpaid"))
        assert isinstance(await client.negotiate(provider, proposal), Accept)
        await place.until(lambda node: bool(node.facts.promises))
        await place.until(lambda node: not node.facts.promises)
        assert place.node is not None
        [closed] = await place.node.deals()
        assert closed.status.detail == "the money did not come in time"
        assert not list(place.stored_blocks())


async def test_a_proposal_is_good_once_even_after_a_restart(tmp_path: Path) -> None:
    async with town(tmp_path) as place, client_of(place) as client:
        provider = await place.start()
        proposal = await client.propose(provider, client.add_dag(b"twice"))
        first = await client.negotiate(provider, proposal)
        assert isinstance(first, Accept)
        await place.kill()
        again_there = await place.start()
        second = await client.negotiate(again_there, proposal)
        assert isinstance(second, Reject)
        assert second.code is RejectCode.REPLAYED
        peer = client.address_of(again_there)
        assert (await request_status(client.host, peer, proposal.cid)).acceptance == first


async def test_a_client_that_moved_is_fetched_from_where_it_asks_from(tmp_path: Path) -> None:
    async with town(tmp_path) as place, client_of(place) as client:
        provider = await place.start()
        proposal = await client.propose(provider, client.add_dag(b"moved" * 50))
        assert isinstance(await client.negotiate(provider, proposal), Accept)
        old = client.host.addresses
        place.network.take_down(client.host.peer_id)
        place.network.bring_up(client.host.peer_id)
        moved = place.network.add_host(CLIENT_IDENTITY)
        assert moved.peer_id == client.host.peer_id
        assert moved.addresses != old
        stranger = place.network.add_host()
        peer = client.address_of(provider)
        async with Bitswap(moved, client.blocks):
            await request_status(moved, peer, proposal.cid)
            await request_status(stranger, peer, proposal.cid)
            await client.reserve(proposal)
            await place.until(lambda node: bool(node.facts.deals))


async def test_a_partition_that_heals_in_time_costs_no_deal(tmp_path: Path) -> None:
    async with town(tmp_path) as place, client_of(place) as client:
        provider = await place.start()
        proposal = await client.propose(provider, client.add_dag(b"parted" * 50))
        assert isinstance(await client.negotiate(provider, proposal), Accept)
        place.network.take_down(client.host.peer_id)
        await client.reserve(proposal)
        await place.until(lambda node: bool(node.facts.promises))
        place.network.bring_up(client.host.peer_id)
        await place.until(lambda node: bool(node.facts.deals))


async def test_a_client_that_vanishes_is_given_up_in_time(tmp_path: Path) -> None:
    async with town(tmp_path) as place, client_of(place) as client:
        provider = await place.start()
        proposal = await client.propose(provider, client.add_dag(b"a" * 300))
        assert isinstance(await client.negotiate(provider, proposal), Accept)
        place.network.take_down(client.host.peer_id)
        await client.reserve(proposal)
        await place.until(lambda node: bool(node.facts.promises))
        await place.until(lambda node: not node.facts.promises)
        assert place.node is not None
        [closed] = await place.node.deals()
        assert closed.status.detail == "the blocks did not come in time"
        await place.until(lambda node: not node.facts.reserved)
        account = (await place.ledger.sender(client.sender.address)).account
        assert account.locked_atto == 0


async def test_a_lost_replica_is_a_fault_that_is_shown_and_made_good(tmp_path: Path) -> None:
    def is_in(state: DealState, node: ProviderNode) -> bool:
        return any(deal.state is state for deal in node.facts.deals.values())

    async with town(tmp_path) as place, client_of(place) as client:
        # A scrub would find it first.
        place.config = place.config.model_copy(update={"scrub_interval_epochs": 1_000})
        provider = await place.start()
        proposal = await client.propose(provider, client.add_dag(b"precious"))
        assert isinstance(await client.negotiate(provider, proposal), Accept)
        await client.reserve(proposal)
        await place.until(lambda node: windows_proven(1, node))
        replica = tmp_path / "provider/sectors/0/replica/replica"
        replica.rename(tmp_path / "elsewhere")
        await place.until(lambda node: is_in(DealState.FAULTY, node))
        (tmp_path / "elsewhere").rename(replica)
        await place.until(lambda node: is_in(DealState.ACTIVE, node))
        [deal] = await place.deals()
        assert deal.windows_missed >= 1
        assert deal.windows_proven >= 2


async def test_while_the_ledger_is_away_nothing_is_accepted_and_afterwards_all_goes_on(
    tmp_path: Path,
) -> None:
    async with town(tmp_path) as place, client_of(place) as client:
        provider = await place.start()
        first = await client.propose(provider, client.add_dag(b"before"))
        second = await client.propose(provider, client.add_dag(b"meanwhile"))
        assert isinstance(await client.negotiate(provider, first), Accept)
        await client.reserve(first)
        place.ledger.is_away = True
        refused = await client.negotiate(provider, second)
        assert isinstance(refused, Reject)
        assert refused.code is RejectCode.BUSY
        place.ledger.is_away = False
        # Whoever was just asking for its facts asks again at the next head.
        await place.close_epoch()
        await place.until(lambda node: windows_proven(1, node))
        assert place.node is not None
        assert (await place.node.status()).troubles == ()
