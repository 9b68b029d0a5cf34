from collections.abc import Callable
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from ipfs.host import PeerAddress
from ipfs.kad.keyspace import key_of
from ipfs.kad.lookup import Lookup
from ipfs.kad.reach import ADDRESSES_MAX
from ipfs.kad.routing_table import RoutingTable
from ipfs.p2p.multiaddr import Multiaddr
from ipfs.p2p.peer_id import PeerId
from tests.support.kad import nearest, peer

K = 20
OWN = peer(-1)
NODES = [peer(number) for number in range(200)]


def tables() -> dict[PeerId, RoutingTable]:
    """Return what each of 200 nodes knows when every bucket holds whom it can."""
    known: dict[PeerId, RoutingTable] = {}
    order = list(NODES)
    for node in NODES:
        Random(node.multihash).shuffle(order)
        known[node] = RoutingTable(node, k=K)
        for other in order:
            known[node].heard(other, now=0)
    return known


TABLES = tables()


def lookup_of(target: bytes, seeds: list[PeerId], **limits: int) -> Lookup:
    numbers = {"alpha": 10, "beta": K, "asks_max": 1000, "paths": 3} | limits
    return Lookup(
        key_of(target),
        map(PeerAddress, seeds),
        own=OWN,
        alpha=numbers["alpha"],
        beta=numbers["beta"],
        asks_max=numbers["asks_max"],
        paths=numbers["paths"],
    )


def walk(
    lookup: Lookup, answer: Callable[[PeerId], list[PeerId] | None], random: Random, alpha: int
) -> list[PeerId]:
    """Run a lookup, its answers in any order; return who was asked."""
    asked: list[PeerId] = []
    in_flight: list[PeerId] = []
    while True:
        fresh = [it.peer_id for it in lookup.next_peers()]
        asked += fresh
        in_flight += fresh
        assert len(in_flight) <= alpha
        if lookup.is_done:
            return asked
        assert in_flight, "a lookup that is not done has somebody to wait for"
        peer_id = in_flight.pop(random.randrange(len(in_flight)))
        closer = answer(peer_id)
        if closer is None:
            lookup.failed(peer_id)
        else:
            lookup.answered(peer_id, map(PeerAddress, closer))


@given(
    st.binary(max_size=40), st.sets(st.sampled_from(NODES), min_size=1, max_size=3), st.randoms()
)
def test_a_lookup_among_200_nodes_finds_exactly_the_k_closest(
    target: bytes, seeds: set[PeerId], random: Random
) -> None:
    lookup = lookup_of(target, sorted(seeds, key=lambda it: it.multihash))
    asked = walk(lookup, lambda it: TABLES[it].closest(key_of(target), K), random, alpha=10)
    assert [it.peer_id for it in lookup.closest(K)] == nearest(key_of(target), NODES, K)
    assert len(asked) <= 60, "some nodes on the way, not the network"


@settings(max_examples=50)
@given(st.binary(max_size=40), st.sets(st.sampled_from(NODES), max_size=60), st.randoms())
def test_the_dead_are_walked_around(target: bytes, dead: set[PeerId], random: Random) -> None:
    def answer(peer_id: PeerId) -> list[PeerId] | None:
        return None if peer_id in dead else TABLES[peer_id].closest(key_of(target), K)

    live = [node for node in NODES if node not in dead]
    lookup = lookup_of(target, live[:3])
    walk(lookup, answer, random, alpha=10)
    found = [it.peer_id for it in lookup.closest(K)]
    assert not dead & set(found)
    assert found == nearest(key_of(target), found, K)
    assert found[:1] == nearest(key_of(target), live, 1)


@given(
    st.integers(1, 5),
    st.integers(1, 8),
    st.integers(5, 40),
    st.randoms(),
    st.dictionaries(st.integers(0, 30), st.none() | st.lists(st.integers(-1, 30), max_size=8)),
)
def test_whatever_peers_say_a_lookup_ends_and_asks_nobody_twice(
    alpha: int,
    beta: int,
    asks_max: int,
    random: Random,
    says: dict[int, list[int] | None],
) -> None:
    numbers = {peer(number): number for number in range(-1, 31)}

    def answer(peer_id: PeerId) -> list[PeerId] | None:
        told = says.get(numbers[peer_id], [])
        return None if told is None else [peer(number) for number in told]

    seeds = [peer(number) for number in range(3)]
    lookup = lookup_of(b"target", seeds, alpha=alpha, beta=beta, asks_max=asks_max)
    asked = walk(lookup, answer, random, alpha)
    assert len(asked) == len(set(asked)) <= asks_max
    assert OWN not in asked
    assert lookup.next_peers() == []


@given(st.integers(1, 60), st.randoms())
def test_a_crowd_that_always_knows_someone_new_costs_no_more_than_the_limit(
    asks_max: int, random: Random
) -> None:
    invented = iter(range(10**9))

    def answer(_: PeerId) -> list[PeerId]:
        return [peer(next(invented)) for _ in range(K)]

    lookup = lookup_of(b"target", [peer(0)], asks_max=max(asks_max, 10))
    assert len(walk(lookup, answer, random, alpha=10)) <= max(asks_max, 10)


@given(st.lists(st.lists(st.integers(1, 60), max_size=40), min_size=1, max_size=4))
def test_a_candidate_is_tried_at_every_address_told_up_to_a_limit(told: list[list[int]]) -> None:
    addresses = [
        tuple(Multiaddr.parse(f"/ip4/10.0.0.1/tcp/{port}") for port in ports) for ports in told
    ]
    lookup = Lookup(
        key_of(b"target"),
        [PeerAddress(peer(1), some) for some in addresses],
        own=OWN,
        alpha=1,
        beta=1,
        asks_max=1,
    )
    [candidate] = lookup.next_peers()
    everything = {address for some in addresses for address in some}
    assert set(candidate.addresses) <= everything
    assert len(candidate.addresses) <= ADDRESSES_MAX
    if len(everything) <= ADDRESSES_MAX and all(len(some) <= ADDRESSES_MAX for some in addresses):
        assert len(set(candidate.addresses)) == len(candidate.addresses)


@given(st.binary(max_size=40), st.sampled_from(NODES), st.integers(2, 4), st.randoms())
def test_a_liar_misleads_only_the_path_that_asked_it(
    target: bytes, liar: PeerId, paths: int, random: Random
) -> None:
    """Its accomplices answer, and are nearer to the key than anybody honest; one path sees them."""
    accomplices = nearest(key_of(target), map(peer, range(10_000, 10_600)), K)
    honest = [node for node in NODES if node != liar]

    def answer(peer_id: PeerId) -> list[PeerId]:
        if peer_id == liar or peer_id in accomplices:
            return accomplices
        return [it for it in TABLES[peer_id].closest(key_of(target), K) if it != liar]

    lookup = lookup_of(target, [liar, *random.sample(honest, 3)], paths=paths)
    asked = set(walk(lookup, answer, random, alpha=10))
    assert set(nearest(key_of(target), honest, K)) <= asked
