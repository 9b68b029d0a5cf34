"""What names stand for: signed values, kept for others while they are good."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from ipfs.errors import PeerError
from ipfs.kad.keyspace import distance, key_of
from ipfs.p2p.peer_id import PeerId


class StaleValue(PeerError):
    """A peer wants a value stored where a better one is kept."""

    code = "stale-value"


class Validator(Protocol):
    """What makes a value good, for whoever is asked to keep or to believe it."""

    def validate(self, key: bytes, value: bytes) -> None:
        """Raise a `PeerError` unless the value may stand under the key now."""

    def select(self, values: Sequence[bytes]) -> int:
        """Return which of some valid values of one key is the best; all sides choose the same."""


@dataclass(frozen=True, slots=True)
class _Record:
    value: bytes
    expires_at: float
    distance: int


class ValueRecords:
    """At most `records_max` values, one for each key; that of the key farthest from us makes room.

    Names are free: by age, whoever signs enough of them could push out all the others. Knows no
    clock; `now` is seconds on the caller's, and never goes back.
    """

    def __init__(
        self, validator: Validator, *, own: PeerId, record_seconds: float, records_max: int
    ) -> None:
        self._validator = validator
        self._own_key = key_of(own.multihash)
        self._record_seconds = record_seconds
        self._records_max = records_max
        self._records: dict[bytes, _Record] = {}

    def __len__(self) -> int:
        return len(self._records)

    def put(self, key: bytes, value: bytes, now: float) -> None:
        """Keep a value for a while. Raises `StaleValue`, and what the validator raises."""
        self._validator.validate(key, value)
        if self.best(key, (value, *self.get(key, now))) != value:
            raise StaleValue(f"a better value is kept under {key!r}")
        self._records.pop(key, None)
        if len(self._records) >= self._records_max:
            del self._records[max(self._records, key=lambda it: self._records[it].distance)]
        far = distance(self._own_key, key_of(key))
        self._records[key] = _Record(value, now + self._record_seconds, far)

    def get(self, key: bytes, now: float) -> tuple[bytes, ...]:
        """Return the value kept under a key; none if it is no longer good."""
        record = self._records.get(key)
        if record is None or record.expires_at <= now or not self.is_valid(key, record.value):
            return ()
        return (record.value,)

    def forget_expired(self, now: float) -> None:
        """Make room of what is no longer good."""
        for key in [key for key in self._records if not self.get(key, now)]:
            del self._records[key]

    def is_valid(self, key: bytes, value: bytes) -> bool:
        """Whether the value may stand under the key now."""
        try:
            self._validator.validate(key, value)
        except PeerError:
            return False
        return True

    def best(self, key: bytes, values: Iterable[bytes]) -> bytes | None:
        """Return the best of those values that are valid, or None."""
        valid = [value for value in dict.fromkeys(values) if self.is_valid(key, value)]
        return valid[self._validator.select(valid)] if valid else None
