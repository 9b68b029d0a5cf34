"""IPNS records: other implementations' and our own, and which of them is believed."""

from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipfs import dag_cbor, protobuf
from ipfs.errors import LimitExceeded, MalformedBytes, PeerError
from ipfs.ipns import (
    RECORD_BYTES_MAX,
    IpnsRecord,
    IpnsValidator,
    RecordExpired,
    routing_key,
    validity_at,
)
from ipfs.p2p.peer_id import BadSignature, Identity, PeerId
from tests.support.vectors import foreign, own

NOW_NS = 1_750_000_000 * 10**9
VECTORS = own("ipns_peerid.json")["records"]
OURS = Identity.from_seed(bytes(32))


def record(path: str = "/ipfs/bafkqaaa", *, sequence: int = 1, seconds: int = 60) -> IpnsRecord:
    validity = validity_at(NOW_NS + seconds * 10**9)
    return IpnsRecord.create(OURS, path, sequence=sequence, validity=validity)


@pytest.mark.parametrize("row", VECTORS, ids=lambda row: row["i"])
def test_records_are_made_and_judged_as_others_do(row: dict[str, Any]) -> None:
    identity, message = Identity.from_seed(bytes.fromhex(row["seed"])), row["record_hex"]
    made = IpnsRecord.create(
        identity,
        row["value"],
        sequence=int(row["sequence"]),
        validity=row["validity"],
        ttl_ns=int(row["ttl_ns"]),
        with_v1=row["v1"],
    )
    assert made.encode().hex() == message
    name = PeerId.parse(row["name"])
    assert name == identity.peer_id
    assert routing_key(name).hex() == row["routing_key"]
    assert IpnsRecord.decode(bytes.fromhex(message)) == made
    assert validity_at(made.expires_at_ns) == row["validity"]
    assert made.path == row["value"]
    if row["valid"]:
        made.verify(name, now_ns=NOW_NS)
    else:
        assert row["err"] == "RecordExpiredError"
        with pytest.raises(RecordExpired):
            made.verify(name, now_ns=NOW_NS)


def test_records_found_in_the_world_are_judged_as_others_do() -> None:
    judged = []
    for row in foreign("ipns_records.json")["fixtures"]:
        message, name = bytes.fromhex(row["record_hex"]), PeerId.parse(row["name"])
        if not row["js_valid"]:
            with pytest.raises((BadSignature, MalformedBytes)):
                IpnsRecord.decode(message).verify(name, now_ns=NOW_NS)
        else:
            found = IpnsRecord.decode(message)
            found.verify(name, now_ns=NOW_NS)
            assert (found.path, str(found.sequence)) == (row["value"], row["sequence"])
            assert found.validity == row["validity"]
        judged.append(row["js_valid"])
    assert (judged.count(True), judged.count(False)) == (7, 3)


def test_nobody_elses_record_is_believed() -> None:
    other = Identity.from_seed(b"\1" * 32)
    with pytest.raises(BadSignature):
        record().verify(other.peer_id, now_ns=NOW_NS)
    with pytest.raises(MalformedBytes, match="no key"):
        replace(record(), key=other.public_key).verify(OURS.peer_id, now_ns=NOW_NS)
    hashed = PeerId(b"\x12\x20" + bytes(32))
    with pytest.raises(MalformedBytes, match="no key"):
        replace(record(), key=other.public_key).verify(hashed, now_ns=NOW_NS)


@given(st.data())
def test_a_changed_record_is_not_believed(data: st.DataObject) -> None:
    message = bytearray(record().encode())
    position = data.draw(st.integers(0, len(message) - 1))
    message[position] ^= data.draw(st.integers(1, 255))
    try:
        changed = IpnsRecord.decode(bytes(message))
        changed.verify(OURS.peer_id, now_ns=NOW_NS)
    except PeerError:
        return
    assert changed.data == record().data, "only what no longer counts may differ"


@given(st.binary(max_size=200))
def test_any_bytes_are_a_record_or_a_peer_error(message: bytes) -> None:
    with suppress(PeerError):
        IpnsRecord.decode(message)


@pytest.mark.parametrize(
    "changed",
    [
        {"Sequence": -1},
        {"Sequence": True},
        {"TTL": "1"},
        {"Value": "text"},
        {"ValidityType": 1},
        {"Validity": b"2099-12-31"},
        {"Validity": b"2099-13-31T00:00:00Z"},
        {"Validity": b"2099-12-31T00:00:00+01:00"},
        {"Validity": "é".encode()},
    ],
)
def test_signed_nonsense_is_no_record(changed: dict[str, Any]) -> None:
    said = dag_cbor.decode(record().data)
    assert isinstance(said, dict)
    data = dag_cbor.encode(said | changed)
    with pytest.raises(MalformedBytes):
        IpnsRecord.decode(replace(record(), data=data, signature_v1=None).encode())


def test_a_record_is_small() -> None:
    large = record("/ipfs/" + "x" * RECORD_BYTES_MAX)
    with pytest.raises(LimitExceeded):
        IpnsRecord.decode(large.encode())


def test_what_points_nowhere_has_no_path() -> None:
    for path in ("bafkqaaa", "/ipfs/\x1b[2J"):
        with pytest.raises(MalformedBytes, match="content path"):
            _ = IpnsRecord.decode(record(path).encode()).path


def test_an_unknown_field_is_passed_over_and_a_repeated_one_is_not() -> None:
    message = record().encode()
    assert IpnsRecord.decode(message + protobuf.encode_varint_field(99, 1)) == record()
    with pytest.raises(MalformedBytes, match="twice"):
        IpnsRecord.decode(message + protobuf.encode_bytes_field(9, record().data))


def test_a_dht_keeps_what_is_valid_and_chooses_the_newest() -> None:
    validator = IpnsValidator(lambda: NOW_NS)
    key = routing_key(OURS.peer_id)
    old, new = record(sequence=1, seconds=100).encode(), record(sequence=2, seconds=50).encode()
    longer = record(sequence=2, seconds=60).encode()
    for value in (old, new, longer):
        validator.validate(key, value)
    values = [old, longer, new]
    assert values[validator.select(values)] == longer
    assert validator.select([new, old]) == 0
    with pytest.raises(RecordExpired):
        validator.validate(key, record(seconds=0).encode())
    for wrong in (b"/pk/" + OURS.peer_id.multihash, b"/ipns/", b"/ipns/" + b"x" * 34):
        with pytest.raises(MalformedBytes):
            validator.validate(wrong, old)


def test_a_name_that_kubo_published_itself_is_believed_until_it_ends() -> None:
    row = own("kubo_ipns.json")
    name, found = PeerId.parse(row["name"]), IpnsRecord.decode(bytes.fromhex(row["record_hex"]))
    found.verify(name, now_ns=found.expires_at_ns - 1)
    said = (found.path, found.sequence, found.validity, found.ttl_ns)
    assert said == (row["value"], row["sequence"], row["validity"], row["ttl_ns"])
    with pytest.raises(RecordExpired):
        found.verify(name, now_ns=found.expires_at_ns)
    with pytest.raises(MalformedBytes):
        found.verify(OURS.peer_id, now_ns=0)
