"""Batches: a bad item is refused alone, with its code; the good ones stand."""

from collections.abc import Callable

import pytest

from chain.messages import (
    PreCommitSectors,
    ProveCommitSectors,
    PublishDeals,
    SectorPreCommit,
    SectorProof,
    SubmitWindowPost,
)
from chain.sector import SectorState
from chain.units import DealId, Epoch, SectorNumber
from ipfs.cid import CID, Codec
from proofs.parameters import ProofType
from tests.support.world import STORY_POLICY, Person, ProviderPerson, StoryDeal, World

NOWHERE = CID.of(Codec.RAW, b"nowhere")


@pytest.fixture
def world() -> World:
    return World(
        STORY_POLICY.evolve(
            publish_batch_max=5,
            precommit_batch_max=5,
            prove_commit_batch_max=5,
            sector_pieces_max=3,
        )
    )


@pytest.fixture
def alice(world: World) -> Person:
    return world.person("alice", atto=10_000)


@pytest.fixture
def bob(world: World) -> ProviderPerson:
    return world.provider("bob", atto=100_000)


def published(alice: Person, bob: ProviderPerson, piece: str, *, height: int = 4) -> StoryDeal:
    proposal = alice.proposes(bob, piece=piece, piece_height=height)
    alice.reserves(proposal)
    return bob.publishes(proposal)


def test_deals_are_published_one_by_one(world: World, alice: Person, bob: ProviderPerson) -> None:
    proposals = [alice.proposes(bob, piece=piece) for piece in ("a", "b", "c")]
    first, second, unreserved = (proposal.cid for proposal in proposals)
    alice.reserves(proposals[0])
    alice.reserves(proposals[1])
    body = PublishDeals(
        provider_id=bob.id, proposal_cids=(first, unreserved, first, NOWHERE, second)
    )
    receipt = bob.worker.says(body)
    assert receipt.is_done
    assert [(each.index, each.code) for each in receipt.refusals] == [
        (1, "not-found"),
        (2, "not-allowed"),
        (3, "not-found"),
    ]
    found = [world.ledger.deal(DealId(deal_id)).proposal.cid for deal_id in receipt.created_ids]
    assert found == [first, second], "the numbers are those of the items that stood, in order"


def test_more_items_than_the_network_takes_are_refused_together(
    world: World, alice: Person, bob: ProviderPerson
) -> None:
    proposals = [alice.proposes(bob, nonce=nonce) for nonce in range(6)]
    for proposal in proposals:
        alice.reserves(proposal)
    cids = tuple(proposal.cid for proposal in proposals)
    refused = bob.worker.says(PublishDeals(provider_id=bob.id, proposal_cids=cids))
    assert (refused.code, refused.created_ids) == ("not-allowed", ())
    bob.worker.does(PublishDeals(provider_id=bob.id, proposal_cids=cids[:5]))


Change = Callable[[SectorPreCommit], SectorPreCommit]


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda it: it.evolve(comm_d=bytes(32)), "not-allowed"),
        (lambda it: it.evolve(deal_ids=it.deal_ids[::-1]), "not-allowed"),
        (lambda it: it.evolve(deal_ids=it.deal_ids[:1]), "not-allowed"),
        (lambda it: it.evolve(deal_ids=(*it.deal_ids, it.deal_ids[0])), "not-allowed"),
        (lambda it: it.evolve(deal_ids=(DealId(99),)), "not-found"),
        (lambda it: it.evolve(ticket_epoch=Epoch(it.ticket_epoch + 1)), "too-early"),
        (lambda it: it.evolve(proof_type=ProofType.SDR_64GIB), "not-allowed"),
        (lambda it: it.evolve(proof_type=ProofType.SDR_8MIB), "not-allowed"),
    ],
)
def test_a_bad_commitment_is_refused_beside_a_good_one(
    world: World, alice: Person, bob: ProviderPerson, change: Change, code: str
) -> None:
    good = bob.sealed(published(alice, bob, "good"))
    bad = change(bob.sealed(published(alice, bob, "a"), published(alice, bob, "b")))
    body = PreCommitSectors(provider_id=bob.id, sectors=(bad, good))
    [refusal] = bob.worker.says(body).refusals
    assert (refusal.index, refusal.code) == (0, code)
    assert [sector.number for sector in bob.sectors] == [good.number]


def test_a_deal_is_sealed_once_and_a_number_is_used_once(
    world: World, alice: Person, bob: ProviderPerson
) -> None:
    deal, other = published(alice, bob, "a"), published(alice, bob, "b")
    number = bob.seals(deal)
    again = bob.sealed(deal)
    same_number = bob.sealed(other).evolve(number=number)
    receipt = bob.worker.says(
        PreCommitSectors(provider_id=bob.id, sectors=(again, same_number, same_number))
    )
    assert [each.code for each in receipt.refusals] == [
        "not-allowed",
        "already-exists",
        "not-allowed",
    ]


def test_a_number_stays_used_after_its_sector_was_given_up(
    world: World, alice: Person, bob: ProviderPerson
) -> None:
    deal = published(alice, bob, "a")
    number = bob.seals(deal)
    world.passes_until(deal.sector.prove_by_epoch + 1)
    assert deal.sector.state is SectorState.TERMINATED
    item = bob.sealed(published(alice, bob, "b")).evolve(number=number)
    [refusal] = bob.worker.says(PreCommitSectors(provider_id=bob.id, sectors=(item,))).refusals
    assert refusal.code == "already-exists"


def test_a_sector_holds_what_fits_and_no_more(
    world: World, alice: Person, bob: ProviderPerson
) -> None:
    halves = [published(alice, bob, name, height=5) for name in ("a", "b", "c")]
    with pytest.raises(ValueError, match="3072 bytes, the sector has 2048"):
        bob.sealed(*halves)
    overfull = bob.sealed(*halves[:2]).evolve(deal_ids=tuple(deal.id for deal in halves))
    pieces = [published(alice, bob, f"piece {index}", height=3) for index in range(4)]
    crowded = bob.sealed(*pieces)
    receipt = bob.worker.says(PreCommitSectors(provider_id=bob.id, sectors=(overfull, crowded)))
    assert [each.code for each in receipt.refusals] == ["not-allowed", "not-allowed"]
    assert "3 pieces at most" in receipt.refusals[1].detail


def test_another_providers_deals_can_not_be_sealed(
    world: World, alice: Person, bob: ProviderPerson
) -> None:
    carol = world.provider("carol", atto=10_000)
    theirs = carol.sealed(published(alice, bob, "a"))
    [refusal] = carol.worker.says(
        PreCommitSectors(provider_id=carol.id, sectors=(theirs,))
    ).refusals
    assert refusal.code == "not-allowed"


def test_an_old_ticket_is_refused(world: World, alice: Person, bob: ProviderPerson) -> None:
    first_epoch = world.epoch
    world.passes_until(first_epoch + world.policy.ticket_age_max_epochs)
    item = bob.sealed(published(alice, bob, "a"))
    oldest = item.evolve(ticket_epoch=first_epoch)
    older = item.evolve(ticket_epoch=Epoch(first_epoch - 1), number=SectorNumber(77))
    receipt = bob.worker.says(PreCommitSectors(provider_id=bob.id, sectors=(older, oldest)))
    assert [(each.index, each.code) for each in receipt.refusals] == [(0, "too-late")]


def test_a_sector_is_proven_while_each_deal_has_a_window_ahead() -> None:
    world = World(STORY_POLICY.evolve(seed_delay_epochs=10))
    alice, bob = world.person("alice", atto=10_000), world.provider("bob", atto=100_000)
    proposal = alice.proposes(bob, periods=1)
    alice.reserves(proposal)
    deal = bob.publishes(proposal)
    item = bob.sealed(deal)
    world.passes_until(proposal.start_epoch)
    bob.worker.does(PreCommitSectors(provider_id=bob.id, sectors=(item,)))
    final_opening = proposal.end_epoch - 4
    assert deal.sector.prove_by_epoch == final_opening - 1
    world.passes_until(deal.sector.prove_by_epoch)
    bob.proves_replication(item.number)
    assert deal.sector.window_epoch == final_opening


def test_a_deal_that_ends_too_soon_is_not_sealed_any_more() -> None:
    world = World(STORY_POLICY.evolve(seed_delay_epochs=11))
    alice, bob = world.person("alice", atto=10_000), world.provider("bob", atto=100_000)
    proposal = alice.proposes(bob, periods=1)
    alice.reserves(proposal)
    item = bob.sealed(bob.publishes(proposal))
    world.passes_until(proposal.start_epoch)
    [refusal] = bob.worker.says(PreCommitSectors(provider_id=bob.id, sectors=(item,))).refusals
    assert refusal.code == "too-late"


def test_replication_is_proven_one_by_one_after_the_seed(
    world: World, alice: Person, bob: ProviderPerson
) -> None:
    deals = [published(alice, bob, piece) for piece in ("a", "b", "c")]
    numbers = [bob.seals(deal) for deal in deals]
    assert all(deal.sector.deposit_atto > 0 for deal in deals)
    world.passes(epochs=2)
    early = ProveCommitSectors(provider_id=bob.id, proofs=(bob.replication_proof(numbers[0]),))
    [refusal] = bob.worker.says(early).refusals
    assert refusal.code == "too-early", "the block being closed draws the seed"

    world.passes(epochs=1)
    first, second, third = (bob.replication_proof(number) for number in numbers)
    swapped = first.evolve(proof_cid=second.proof_cid)
    unknown = SectorProof(number=SectorNumber(99), proof_cid=NOWHERE)
    receipt = bob.worker.says(
        ProveCommitSectors(provider_id=bob.id, proofs=(swapped, second, unknown, third, third))
    )
    assert [(each.index, each.code) for each in receipt.refusals] == [
        (0, "proof-invalid"),
        (2, "not-found"),
        (4, "not-allowed"),
    ]
    assert [deal.sector.state for deal in deals] == [
        SectorState.PRECOMMITTED,
        SectorState.ACTIVE,
        SectorState.ACTIVE,
    ]
    bob.worker.does(ProveCommitSectors(provider_id=bob.id, proofs=(first,)))
    [again] = bob.worker.says(ProveCommitSectors(provider_id=bob.id, proofs=(first,))).refusals
    assert again.code == "wrong-state"
    assert all(deal.sector.deposit_atto == 0 for deal in deals)


def test_windows_are_answered_one_by_one(world: World, alice: Person, bob: ProviderPerson) -> None:
    deal = alice.stores_with(bob)
    unproven = bob.seals(published(alice, bob, "later"))
    opening = deal.sector.window_epoch
    assert opening is not None
    world.passes_until(opening + 1)
    good = bob.window_proof(deal.sector)
    receipt = bob.worker.says(
        SubmitWindowPost(
            provider_id=bob.id,
            window_epoch=opening,
            proofs=(
                SectorProof(number=SectorNumber(99), proof_cid=NOWHERE),
                SectorProof(number=unproven, proof_cid=NOWHERE),
                good,
                good,
            ),
        )
    )
    assert [(each.index, each.code) for each in receipt.refusals] == [
        (0, "not-found"),
        (1, "wrong-state"),
        (3, "not-allowed"),
    ]
    assert deal.now.windows_proven == 1
