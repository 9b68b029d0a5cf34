from ipfs.bitswap.messages import Message, Want, WantType
from ipfs.bitswap.wantlist import SETTLED_MAX, WANTS_PER_PEER_MAX, Requests, Wantlist
from tests.support.bitswap import leaf

A, B, C = (leaf(number).cid for number in range(3))


def test_a_full_wantlist_replaces_what_was_wanted() -> None:
    wantlist = Wantlist()
    wantlist.update(Message(wants=(Want(A), Want(B))))
    asked, ended = wantlist.update(Message(wants=(Want(B), Want(C)), full=True))
    assert [want.cid for want in asked] == [B, C]
    assert ended == [A]
    assert list(wantlist) == [B, C]


def test_a_want_cancelled_in_the_same_message_is_not_asked() -> None:
    wantlist = Wantlist()
    asked, ended = wantlist.update(Message(wants=(Want(A), Want(A, cancel=True))))
    assert (asked, ended, len(wantlist)) == ([], [A], 0)
    asked, ended = wantlist.update(Message(wants=(Want(B, cancel=True), Want(B))))
    assert ([want.cid for want in asked], ended) == ([B], [])


def test_a_block_wanted_is_not_downgraded_to_a_have() -> None:
    wantlist = Wantlist()
    for want_type in (WantType.HAVE, WantType.BLOCK, WantType.HAVE):
        wantlist.update(Message(wants=(Want(A, 1, want_type),)))
    kept = wantlist.get(A)
    assert kept is not None
    assert kept.want_type is WantType.BLOCK


def test_a_flood_of_wants_is_not_kept() -> None:
    wantlist = Wantlist()
    flood = tuple(Want(leaf(number, 4).cid) for number in range(WANTS_PER_PEER_MAX + 10))
    asked, _ = wantlist.update(Message(wants=flood))
    assert len(asked) == len(wantlist) == WANTS_PER_PEER_MAX
    wantlist.update(Message(wants=(Want(flood[0].cid, cancel=True), Want(A))))
    assert wantlist.get(A) == Want(A), "a cancellation makes room"


def test_two_fetches_share_one_request_and_its_cancellation() -> None:
    requests, one, other = Requests(), object(), object()
    requests.ask(Want(A), one)
    requests.ask(Want(A), other)
    assert requests.take_unsent() == (Want(A),)
    requests.ask(Want(A, cancel=True), one)
    assert requests.take_unsent() == (), "the other one still wants it"
    requests.ask(Want(A, cancel=True), other)
    assert requests.take_unsent() == (Want(A, cancel=True),)


def test_a_block_request_is_not_overwritten_before_it_is_sent() -> None:
    requests, one, other = Requests(), object(), object()
    requests.ask(Want(A, 5), one)
    requests.ask(Want(A, 9, WantType.HAVE), other)
    assert requests.take_unsent() == (Want(A, 5),)


def test_only_blocks_never_asked_for_are_unasked() -> None:
    requests, asker = Requests(), object()
    requests.ask(Want(A), asker)
    requests.ask(Want(B), asker)
    requests.ask(Want(B, cancel=True), asker)
    assert requests.arrived([A, B, C]) == [C], "B was under way when it was cancelled"
    assert requests.arrived([A]) == [], "twice is no lie"


def test_what_has_ended_is_not_remembered_forever() -> None:
    requests, asker = Requests(), object()
    cids = [leaf(number, 4).cid for number in range(SETTLED_MAX + 1)]
    for cid in cids:
        requests.ask(Want(cid), asker)
        requests.ask(Want(cid, cancel=True), asker)
    assert requests.arrived([cids[0], cids[1], cids[-1]]) == [cids[0]]
