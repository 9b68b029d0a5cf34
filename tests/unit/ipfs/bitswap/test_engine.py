from ipfs.bitswap.engine import INLINE_BYTES_MAX, Engine
from ipfs.bitswap.messages import Message, Presence, PresenceType, Want, WantType
from ipfs.cid import CID
from tests.support.bitswap import leaf
from tests.support.kad import peer

ALICE, BOB = peer(1), peer(2)
A, B, C = (leaf(number).cid for number in range(3))
KIB = 1024


def ask(engine: Engine, *wants: Want, sizes: dict[CID, int | None]) -> None:
    cids = engine.receive(ALICE, Message(wants=wants))
    engine.locate(ALICE, {cid: sizes[cid] for cid in cids})


def blocks_of(engine: Engine) -> list[CID]:
    answer = engine.take_blocks(ALICE)
    return [want.cid for want in answer.blocks] if answer else []


def has_nothing_to_say(engine: Engine) -> bool:
    return not engine.take_presences(ALICE) and engine.take_blocks(ALICE) is None


def test_blocks_go_out_by_priority_in_answers_of_a_mebibyte() -> None:
    engine = Engine()
    sizes: dict[CID, int | None] = {A: 600 * KIB, B: 600 * KIB, C: 300 * KIB}
    ask(engine, Want(A, 1), Want(B, 3), Want(C, 2), sizes=sizes)
    answer = engine.take_blocks(ALICE)
    assert answer is not None
    assert [want.cid for want in answer.blocks] == [B, C]
    assert (answer.size_bytes, answer.pending_bytes) == (900 * KIB, 600 * KIB)
    assert engine.has_blocks(ALICE)
    assert blocks_of(engine) == [A]
    assert has_nothing_to_say(engine)


def test_a_block_over_a_mebibyte_goes_alone() -> None:
    engine = Engine()
    ask(engine, Want(A, 2), Want(B, 1), sizes={A: 2048 * KIB, B: 1})
    assert blocks_of(engine) == [A]
    assert blocks_of(engine) == [B]


def test_a_have_is_answered_with_a_have_or_a_small_block() -> None:
    engine = Engine()
    wants = [Want(cid, 1, WantType.HAVE, send_dont_have=True) for cid in (A, B, C)]
    ask(engine, *wants, sizes={A: INLINE_BYTES_MAX + 1, B: INLINE_BYTES_MAX, C: None})
    assert set(engine.take_presences(ALICE)) == {
        Presence(A, PresenceType.HAVE),
        Presence(C, PresenceType.DONT_HAVE),
    }
    assert blocks_of(engine) == [B]
    assert has_nothing_to_say(engine)
    assert engine.wants_of(ALICE) == (C,), "it is sent when it comes"


def test_a_want_is_not_taken_for_answered_by_an_earlier_have() -> None:
    engine = Engine()
    ask(engine, Want(A, 1, WantType.HAVE), sizes={A: 9_000})
    cids = engine.receive(ALICE, Message(wants=(Want(A),)))
    assert engine.take_presences(ALICE) == (), "while the store is asked"
    engine.locate(ALICE, dict.fromkeys(cids, 9_000))
    assert blocks_of(engine) == [A]


def test_absence_is_told_only_if_asked_for() -> None:
    engine = Engine()
    ask(engine, Want(A), sizes={A: None})
    assert has_nothing_to_say(engine)


def test_a_block_that_comes_later_is_sent_to_all_who_wait() -> None:
    engine = Engine()
    for peer_id in (ALICE, BOB):
        engine.receive(peer_id, Message(wants=(Want(A, send_dont_have=True),)))
        engine.locate(peer_id, {A: None})
    assert engine.take_presences(ALICE) == (Presence(A, PresenceType.DONT_HAVE),)
    assert engine.add({A: 10, B: 10}) == {ALICE, BOB}
    assert blocks_of(engine) == [A]
    assert engine.take_presences(BOB) == (), "what has come meanwhile is not told to be absent"
    assert engine.take_blocks(BOB) is not None
    assert engine.add({A: 10}) == set()


def test_a_lookup_that_is_overtaken_by_the_block_changes_nothing() -> None:
    engine = Engine()
    cids = engine.receive(ALICE, Message(wants=(Want(A, send_dont_have=True),)))
    engine.add({A: 10})
    engine.locate(ALICE, dict.fromkeys(cids))
    assert engine.take_presences(ALICE) == ()
    assert blocks_of(engine) == [A]


def test_a_have_that_becomes_a_want_before_it_is_answered_gets_the_block_alone() -> None:
    engine = Engine()
    for want_type in WantType.HAVE, WantType.BLOCK:
        ask(engine, Want(A, 1, want_type), sizes={A: 9_000})
    assert engine.take_presences(ALICE) == ()
    assert blocks_of(engine) == [A]


def test_a_cancelled_want_is_not_answered() -> None:
    engine = Engine()
    ask(engine, Want(A), Want(B, send_dont_have=True), sizes={A: 1, B: None})
    engine.receive(ALICE, Message(wants=(Want(A, cancel=True), Want(B, cancel=True))))
    assert has_nothing_to_say(engine)
    assert engine.add({A: 1, B: 1}) == set()


def test_nothing_is_kept_of_a_peer_that_has_gone() -> None:
    engine = Engine()
    ask(engine, Want(A), Want(B), sizes={A: 1, B: None})
    engine.forget(ALICE)
    engine.locate(ALICE, {B: 1})
    assert (engine.peer_count, engine.add({A: 1, B: 1})) == (0, set())
    assert has_nothing_to_say(engine)
