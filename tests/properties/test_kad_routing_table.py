from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from ipfs.kad.keyspace import key_of, shared_prefix_bits
from ipfs.kad.routing_table import RoutingTable
from ipfs.p2p.peer_id import PeerId
from tests.support.kad import nearest, peer

OWN = peer(0)
K = 3

peers = st.integers(0, 60).map(peer)
events = st.lists(st.tuples(st.booleans(), peers), max_size=150)


def bucket_of(peer_id: PeerId) -> int:
    return shared_prefix_bits(key_of(OWN.multihash), key_of(peer_id.multihash))


def table_after(history: list[tuple[bool, PeerId]]) -> RoutingTable:
    table = RoutingTable(OWN, k=K)
    for moment, (lives, peer_id) in enumerate(history):
        if lives:
            table.heard(peer_id, now=moment)
        else:
            table.remove(peer_id)
    return table


@given(events)
def test_no_bucket_holds_more_than_k_and_we_are_in_none(
    history: list[tuple[bool, PeerId]],
) -> None:
    table = table_after(history)
    assert max(Counter(map(bucket_of, table)).values(), default=0) <= K
    assert OWN not in table
    assert len(table) == len(set(table))


@given(events)
def test_a_table_holds_who_was_last_said_to_live_as_far_as_there_is_room(
    history: list[tuple[bool, PeerId]],
) -> None:
    table = table_after(history)
    last_said = {peer_id: lives for lives, peer_id in history if peer_id != OWN}
    alive = {peer_id for peer_id, lives in last_said.items() if lives}
    assert set(table) <= alive
    for bucket, members in Counter(map(bucket_of, alive)).items():
        held = sum(bucket_of(it) == bucket for it in table)
        # Only the last k newcomers to a full bucket are remembered, so that a flood costs nothing.
        assert held >= min(members, K) or members > K


@given(events, peers)
def test_nobody_is_pushed_out_by_newcomers(
    history: list[tuple[bool, PeerId]], newcomer: PeerId
) -> None:
    table = table_after(history)
    before = set(table)
    table.heard(newcomer, now=1000)
    assert before <= set(table)


@given(events, st.binary(max_size=40), st.integers(0, 30))
def test_the_closest_are_those_that_looking_at_every_peer_finds(
    history: list[tuple[bool, PeerId]], target: bytes, count: int
) -> None:
    table = table_after(history)
    assert table.closest(key_of(target), count) == nearest(key_of(target), table, count)


@given(
    st.lists(st.tuples(st.just(True), st.integers(1, 6).map(peer)), max_size=20), st.integers(0, 20)
)
def test_the_silent_are_those_not_heard_since(
    history: list[tuple[bool, PeerId]], moment: int
) -> None:
    table = table_after(history)
    heard_at = {peer_id: at for at, (_, peer_id) in enumerate(history)}
    silent = {peer_id for peer_id in table if heard_at[peer_id] < moment}
    assert set(table.silent_since(moment)) == silent


@given(events)
def test_the_depth_is_the_longest_prefix_shared(history: list[tuple[bool, PeerId]]) -> None:
    table = table_after(history)
    assert table.depth == max(map(bucket_of, table), default=0)
