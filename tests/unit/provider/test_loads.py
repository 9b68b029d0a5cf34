"""Proofs of one window travel in as few messages as can carry them, none left out."""

from hypothesis import given
from hypothesis import strategies as st

from chain.units import SectorNumber
from ipfs.block import Block
from ipfs.cid import Codec
from provider.work import _loads

MAX = 100


@given(st.lists(st.integers(1, MAX), min_size=1, max_size=12))
def test_proofs_are_sent_in_full_messages(sizes: list[int]) -> None:
    blocks = {
        SectorNumber(number): Block.of(Codec.RAW, bytes([number]) * size)
        for number, size in enumerate(sizes)
    }
    loads = list(_loads(blocks, MAX))
    assert {number: block for load in loads for number, block in load.items()} == blocks
    assert [number for load in loads for number in load] == sorted(blocks)
    totals = [sum(len(block.data) for block in load.values()) for load in loads]
    assert all(0 < total <= MAX for total in totals)
    for total, following in zip(totals, loads[1:], strict=False):
        first = next(iter(following.values()))
        assert total + len(first.data) > MAX, "the next would have fitted"
