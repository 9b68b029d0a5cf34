from hypothesis import given
from hypothesis import strategies as st

from ipfs.bitswap.backlog import ARRIVED_BYTES_MAX, Backlog
from ipfs.block import BLOCK_BYTES_MAX, Block
from ipfs.cid import CID, Codec

LARGE = [Block.of(Codec.RAW, bytes([number]) * BLOCK_BYTES_MAX) for number in range(30)]
ROOM = ARRIVED_BYTES_MAX // BLOCK_BYTES_MAX


def test_too_much_puts_off_the_rest_until_it_is_taken() -> None:
    cids = [block.cid for block in LARGE]
    backlog = Backlog()
    assert backlog.want(cids) == tuple(cids)
    assert backlog.add(LARGE[:ROOM]) == ()
    assert backlog.add(LARGE[ROOM : ROOM + 1]) == tuple(cids[ROOM + 1 :])
    small = Block.of(Codec.RAW, b"small")
    assert backlog.want([small.cid]) == ()
    assert backlog.take() == LARGE[: ROOM + 1]
    assert backlog.want() == (*cids[ROOM + 1 :], small.cid)
    assert backlog.want() == ()


@given(st.lists(st.integers(-1, len(LARGE) - 1), max_size=60))
def test_what_is_wanted_comes_once_and_only_so_much_is_held(steps: list[int]) -> None:
    """The peers give what they are asked for, in an order of their own; -1 takes."""
    backlog, asked, taken = Backlog(), dict[CID, None](), list[Block]()
    asked |= dict.fromkeys(backlog.want(block.cid for block in LARGE))
    for step in steps:
        if step < 0:
            held = backlog.take()
            assert sum(len(block.data) for block in held) <= ARRIVED_BYTES_MAX + BLOCK_BYTES_MAX
            taken += held
            asked |= dict.fromkeys(backlog.want())
        elif LARGE[step].cid in asked:
            del asked[LARGE[step].cid]
            for cid in backlog.add([LARGE[step]]):
                del asked[cid]
    while backlog.wanted:
        taken += backlog.take()
        asked |= dict.fromkeys(backlog.want())
        for block in LARGE:
            if block.cid in asked:
                del asked[block.cid]
                for cid in backlog.add([block]):
                    del asked[cid]
    taken += backlog.take()
    assert sorted(taken, key=LARGE.index) == LARGE
