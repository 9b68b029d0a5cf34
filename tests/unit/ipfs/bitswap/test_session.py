import pytest

from ipfs.bitswap.messages import Message, Presence, PresenceType, Want, WantType
from ipfs.bitswap.session import (
    COPIES_AFTER_STALLS_MAX,
    COPIES_MAX,
    DONT_HAVE,
    STALLED,
    Session,
)
from ipfs.bitswap.supplier import (
    PASSED_OVER_MAX,
    QUEUED_SECONDS_MAX,
    REQUESTS_AT_FIRST,
    REQUESTS_MAX,
    REQUESTS_MIN,
)
from ipfs.cid import CID
from ipfs.p2p.peer_id import PeerId
from tests.support.bitswap import leaf
from tests.support.kad import peer

ALICE, BOB, CAROL = peer(1), peer(2), peer(3)
LEAVES = [leaf(number) for number in range(1_000)]
BLOCK_OF = {block.cid: block for block in LEAVES}
A, B, *_ = LEAVES
IDLE_S = 10.0


def session_of(*peers: PeerId) -> Session:
    session = Session(idle_timeout_s=IDLE_S)
    for peer_id in peers:
        session.add_peer(peer_id, 0)
    return session


def says(cid: CID, presence_type: PresenceType) -> Message:
    return Message(presences=(Presence(cid, presence_type),))


def asked(session: Session) -> list[tuple[PeerId, CID, WantType | None]]:
    return [
        (peer_id, want.cid, None if want.cancel else want.want_type)
        for peer_id, want in session.take_requests()
    ]


def test_a_lone_peer_is_asked_for_blocks_at_once() -> None:
    session = session_of(ALICE)
    session.want([A.cid, B.cid], 0)
    (_, first), (_, second) = session.take_requests()
    assert (first.cid, first.want_type, first.send_dont_have) == (A.cid, WantType.BLOCK, True)
    assert first.priority > second.priority, "in the order they are wanted"


def test_several_peers_are_asked_who_has_it_and_one_sends_it() -> None:
    session = session_of(ALICE, BOB, CAROL)
    session.want([A.cid], 0)
    assert asked(session) == [(p, A.cid, WantType.HAVE) for p in (ALICE, BOB, CAROL)]
    session.receive(BOB, says(A.cid, PresenceType.HAVE), 1)
    session.receive(CAROL, says(A.cid, PresenceType.HAVE), 1)
    assert asked(session) == [(BOB, A.cid, WantType.BLOCK)]
    assert session.receive(BOB, Message(blocks=(A,)), 2) == [A]
    assert set(asked(session)) == {(ALICE, A.cid, None), (CAROL, A.cid, None)}
    session.want([B.cid], 2)
    [(peer_id, _, want_type)] = asked(session)
    assert peer_id in (BOB, CAROL), "those who had one are asked for more, directly"
    assert want_type is WantType.BLOCK


def promising(*peers: PeerId) -> Session:
    """A session whose peers all had something of the DAG."""
    session = session_of(*peers)
    for peer_id in peers:
        session.receive(peer_id, says(leaf(9_999).cid, PresenceType.HAVE), 0)
    return session


def blocks_asked(session: Session) -> dict[PeerId, list[CID]]:
    asked_of: dict[PeerId, list[CID]] = {}
    for peer_id, want in session.take_requests():
        if not want.cancel and want.want_type is WantType.BLOCK:
            asked_of.setdefault(peer_id, []).append(want.cid)
    return asked_of


def test_strangers_are_asked_for_little_until_they_are_measured() -> None:
    session = promising(ALICE, BOB)
    session.want(BLOCK_OF, 0)
    first = blocks_asked(session)
    assert {peer_id: len(cids) for peer_id, cids in first.items()} == {
        ALICE: REQUESTS_AT_FIRST,
        BOB: REQUESTS_AT_FIRST,
    }
    session.receive(ALICE, Message(blocks=(LEAVES[0],)), 1)
    assert [len(cids) for cids in blocks_asked(session).values()] == [1], "one in, one out"


def test_work_is_split_by_measured_rate() -> None:
    session = promising(ALICE, BOB)
    wants = iter(BLOCK_OF)
    owed: dict[PeerId, list[CID]] = {ALICE: [], BOB: []}
    given = dict.fromkeys(owed, 0)
    for tick in range(1, 101):
        session.want([next(wants) for _ in range(96 if tick == 1 else 4)], tick / 10)
        for peer_id, cids in blocks_asked(session).items():
            owed[peer_id] += cids
        for peer_id, count in ((ALICE, 3), (BOB, 1)):
            due, owed[peer_id] = owed[peer_id][:count], owed[peer_id][count:]
            given[peer_id] += len(due)
            blocks = tuple(BLOCK_OF[cid] for cid in due)
            session.receive(peer_id, Message(blocks=blocks), tick / 10)
    assert given == {ALICE: 300, BOB: 100}, "nobody was ever idle"
    assert len(owed[ALICE]) == pytest.approx(30, abs=6), "a second's worth"
    assert len(owed[BOB]) == pytest.approx(10, abs=4)


def test_the_most_and_the_least_that_is_asked_of_one_peer() -> None:
    session = promising(ALICE)
    session.want(BLOCK_OF, 0)
    for number in range(500):
        session.receive(ALICE, Message(blocks=(LEAVES[number],)), number / 1_000)
    [cids] = blocks_asked(session).values()
    assert len(cids) == 500 + REQUESTS_MAX
    for number in range(500, 500 + REQUESTS_MAX):
        session.receive(ALICE, Message(blocks=(LEAVES[number],)), 0.5 + (number - 499) * 5)
    [cids] = blocks_asked(session).values()
    assert len(cids) == REQUESTS_MIN, "all else was asked before it was so slow"


def test_the_rarest_comes_first() -> None:
    session = promising(ALICE, BOB, CAROL)
    waiting = [block.cid for block in LEAVES[3 * REQUESTS_AT_FIRST : 100]]
    session.want([block.cid for block in LEAVES[:100]], 0)
    requests = session.take_requests()
    owed = {
        peer_id: [it.cid for asked, it in requests if asked == peer_id and it.cid not in waiting]
        for peer_id in (ALICE, BOB, CAROL)
    }
    surveyed = {want.cid for _, want in requests if want.want_type is WantType.HAVE}
    assert surveyed == set(waiting), "who has it is asked of all, while it has to wait"
    common, uncommon, rare = waiting[0], waiting[40], waiting[60]
    held = {ALICE: (common, uncommon, rare), BOB: (common, uncommon), CAROL: (common,)}
    for peer_id, cids in held.items():
        for cid in cids:
            session.receive(peer_id, says(cid, PresenceType.HAVE), 0)
    asked_of_alice = []
    for cid in owed[ALICE][:3]:
        session.receive(ALICE, Message(blocks=(BLOCK_OF[cid],)), 1)
        asked_of_alice += blocks_asked(session)[ALICE]
    assert asked_of_alice == [rare, uncommon, common]


def test_at_the_end_the_last_blocks_are_asked_of_several_and_the_second_is_cancelled() -> None:
    session = promising(ALICE, BOB)
    session.want([A.cid, B.cid], 0, are_last=True)
    [(first, [one]), (second, [other])] = blocks_asked(session).items()
    session.receive(first, Message(blocks=(BLOCK_OF[one],)), 1)
    assert asked(session) == [(first, other, WantType.BLOCK)], "it has nothing else to do"
    session.receive(first, Message(blocks=(BLOCK_OF[other],)), 2)
    assert asked(session) == [(second, other, None)]
    assert session.receive(second, Message(blocks=(BLOCK_OF[other],)), 3) == []


def test_a_block_is_asked_of_a_few_at_the_end_and_of_one_before() -> None:
    peers = [peer(number) for number in range(6)]
    session = promising(*peers)
    session.want([block.cid for block in LEAVES[:6]], 0)
    owed = {peer_id: cids[0] for peer_id, cids in blocks_asked(session).items()}
    for peer_id in peers[:5]:
        session.receive(peer_id, Message(blocks=(BLOCK_OF[owed[peer_id]],)), 1)
    assert blocks_asked(session) == {}, "more may come"
    session.want([], 1, are_last=True)
    assert len(blocks_asked(session)) == COPIES_MAX - 1


def test_what_one_lacks_the_next_is_asked_for() -> None:
    session = session_of(ALICE, BOB)
    session.receive(ALICE, says(A.cid, PresenceType.HAVE), 0)
    session.want([A.cid], 0)
    assert asked(session) == [(ALICE, A.cid, WantType.BLOCK)]
    session.receive(ALICE, says(A.cid, PresenceType.DONT_HAVE), 1)
    assert asked(session) == [(BOB, A.cid, WantType.BLOCK)]
    session.receive(BOB, says(A.cid, PresenceType.DONT_HAVE), 1)
    assert session.hopeless() == [A.cid]
    assert session.answers(A.cid) == {ALICE: DONT_HAVE, BOB: DONT_HAVE}
    assert session.add_peer(CAROL, 2)
    assert session.hopeless() == []
    assert asked(session) == [(CAROL, A.cid, WantType.BLOCK)]


def test_a_peer_that_lacked_it_is_asked_no_more_but_its_block_is_taken() -> None:
    session = session_of(ALICE)
    session.want([A.cid], 0)
    session.receive(ALICE, says(A.cid, PresenceType.DONT_HAVE), 1)
    asked(session)
    session.receive(ALICE, says(A.cid, PresenceType.HAVE), 2)
    assert (asked(session), session.hopeless()) == ([], [A.cid])
    assert session.receive(ALICE, Message(blocks=(A,)), 3) == [A]


def test_to_promise_again_and_again_is_silence() -> None:
    session = session_of(ALICE, BOB)
    session.want([A.cid], 0)
    for second in range(int(IDLE_S)):
        session.receive(ALICE, says(A.cid, PresenceType.HAVE), second)
    session.expire(IDLE_S)
    assert session.dropped == {ALICE: STALLED, BOB: STALLED}


def test_a_silent_peer_is_dropped_and_what_it_owes_goes_to_the_next() -> None:
    session = session_of(ALICE, BOB)
    for peer_id in (ALICE, BOB):
        session.receive(peer_id, says(A.cid, PresenceType.HAVE), 0)
    session.want([A.cid], 5)
    [(silent, _, _)] = asked(session)
    [other] = {ALICE, BOB} - {silent}
    assert session.deadline_s == 5 + IDLE_S
    session.expire(5 + IDLE_S - 0.1)
    assert asked(session) == []
    session.expire(5 + IDLE_S)
    assert set(asked(session)) == {(silent, A.cid, None), (other, A.cid, WantType.BLOCK)}
    assert session.dropped == {silent: STALLED}
    assert not session.add_peer(silent, 20), "once dropped, not asked again"


def test_a_peer_that_owes_an_answer_is_not_given_more_time_by_being_asked_again() -> None:
    session = session_of(ALICE, BOB)
    session.want([A.cid], 0)
    session.receive(BOB, says(A.cid, PresenceType.DONT_HAVE), IDLE_S - 1)
    assert asked(session)[-1] == (ALICE, A.cid, WantType.BLOCK), "the only one left"
    session.expire(IDLE_S)
    assert session.dropped == {ALICE: STALLED}


def test_a_peer_that_queues_our_blocks_is_waited_for_but_not_forever() -> None:
    session = session_of(ALICE)
    session.want([A.cid], 0)
    now_s = 0.0
    while not session.dropped:
        now_s += IDLE_S / 2
        session.receive(ALICE, Message(pending_bytes=len(A.data)), now_s)
        session.expire(now_s)
    assert QUEUED_SECONDS_MAX <= now_s <= QUEUED_SECONDS_MAX + 2 * IDLE_S


def test_a_slow_peer_is_kept_as_long_as_blocks_come() -> None:
    session = session_of(ALICE)
    session.want([block.cid for block in LEAVES[:8]], 0)
    now_s = 0.0
    for block in LEAVES[:8]:
        now_s += IDLE_S * 0.9
        session.expire(now_s)
        session.receive(ALICE, Message(blocks=(block,)), now_s)
    assert session.dropped == {}


def test_a_want_that_a_busy_peer_passes_over_goes_to_the_next() -> None:
    session = session_of(ALICE, BOB)
    session.receive(ALICE, says(A.cid, PresenceType.HAVE), 0)
    session.want([A.cid], 0)
    for number in range(1, 1 + PASSED_OVER_MAX):
        assert (BOB, A.cid, WantType.BLOCK) not in asked(session)
        session.want([leaf(number).cid], number)
        session.receive(ALICE, Message(blocks=(leaf(number),)), number)
    assert asked(session)[-2:] == [(ALICE, A.cid, None), (BOB, A.cid, WantType.BLOCK)]
    assert session.dropped == {}


def test_unwanted_blocks_are_ignored_and_wanted_ones_taken_from_anybody() -> None:
    session = session_of(ALICE)
    session.want([A.cid], 0)
    assert session.receive(ALICE, Message(blocks=(B,)), 1) == []
    assert session.receive(BOB, Message(blocks=(A, A)), 1) == [A]


def test_abandoned_wants_are_cancelled() -> None:
    session = session_of(ALICE)
    session.want([A.cid, B.cid], 0)
    session.take_requests()
    session.abandon([A.cid])
    assert session.take_requests() == [(ALICE, Want(A.cid, cancel=True))]
    assert session.receive(ALICE, Message(blocks=(A, B)), 1) == [B]


@pytest.mark.parametrize("peers", [(), (ALICE,)])
def test_without_peers_there_is_no_hope(peers: tuple[PeerId, ...]) -> None:
    session = session_of(*peers)
    session.want([A.cid], 0)
    for peer_id in peers:
        session.drop_peer(peer_id, "disconnected", 1)
    assert session.hopeless() == [A.cid]
    assert session.answers(A.cid) == dict.fromkeys(peers, "disconnected")


def test_a_crowd_that_promises_and_does_not_give_costs_few_rounds() -> None:
    liars = [peer(number) for number in range(100, 200)]
    session = session_of(*liars, ALICE)
    session.want([A.cid], 0, are_last=True)
    for peer_id in (*liars, ALICE):
        session.receive(peer_id, says(A.cid, PresenceType.HAVE), 0)
    now_s, rounds, most = 0.0, 0, 0
    while ALICE not in blocks_asked(session):
        now_s, rounds = now_s + IDLE_S, rounds + 1
        session.expire(now_s)
        most = max(most, len(session._wanted[A.cid].holders))
    assert rounds <= 6, "with one after the other it would be a hundred"
    assert most <= COPIES_AFTER_STALLS_MAX
    assert session.receive(ALICE, Message(blocks=(A,)), now_s) == [A]
    assert not session._doubted


def test_a_peer_that_gave_and_falls_silent_is_followed_by_one() -> None:
    session = promising(ALICE)
    session.want([A.cid], 0)
    session.receive(ALICE, Message(blocks=(A,)), 0)
    session.want([B.cid], 0)
    for late in (BOB, CAROL):
        session.add_peer(late, 0)
        session.receive(late, says(leaf(9_999).cid, PresenceType.HAVE), 0)
    session.take_requests()
    session.expire(IDLE_S)
    assert session.dropped == {ALICE: STALLED}
    assert list(blocks_asked(session).values()) == [[B.cid]]
