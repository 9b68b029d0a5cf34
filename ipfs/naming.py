"""Names that can be pointed elsewhere: IPNS records, published and resolved over a network."""

from typing import Final

from ipfs.host import NetworkError
from ipfs.ipns import IpnsRecord, routing_key, validity_at
from ipfs.p2p.peer_id import Identity, PeerId
from ipfs.routing import ValueRouting

LIFETIME_NS: Final = 48 * 3600 * 10**9
"""How long a record is good: as long as a DHT keeps it (libp2p specs `kad-dht`)."""


class NameNotPublished(NetworkError):
    """Nobody took the record: no server is known, or all of them keep a newer one."""

    code = "name-not-published"


async def publish(
    routing: ValueRouting,
    identity: Identity,
    path: str,
    *,
    now_ns: int,
    sequence_min: int = 0,
    lifetime_ns: int = LIFETIME_NS,
) -> IpnsRecord:
    """Point the name of a key at a content path, such as `/ipfs/<cid>`, and return the record.

    now_ns:        nanoseconds since 1970
    sequence_min:  for who remembers what the network may have forgotten
    lifetime_ns:   how long the record is good; publish again before

    Raises `NameNotPublished`.
    """
    known = await resolve(routing, identity.peer_id, now_ns=now_ns)
    sequence = sequence_min
    if known is not None:
        sequence = max(sequence_min, known.sequence + (known.value != path.encode()))
    record = IpnsRecord.create(
        identity, path, sequence=sequence, validity=validity_at(now_ns + lifetime_ns)
    )
    if not await routing.put_value(routing_key(identity.peer_id), record.encode()):
        raise NameNotPublished(f"nobody keeps the record {sequence} of {identity.peer_id}")
    return record


async def resolve(routing: ValueRouting, name: PeerId, *, now_ns: int) -> IpnsRecord | None:
    """Return the newest record that the network tells of a name, or None.

    Its signature and validity are checked here, whatever the network promises.
    Raises `BadSignature`, `RecordExpired`, `MalformedBytes`.
    """
    value = await routing.get_value(routing_key(name))
    if value is None:
        return None
    record = IpnsRecord.decode(value)
    record.verify(name, now_ns=now_ns)
    return record
