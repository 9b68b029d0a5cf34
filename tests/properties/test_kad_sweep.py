from hypothesis import given
from hypothesis import strategies as st

from ipfs.host import PeerAddress
from ipfs.kad.keyspace import key_of
from ipfs.kad.sweep import serves
from tests.support.kad import nearest, peer

K = 20
NODES = [peer(number) for number in range(300)]
KEYS = sorted((b"key %d" % number for number in range(2000)), key=key_of)


@given(st.integers(0, len(KEYS) - 40), st.integers(1, 39))
def test_a_neighbour_is_kept_by_at_least_half_of_those_nearest_to_it(at: int, apart: int) -> None:
    found_for, key = KEYS[at], KEYS[at + apart]
    keepers = nearest(key_of(found_for), NODES, K)
    if serves([PeerAddress(it) for it in keepers], found_for, key, k=K):
        assert len({*keepers} & {*nearest(key_of(key), NODES, K)}) >= K // 2


def test_a_sweep_over_many_keys_takes_a_fraction_of_the_lookups() -> None:
    lookups, found_for = 0, KEYS[0]
    keepers: list[PeerAddress] = []
    for key in KEYS:
        if not keepers or not serves(keepers, found_for, key, k=K):
            lookups += 1
            found_for = key
            keepers = [PeerAddress(it) for it in nearest(key_of(key), NODES, K)]
    assert lookups < len(KEYS) / 4


def test_a_network_of_few_keeps_everything() -> None:
    few = [PeerAddress(it) for it in NODES[: K - 1]]
    assert all(serves(few, KEYS[0], key, k=K) for key in KEYS)
