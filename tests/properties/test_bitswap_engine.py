"""Random histories of one engine: nobody gets too much, nobody is forgotten, nothing is kept."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from ipfs.bitswap.engine import ANSWER_BYTES_MAX, INLINE_BYTES_MAX, Engine
from ipfs.bitswap.messages import Message, PresenceType, Want, WantType
from ipfs.cid import CID
from ipfs.p2p.peer_id import PeerId
from tests.support.bitswap import leaf
from tests.support.kad import peer

PEERS = [peer(number) for number in range(3)]
CIDS = [leaf(number).cid for number in range(8)]
SIZES = dict(
    zip(
        CIDS,
        [1, INLINE_BYTES_MAX, INLINE_BYTES_MAX + 1, 400_000, 500_000, 600_000, 1 << 21, 9],
        strict=True,
    )
)

peers = st.sampled_from(PEERS)
wants = st.builds(
    Want,
    cid=st.sampled_from(CIDS),
    priority=st.integers(0, 5),
    want_type=st.sampled_from(WantType),
    send_dont_have=st.booleans(),
)
present_cids = st.sets(st.sampled_from(CIDS))


@given(present_cids, st.lists(st.tuples(peers, st.lists(wants, max_size=4)), max_size=8))
def test_every_want_of_a_present_block_is_answered_once(
    present: set[CID], history: list[tuple[PeerId, list[Want]]]
) -> None:
    engine = Engine()
    for peer_id in PEERS:
        asked: dict[CID, set[Want]] = {}
        told: Counter[CID] = Counter()
        for _, wanted in [turn for turn in history if turn[0] == peer_id]:
            for want in wanted:
                asked.setdefault(want.cid, set()).add(want)
            cids = engine.receive(peer_id, Message(wants=tuple(wanted)))
            engine.locate(peer_id, {cid: SIZES[cid] if cid in present else None for cid in cids})
        presences = engine.take_presences(peer_id)
        told.update(it.cid for it in presences if it.presence_type is PresenceType.HAVE)
        absent = {it.cid for it in presences} - set(told)
        assert all(any(want.send_dont_have for want in asked[cid]) for cid in absent)
        while answer := engine.take_blocks(peer_id):
            sizes = [SIZES[want.cid] for want in answer.blocks]
            assert sum(sizes) == answer.size_bytes
            assert sum(sizes) <= ANSWER_BYTES_MAX or len(sizes) == 1
            told.update(want.cid for want in answer.blocks)
        assert told == Counter(present & asked.keys())
        assert set(engine.wants_of(peer_id)) == asked.keys() - present


@given(st.lists(st.tuples(peers, st.lists(wants, max_size=4), st.booleans()), max_size=12))
def test_when_all_blocks_have_come_nobody_waits_and_when_all_have_gone_nothing_is_kept(
    history: list[tuple[PeerId, list[Want], bool]],
) -> None:
    engine = Engine()
    waiting: dict[PeerId, set[CID]] = {}
    for peer_id, wanted, is_full in history:
        cids = engine.receive(peer_id, Message(wants=tuple(wanted), full=is_full))
        engine.locate(peer_id, dict.fromkeys(cids))
        before = set() if is_full else waiting.get(peer_id, set())
        waiting[peer_id] = before | {want.cid for want in wanted}
    concerned = engine.add(SIZES)
    assert concerned == {peer_id for peer_id, awaited in waiting.items() if awaited}
    for peer_id, awaited in waiting.items():
        presences = engine.take_presences(peer_id)
        assert all(it.presence_type is PresenceType.HAVE for it in presences)
        told = {it.cid for it in presences}
        while answer := engine.take_blocks(peer_id):
            told |= {want.cid for want in answer.blocks}
        assert told == awaited
        engine.forget(peer_id)
    assert engine.peer_count == 0
    assert engine.add(SIZES) == set()
