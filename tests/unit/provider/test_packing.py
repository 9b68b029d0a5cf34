"""Packing: nothing lost, everything aligned, and sealed when it is time."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chain.units import Epoch
from ipfs.cid import CID, Codec
from proofs.piece import layout
from provider.packing import LoosePiece, Packing, due_epoch, pack

SECTOR = 2048
PACKING = Packing(sector_size_bytes=SECTOR, pieces_max=5, wait_epochs=10)


def piece(name: int, *, size: int = 128, published: int = 100, seal_by: int = 200) -> LoosePiece:
    cid = CID.of(Codec.RAW, b"%d" % name)
    return LoosePiece(cid, size, Epoch(published), Epoch(seal_by))


pieces = st.lists(
    st.builds(
        piece,
        st.integers(0, 10**6),
        size=st.sampled_from([128, 256, 512, 1024, 2048]),
        published=st.integers(0, 300),
        seal_by=st.integers(0, 300),
    ),
    unique_by=lambda found: found.proposal_cid,
    max_size=30,
)


@given(pieces)
def test_every_piece_lies_in_one_sector_without_a_gap(found: list[LoosePiece]) -> None:
    packs = pack(found, PACKING)
    assert sorted(one.proposal_cid for many in packs for one in many) == sorted(
        one.proposal_cid for one in found
    )
    for many in packs:
        assert 0 < len(many) <= PACKING.pieces_max
        sizes = [one.piece_size_bytes for one in many]
        offsets = layout(sizes, SECTOR)
        assert offsets == tuple(sum(sizes[:at]) for at in range(len(sizes)))


@given(pieces, st.randoms(use_true_random=False))
def test_the_order_in_which_pieces_are_told_does_not_matter(
    found: list[LoosePiece], random: Random
) -> None:
    shuffled = list(found)
    random.shuffle(shuffled)
    assert pack(shuffled, PACKING) == pack(found, PACKING)


@given(pieces)
def test_nobody_waits_past_its_time(found: list[LoosePiece]) -> None:
    for many in pack(found, PACKING):
        assert all(due_epoch(many, PACKING) <= one.seal_by_epoch for one in many)
        assert all(due_epoch(many, PACKING) <= one.published_epoch + 10 for one in many)


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ((piece(1, size=2048),), 0),
        ((piece(1, size=1024), piece(2, size=1024)), 0),
        (tuple(piece(at) for at in range(5)), 0),
        ((piece(1, published=100),), 110),
        ((piece(1, published=100), piece(2, published=105)), 110),
        ((piece(1, published=100, seal_by=103),), 103),
    ],
)
def test_a_full_sector_is_sealed_at_once_and_others_when_a_piece_has_waited(
    found: tuple[LoosePiece, ...], expected: int
) -> None:
    assert due_epoch(found, PACKING) == expected
