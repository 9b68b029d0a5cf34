from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from ipfs.kad.keyspace import key_of, shared_prefix_bits
from ipfs.kad.reach import Network, networks_of
from ipfs.kad.routing_table import RoutingTable
from ipfs.p2p.multiaddr import Multiaddr
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


def networks(*addresses: str) -> frozenset[Network]:
    return networks_of(Multiaddr.parse(address + "/tcp/1") for address in addresses)


NETWORKS = [networks(f"/ip4/8.{number}.1.1") for number in range(3)]


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 60), st.sampled_from(NETWORKS))))
def test_few_of_one_network_are_in_the_table_and_fewer_in_a_bucket(
    history: list[tuple[bool, int, frozenset[Network]]],
) -> None:
    table = RoutingTable(OWN, k=2, per_network_max=3, per_network_and_bucket_max=1)
    lives_in: dict[PeerId, frozenset[Network]] = {}
    for moment, (lives, number, where) in enumerate(history):
        if not lives:
            table.remove(peer(number))
        elif peer(number) not in table:
            lives_in[peer(number)] = where
            table.heard(peer(number), now=moment, networks=where)
        everywhere = Counter(lives_in[it] for it in table)
        here = Counter((bucket_of(it), lives_in[it]) for it in table)
        assert max(everywhere.values(), default=0) <= 3
        assert max(here.values(), default=0) <= 1


def test_a_lan_is_no_network_and_fills_the_table() -> None:
    lan = networks("/ip4/127.0.0.1", "/ip4/192.168.1.7", "/ip6/::1", "/ip6/fd00::1", "/dns4/a.b")
    assert lan == frozenset()
    table = RoutingTable(OWN, k=100)
    assert all(table.heard(peer(number), now=0, networks=lan) for number in range(1, 60))


def test_a_network_is_what_one_owner_of_addresses_has() -> None:
    assert networks("/ip4/8.8.1.1") == networks("/ip4/8.8.255.3") != networks("/ip4/8.9.1.1")
    one = networks("/ip6/2001:4860::1")
    assert one == networks("/ip6/2001:4860:ffff::2") != networks("/ip6/2606:4700::1")
