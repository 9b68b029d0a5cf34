from hypothesis import given
from hypothesis import strategies as st

from ipfs.errors import PeerError
from ipfs.kad.keyspace import distance, key_of
from ipfs.kad.values import ValueRecords
from tests.support.kad import HighestWins, peer

OWN = peer(0)
RECORD_SECONDS = 10
KEYS = [b"a", b"b", b"c"]
VALUES = [b"1", b"2", b"3", b"not a number"]

puts = st.lists(
    st.tuples(st.sampled_from(KEYS), st.sampled_from(VALUES), st.integers(0, 4)), max_size=40
)


class SlowValues:
    """The twin that keeps one list, and sorts and searches it."""

    def __init__(self, records_max: int) -> None:
        self.records: list[tuple[bytes, bytes, int]] = []
        self.records_max = records_max

    def put(self, key: bytes, value: bytes, now: int) -> bool:
        if not value.isdigit() or any(int(kept) > int(value) for kept in self.get(key, now)):
            return False
        self.records = [it for it in self.records if it[0] != key]
        if len(self.records) == self.records_max:
            self.records.sort(key=lambda it: distance(key_of(OWN.multihash), key_of(it[0])))
            self.records.pop()
        self.records.append((key, value, now))
        return True

    def get(self, key: bytes, now: int) -> tuple[bytes, ...]:
        fresh = [it for it in self.records if it[0] == key and now < it[2] + RECORD_SECONDS]
        return tuple(value for _, value, _ in fresh)


@given(puts, st.integers(1, 3))
def test_values_are_kept_as_one_list_would_keep_them(
    history: list[tuple[bytes, bytes, int]], records_max: int
) -> None:
    values = ValueRecords(
        HighestWins(), own=OWN, record_seconds=RECORD_SECONDS, records_max=records_max
    )
    slow = SlowValues(records_max)
    now = 0
    for key, value, seconds in history:
        now += seconds
        try:
            values.put(key, value, now)
            took = True
        except PeerError:
            took = False
        assert took == slow.put(key, value, now)
        assert len(values) == len(slow.records)
        for some_key in KEYS:
            assert values.get(some_key, now) == slow.get(some_key, now)


def test_a_crowd_of_other_names_leaves_the_values_near_us() -> None:
    ours = key_of(OWN.multihash)
    names = sorted(
        (str(number).encode() for number in range(400)), key=lambda it: distance(ours, key_of(it))
    )
    values = ValueRecords(HighestWins(), own=OWN, record_seconds=RECORD_SECONDS, records_max=20)
    for name in names[:10]:
        values.put(name, b"1", 0)
    for name in names[10:]:
        values.put(name, b"1", 1)
    assert all(values.get(name, 1) for name in names[:10])
    assert len(values) == 20


@given(puts, st.integers(0, 30))
def test_forgetting_the_expired_changes_nothing_but_the_room_they_took(
    history: list[tuple[bytes, bytes, int]], later: int
) -> None:
    values = ValueRecords(HighestWins(), own=OWN, record_seconds=RECORD_SECONDS, records_max=100)
    now = 0
    for key, value, seconds in history:
        now += seconds
        if value.isdigit() and values.best(key, (value, *values.get(key, now))) == value:
            values.put(key, value, now)
    now += later
    before = {key: values.get(key, now) for key in KEYS}
    values.forget_expired(now)
    assert {key: values.get(key, now) for key in KEYS} == before
    assert len(values) == sum(map(len, before.values()))
