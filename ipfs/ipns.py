"""IPNS: a name that is a key, and signed records of what it points at (specs.ipfs.tech/ipns)."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Self

from ipfs import dag_cbor, protobuf
from ipfs.errors import LimitExceeded, MalformedBytes, PeerError
from ipfs.p2p.peer_id import Identity, PeerId, PublicKey

RECORD_BYTES_MAX: Final = 10 << 10
"""The specification's bound."""

DEFAULT_TTL_NS: Final = 300 * 10**9
"""How long readers may go on with a record they have; Kubo's five minutes."""

_SIGNATURE_PREFIX: Final = b"ipns-signature:"
_ROUTING_PREFIX: Final = b"/ipns/"
_END_OF_LIFE: Final = 0
_SECOND_NS: Final = 10**9
_UINT64: Final = range(1 << 64)
_TIME: Final = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?Z", re.ASCII)


class RecordExpired(PeerError):
    """The record was good until a time that has passed."""

    code = "record-expired"


@dataclass(frozen=True, slots=True)
class IpnsRecord:
    """What a name points at, as its owner signed it; `verify` says if that is so.

    value:      a content path, `/ipfs/<cid>` or `/ipns/<name>`, as bytes
    sequence:   a higher one replaces a lower one
    validity:   until when the record is good, RFC 3339
    data:       the DAG-CBOR of all that, which the signature is over
    signature:  by the name's key
    key:        where the name does not hold the key itself, else None
    signature_v1:  for readers of before 2021, which no longer counts; None leaves them out
    """

    value: bytes
    sequence: int
    validity: str
    ttl_ns: int
    data: bytes
    signature: bytes
    key: PublicKey | None = None
    signature_v1: bytes | None = None

    @classmethod
    def create(
        cls,
        identity: Identity,
        path: str,
        *,
        sequence: int,
        validity: str,
        ttl_ns: int = DEFAULT_TTL_NS,
        with_v1: bool = True,
    ) -> Self:
        """Return a record that our key signs.

        validity:  as `validity_at` writes it
        with_v1:   also carry the fields that older readers look for, as Kubo does
        """
        assert sequence in _UINT64, "a sequence has 64 bits"
        value = path.encode()
        data = dag_cbor.encode(
            {
                "TTL": ttl_ns,
                "Value": value,
                "Sequence": sequence,
                "Validity": validity.encode(),
                "ValidityType": _END_OF_LIFE,
            }
        )
        return cls(
            value,
            sequence,
            validity,
            ttl_ns,
            data,
            identity.sign(_SIGNATURE_PREFIX + data),
            signature_v1=identity.sign(value + validity.encode() + b"EOL") if with_v1 else None,
        )

    def encode(self) -> bytes:
        """Return the protobuf message, its fields in order of their numbers."""
        out = b""
        if self.signature_v1 is not None:
            out += protobuf.encode_bytes_field(1, self.value)
            out += protobuf.encode_bytes_field(2, self.signature_v1)
            out += protobuf.encode_varint_field(3, _END_OF_LIFE)
            out += protobuf.encode_bytes_field(4, self.validity.encode())
            out += protobuf.encode_varint_field(5, self.sequence)
            out += protobuf.encode_varint_field(6, self.ttl_ns)
        if self.key is not None:
            out += protobuf.encode_bytes_field(7, self.key.encode())
        out += protobuf.encode_bytes_field(8, self.signature)
        return out + protobuf.encode_bytes_field(9, self.data)

    @classmethod
    def decode(cls, message: bytes) -> Self:
        """Return the record of a message; older fields must say what the signed ones say.

        Raises `MalformedBytes`, `LimitExceeded`. Says nothing of signature and validity.
        """
        if len(message) > RECORD_BYTES_MAX:
            raise LimitExceeded(
                "bytes of an IPNS record", limit=RECORD_BYTES_MAX, asked=len(message)
            )
        fields: dict[int, int | bytes] = {}
        for number, _, value in protobuf.fields(message):
            if number in fields:
                raise MalformedBytes("IPNS", f"field {number} twice")
            fields[number] = value
        data = protobuf.expect_bytes(fields.get(9, b""), "IPNS")
        signature = protobuf.expect_bytes(fields.get(8, b""), "IPNS")
        if not data or not signature:
            raise MalformedBytes("IPNS", "a record without signature or data of version 2")
        key = PublicKey.decode(protobuf.expect_bytes(fields[7], "IPNS")) if 7 in fields else None
        signature_v1 = protobuf.expect_bytes(fields[2], "IPNS") if 2 in fields else None
        said = _read_data(data)
        if any(fields.get(number, due) != due for number, due in _v1_fields(said).items()):
            raise MalformedBytes("IPNS", "a field that differs from the signed one")
        return cls(
            said["Value"],
            said["Sequence"],
            said["Validity"].decode(),
            said["TTL"],
            data,
            signature,
            key,
            signature_v1,
        )

    def verify(self, name: PeerId, *, now_ns: int) -> None:
        """Raise unless the owner of the name signed this record and it is still good.

        now_ns:  nanoseconds since 1970
        Raises `BadSignature`, `RecordExpired`, `MalformedBytes` if the name's key is not known.
        """
        key = self.key or name.public_key
        if key is None or key.peer_id != name:
            raise MalformedBytes("IPNS", f"no key of {name}")
        key.verify(_SIGNATURE_PREFIX + self.data, self.signature)
        if self.expires_at_ns <= now_ns:
            raise RecordExpired(f"the record of {name} was good until {self.validity}")

    def sequence_for(self, path: str) -> int:
        """Return the sequence of a record that points to `path` in place of this one."""
        return self.sequence + (self.value != path.encode())

    @property
    def expires_at_ns(self) -> int:
        """Return until when the record is good, in nanoseconds since 1970."""
        return _parse_time(self.validity)

    @property
    def path(self) -> str:
        """Return the content path that the name points at. Raises `MalformedBytes`."""
        try:
            path = self.value.decode()
        except UnicodeDecodeError:
            path = ""
        if not path.startswith("/") or not path.isprintable():
            raise MalformedBytes("IPNS", "the value is no content path")
        return path


class IpnsValidator:
    """What a DHT asks about the values that it keeps under `/ipns/` keys.

    now_ns:  the clock, nanoseconds since 1970
    """

    def __init__(self, now_ns: Callable[[], int]) -> None:
        self._now_ns = now_ns

    def validate(self, key: bytes, value: bytes) -> None:
        """Raise a `PeerError` unless the value is a good record of the name that the key is."""
        if not key.startswith(_ROUTING_PREFIX):
            raise MalformedBytes("IPNS", "not the key of a name")
        name = PeerId(key.removeprefix(_ROUTING_PREFIX))
        IpnsRecord.decode(value).verify(name, now_ns=self._now_ns())

    def select(self, values: Sequence[bytes]) -> int:
        """Return which of some valid values is the one to keep: all sides choose the same."""
        return max(range(len(values)), key=lambda index: _rank(values[index]))


def routing_key(name: PeerId) -> bytes:
    """Return the key that a DHT keeps the records of a name under."""
    return _ROUTING_PREFIX + name.multihash


def validity_at(time_ns: int) -> str:
    """Return a time as records write it: RFC 3339, nine digits after the second."""
    seconds, nanoseconds = divmod(time_ns, _SECOND_NS)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{nanoseconds:09}Z"


def _rank(value: bytes) -> tuple[int, int, bytes]:
    record = IpnsRecord.decode(value)
    return record.sequence, record.expires_at_ns, value


def _read_data(data: bytes) -> dict[str, Any]:
    said: Any = dag_cbor.decode(data)
    match said:
        case {
            "Value": bytes(),
            "Sequence": int(sequence),
            "Validity": bytes(validity),
            "ValidityType": 0,
            "TTL": int(ttl_ns),
        } if _is_uint64(sequence) and _is_uint64(ttl_ns):
            pass
        case _:
            raise MalformedBytes("IPNS", "the data is not a record's")
    try:
        _parse_time(validity.decode("ascii"))
    except UnicodeDecodeError:
        raise MalformedBytes("IPNS", "the validity is no time") from None
    return dict(said)


def _is_uint64(number: int) -> bool:
    return type(number) is int and number in _UINT64


def _v1_fields(said: dict[str, Any]) -> dict[int, int | bytes]:
    return {
        1: said["Value"],
        3: _END_OF_LIFE,
        4: said["Validity"],
        5: said["Sequence"],
        6: said["TTL"],
    }


def _parse_time(text: str) -> int:
    match = _TIME.fullmatch(text)
    try:
        moment = datetime.fromisoformat(match[1]) if match else None
    except ValueError:
        moment = None
    if match is None or moment is None:
        raise MalformedBytes("IPNS", "the validity is no time")
    seconds = int((moment.replace(tzinfo=UTC) - datetime.fromtimestamp(0, UTC)).total_seconds())
    return seconds * _SECOND_NS + int((match[2] or "").ljust(9, "0"))
