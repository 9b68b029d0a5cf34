"""Laws of hearsay: whatever some tell, what others tell comes through."""

from hypothesis import given
from hypothesis import strategies as st

from ipfs.host import PeerAddress
from ipfs.kad.hearsay import Hearsay
from ipfs.kad.reach import ADDRESSES_MAX
from ipfs.p2p.multiaddr import Multiaddr
from ipfs.p2p.peer_id import PeerId
from tests.support.kad import peer

OWN = peer(0)
ADDRESSES = [Multiaddr.parse(f"/ip4/10.0.0.1/tcp/{port}") for port in range(1, 6)]

providers = st.builds(
    PeerAddress,
    st.integers(0, 12).map(peer),
    st.lists(st.sampled_from(ADDRESSES), max_size=3, unique=True).map(tuple),
)
tellings = st.lists(st.lists(providers, max_size=8), max_size=8)


def hear(tellings: list[list[PeerAddress]], count_max: int) -> list[PeerAddress]:
    hearsay = Hearsay(own=OWN, news_per_teller=2)
    passed_on = [it for telling in tellings for it in hearsay.take(telling)]
    return [*passed_on, *hearsay.rest(count_max)]


@given(tellings)
def test_with_room_for_all_everything_told_is_passed_on(tellings: list[list[PeerAddress]]) -> None:
    told: dict[PeerId, set[Multiaddr]] = {}
    for it in (it for telling in tellings for it in telling if it.peer_id != OWN):
        told.setdefault(it.peer_id, set()).update(it.addresses)
    heard: dict[PeerId, tuple[Multiaddr, ...]] = {}
    for it in hear(tellings, count_max=99):
        assert len(it.addresses) > len(heard.get(it.peer_id, ())) or it.peer_id not in heard
        heard[it.peer_id] = it.addresses
    assert {peer_id: set(addresses) for peer_id, addresses in heard.items()} == told


@given(tellings, st.integers(0, 5), st.integers(0, 8))
def test_what_an_honest_peer_tells_comes_through_whatever_others_tell(
    lies: list[list[PeerAddress]], count_max: int, place: int
) -> None:
    honest = PeerAddress(peer(100), (ADDRESSES[0],))
    poisoned = PeerAddress(honest.peer_id, (ADDRESSES[1],))
    for before in ([], [poisoned]):
        told = [before, *lies[:place], [honest], *lies[place:]]
        heard = {it.peer_id: it.addresses for it in hear(told, count_max)}
        assert ADDRESSES[0] in heard[honest.peer_id]


def test_a_long_list_of_false_providers_waits_for_the_end() -> None:
    hearsay = Hearsay(own=OWN, news_per_teller=2)
    false = [PeerAddress(peer(number), (ADDRESSES[0],)) for number in range(1, 41)]
    true = PeerAddress(peer(100), (ADDRESSES[1],))
    assert hearsay.take(false) == false[:2]
    assert hearsay.take([true, false[5]]) == [true, false[5]]
    assert hearsay.take([false[30], true]) == [false[30]]
    assert hearsay.take([false[30]]) == []
    rest = list(hearsay.rest(20))
    assert len({*rest, true, *false[:2], false[5], false[30]}) == 20
    assert list(hearsay.rest(20)) == []


def test_addresses_of_one_provider_are_bounded() -> None:
    hearsay = Hearsay(own=OWN, news_per_teller=2)
    for start in (0, 20, 40):
        many = tuple(Multiaddr.parse(f"/ip4/10.0.0.1/tcp/{start + it}") for it in range(20))
        hearsay.take([PeerAddress(peer(1), many)])
    assert list(hearsay.rest(20)) == []
    [last] = hearsay.take([PeerAddress(peer(2), (ADDRESSES[0],) * 50)])
    assert last.addresses == (ADDRESSES[0],)
    assert len(hearsay._providers[peer(1)].addresses) == ADDRESSES_MAX
