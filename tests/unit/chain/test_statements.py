"""What is asked to be proven depends on everything it should, and on nothing else."""

from collections.abc import Iterable, Sequence
from dataclasses import fields

import pytest

from chain import statements
from chain.deal import Deal
from chain.policy import DEV
from chain.randomness import beacon_message, replication_seed, ticket, window_seed
from chain.sector import Sector
from chain.units import Epoch, ProviderId, SectorNumber
from ipfs.errors import MalformedBytes
from ipfs.piece_cid import piece_cid_v1
from proofs.piece import PiecesDontFit, comm_d, comm_p
from tests.support.world import PROOF_TYPE, StoryDeal, World

POLICY = DEV
BEACONS = {Epoch(epoch): World.beacon_of(epoch) for epoch in range(200)}


@pytest.fixture(scope="module")
def story() -> tuple[World, list[StoryDeal]]:
    world = World()
    alice, bob = world.person("alice", atto=10_000), world.provider("bob", atto=10_000)
    proposals = [
        alice.proposes(bob, piece=f"piece {height}", piece_height=height) for height in (2, 4, 3)
    ]
    for proposal in proposals:
        alice.reserves(proposal)
    deals = [bob.publishes(proposal) for proposal in proposals]
    bob.seals(*deals)
    world.passes(epochs=3)
    bob.proves_replication(SectorNumber(0))
    return world, deals


def entities(story: tuple[World, list[StoryDeal]]) -> tuple[Sector, list[Deal]]:
    _, deals = story
    return deals[0].sector, [deal.now for deal in deals]


def test_pieces_are_challenged_where_they_lie(story: tuple[World, list[StoryDeal]]) -> None:
    sector, deals = entities(story)
    statement = statements.window_statement(
        chain_id="chain", policy=POLICY, sector=sector, deals=deals, beacons=BEACONS
    )
    assert statement.piece_ranges == ((0, 4), (16, 32), (32, 40)), "aligned to their own size"
    assert len(statement.seeds) == 1

    over = deals[1].evolve(settled_until_epoch=deals[1].proposal.end_epoch)
    fewer = statements.window_statement(
        chain_id="chain",
        policy=POLICY,
        sector=sector,
        deals=[deals[0], over, deals[2]],
        beacons=BEACONS,
    )
    assert fewer.piece_ranges == ((0, 4), (32, 40)), "the others lie where they lay"


def test_a_window_asks_again_about_those_that_were_missed(
    story: tuple[World, list[StoryDeal]],
) -> None:
    sector, deals = entities(story)
    missed = sector.evolve(missed=(Epoch(3), Epoch(19)))
    statement = statements.window_statement(
        chain_id="chain", policy=POLICY, sector=missed, deals=deals, beacons=BEACONS
    )
    assert statement.seeds == tuple(
        window_seed(BEACONS[Epoch(epoch)], chain_id="chain", provider_id=sector.provider_id)
        for epoch in (3, 19, sector.window_epoch or 0)
    )


@pytest.mark.parametrize(
    ("missed", "asked"),
    [
        ([], [30]),
        ([1], [1, 30]),
        (range(1, 8), [*range(1, 8), 30]),
        (range(1, 9), [*range(2, 9), 30]),
        (range(1, 29), [*range(22, 29), 30]),
    ],
    ids=["none", "one", "as many as are asked", "one more", "many"],
)
def test_of_the_missed_windows_the_newest_are_asked_again(
    story: tuple[World, list[StoryDeal]], missed: Iterable[int], asked: list[int]
) -> None:
    sector, _ = entities(story)
    faulty = sector.evolve(missed=tuple(map(Epoch, missed)), window_epoch=Epoch(30))
    assert list(statements.challenged_epochs(POLICY, faulty)) == asked


def test_a_replication_is_bound_to_everything(story: tuple[World, list[StoryDeal]]) -> None:
    sector, deals = entities(story)
    other = World.beacon_of(1_000)

    def of(
        held: Sector,
        chain_id: str = "chain",
        drawn: bytes = BEACONS[Epoch(1)],
        seed: bytes = other,
        sealed: Sequence[Deal] = deals,
    ) -> tuple[object, ...]:
        statement = statements.replication_statement(
            chain_id=chain_id, sector=held, deals=sealed, ticket_beacon=drawn, seed_beacon=seed
        )
        return tuple(getattr(statement, field.name) for field in fields(statement))

    variants = {
        of(sector),
        of(sector, chain_id="other"),
        of(sector, drawn=other),
        of(sector, seed=BEACONS[Epoch(1)]),
        of(sector.evolve(provider_id=ProviderId(9))),
        of(sector.evolve(number=SectorNumber(9))),
        of(sector.evolve(comm_d=b"d" * 32)),
        of(sector.evolve(comm_r=b"r" * 32)),
        of(sector, sealed=deals[:2]),
    }
    assert len(variants) == 9


def test_purposes_chains_and_parties_draw_apart() -> None:
    beacon, one, two = World.beacon_of(1), ProviderId(1), ProviderId(2)
    drawn = {
        ticket(beacon, chain_id="a", provider_id=one),
        ticket(beacon, chain_id="b", provider_id=one),
        ticket(beacon, chain_id="a", provider_id=two),
        window_seed(beacon, chain_id="a", provider_id=one),
        replication_seed(beacon, chain_id="a", provider_id=one, number=SectorNumber(0)),
        replication_seed(beacon, chain_id="a", provider_id=one, number=SectorNumber(1)),
        beacon_message("a", Epoch(1)),
        beacon_message("a", Epoch(2)),
    }
    assert len(drawn) == 8


def test_comm_d_is_that_of_the_pieces_in_order(story: tuple[World, list[StoryDeal]]) -> None:
    _, deals = entities(story)
    pieces = [comm_p(bytes([index]) * size) for index, size in enumerate((100, 500, 200))]
    proposals = [
        deal.proposal.evolve(
            piece_cid=piece_cid_v1(piece.root), piece_size_bytes=piece.padded_size_bytes
        )
        for deal, piece in zip(deals, pieces, strict=True)
    ]
    assert statements.data_commitment(PROOF_TYPE, proposals) == comm_d(pieces, 2048)
    assert statements.data_commitment(PROOF_TYPE, proposals[::-1]) != comm_d(pieces, 2048)
    with pytest.raises(PiecesDontFit):
        statements.data_commitment(PROOF_TYPE, proposals * 3)


def test_a_piece_is_what_its_cid_and_size_say(story: tuple[World, list[StoryDeal]]) -> None:
    _, deals = entities(story)
    proposal = deals[1].proposal
    by_v2 = statements.piece_commitment(proposal)
    by_v1 = statements.piece_commitment(proposal.evolve(piece_cid=piece_cid_v1(by_v2.root)))
    assert (by_v1.root, by_v1.padded_size_bytes) == (by_v2.root, 512)
    with pytest.raises(MalformedBytes, match="512 bytes, not 1024"):
        statements.piece_commitment(proposal.evolve(piece_size_bytes=1024))
    with pytest.raises(MalformedBytes, match="names no piece"):
        statements.piece_commitment(proposal.evolve(piece_cid=proposal.root_cid))
