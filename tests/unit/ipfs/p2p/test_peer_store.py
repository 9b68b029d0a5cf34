"""What is remembered of peers, and what is forgotten first."""

from ipfs.p2p.limits import NetworkLimits
from ipfs.p2p.multiaddr import Multiaddr
from ipfs.p2p.peer_id import Identity
from ipfs.p2p.peer_store import PeerStore

LIMITS = NetworkLimits(peers_known_max=2, addresses_per_peer_max=3)
PEERS = [Identity.from_seed(bytes([number]) * 32).peer_id for number in range(4)]


def address(port: int) -> Multiaddr:
    return Multiaddr.parse(f"/ip4/127.0.0.1/tcp/{port}")


def test_addresses_that_failed_come_last_and_those_that_worked_first() -> None:
    store = PeerStore(LIMITS)
    store.add(PEERS[0], [address(1), address(2), address(3)])
    store.failed(PEERS[0], address(1))
    store.succeeded(PEERS[0], address(3))
    assert store.addresses(PEERS[0]) == (address(3), address(2), address(1))
    store.succeeded(PEERS[0], address(1))
    store.failed(PEERS[0], address(3))
    assert store.addresses(PEERS[0]) == (address(1), address(2), address(3))


def test_hearsay_does_not_displace_an_address_that_worked() -> None:
    store = PeerStore(LIMITS)
    store.succeeded(PEERS[0], address(1))
    store.add(PEERS[0], map(address, range(2, 20)))
    assert address(1) in store.addresses(PEERS[0])
    assert len(store.addresses(PEERS[0])) == 3


def test_the_peer_touched_longest_ago_is_forgotten() -> None:
    store = PeerStore(LIMITS)
    for peer_id in PEERS[:2]:
        store.add(peer_id, [address(1)])
    store.identified(PEERS[0], ("/a",), "agent")
    store.add(PEERS[2], [address(1)])
    assert store.addresses(PEERS[1]) == ()
    assert (store.protocol_ids(PEERS[0]), store.agent_version(PEERS[0])) == (("/a",), "agent")
    assert (store.protocol_ids(PEERS[3]), store.agent_version(PEERS[3])) == ((), "")


def test_an_address_is_kept_without_its_peer() -> None:
    store = PeerStore(LIMITS)
    store.add(PEERS[0], [address(1).with_peer_id(PEERS[0]), Multiaddr.parse(f"/p2p/{PEERS[0]}")])
    assert store.addresses(PEERS[0]) == (address(1),)
