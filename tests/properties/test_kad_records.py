from hypothesis import given
from hypothesis import strategies as st

from ipfs.host import PeerAddress
from ipfs.kad.records import ADDRESS_BYTES_MAX, ProviderRecords
from ipfs.p2p.multiaddr import Multiaddr
from ipfs.p2p.peer_id import PeerId
from tests.support.kad import peer

RECORD_SECONDS = 10
KEYS = [b"a", b"b", b"c"]

announcements = st.lists(
    st.tuples(st.sampled_from(KEYS), st.integers(0, 5).map(peer), st.integers(0, 4)), max_size=40
)


class SlowRecords:
    """The twin that keeps one list, oldest first, and searches it."""

    def __init__(self, records_max: int, per_key_max: int, per_provider_max: int) -> None:
        self.records: list[tuple[bytes, PeerId, int]] = []
        self.records_max = records_max
        self.per_key_max = per_key_max
        self.per_provider_max = per_provider_max

    def add(self, key: bytes, provider: PeerId, now: int) -> None:
        self.records = [it for it in self.records if it[:2] != (key, provider)]
        same_provider = [it for it in self.records if it[1] == provider]
        if len(same_provider) == self.per_provider_max:
            self.records.remove(same_provider[0])
        same_key = [it for it in self.records if it[0] == key]
        if len(same_key) == self.per_key_max:
            self.records.remove(same_key[0])
        if len(self.records) == self.records_max:
            del self.records[0]
        self.records.append((key, provider, now))

    def providers(self, key: bytes, now: int) -> list[PeerId]:
        fresh = [it for it in self.records if it[0] == key and now < it[2] + RECORD_SECONDS]
        return [provider for _, provider, _ in reversed(fresh)]


@given(announcements, st.integers(1, 8), st.integers(1, 4), st.integers(1, 4))
def test_records_are_kept_as_one_list_would_keep_them(
    history: list[tuple[bytes, PeerId, int]],
    records_max: int,
    per_key_max: int,
    per_provider_max: int,
) -> None:
    records = ProviderRecords(
        record_seconds=RECORD_SECONDS,
        records_max=records_max,
        providers_per_key_max=per_key_max,
        keys_per_provider_max=per_provider_max,
    )
    slow = SlowRecords(records_max, per_key_max, per_provider_max)
    now = 0
    for key, provider, seconds in history:
        now += seconds
        records.add(key, PeerAddress(provider), now)
        slow.add(key, provider, now)
        assert len(records) == len(slow.records)
        for some_key in KEYS:
            told = [it.peer_id for it in records.providers(some_key, now)]
            assert told == slow.providers(some_key, now)


@given(st.lists(st.integers(1, 250), max_size=40))
def test_of_many_addresses_the_first_are_kept_that_fit(name_lengths: list[int]) -> None:
    records = ProviderRecords(
        record_seconds=1, records_max=1, providers_per_key_max=1, keys_per_provider_max=1
    )
    addresses = tuple(
        Multiaddr.parse(f"/dns/{'n' * length}/tcp/{port}")
        for port, length in enumerate(name_lengths, start=1)
    )
    records.add(b"a", PeerAddress(peer(0), addresses), 0)
    [told] = records.providers(b"a", 0)
    assert told.addresses == addresses[: len(told.addresses)]
    kept_bytes = sum(len(address.encode()) for address in told.addresses)
    assert kept_bytes <= ADDRESS_BYTES_MAX
    assert told.addresses == addresses or kept_bytes > ADDRESS_BYTES_MAX / 3


@given(announcements, st.integers(0, 30))
def test_forgetting_the_expired_changes_nothing_but_the_room_they_took(
    history: list[tuple[bytes, PeerId, int]], later: int
) -> None:
    records = ProviderRecords(
        record_seconds=RECORD_SECONDS,
        records_max=100,
        providers_per_key_max=100,
        keys_per_provider_max=100,
    )
    now = 0
    for key, provider, seconds in history:
        now += seconds
        records.add(key, PeerAddress(provider), now)
    now += later
    before = {key: records.providers(key, now) for key in KEYS}
    records.forget_expired(now)
    assert {key: records.providers(key, now) for key in KEYS} == before
    assert len(records) == sum(map(len, before.values()))
