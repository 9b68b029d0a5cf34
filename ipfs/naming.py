"""Names that can be pointed elsewhere: IPNS records, published and resolved over a network."""

from typing import ClassVar, Final

from ipfs.host import NetworkError
from ipfs.ipns import DEFAULT_TTL_NS, IpnsRecord, routing_key, validity_at
from ipfs.p2p.peer_id import Identity, PeerId
from ipfs.routing import ValueRouting

LIFETIME_NS: Final = 48 * 3600 * 10**9
"""How long a record is good: as long as a DHT keeps it (libp2p specs `kad-dht`)."""


class NameNotFound(LookupError):
    """The network tells of no good record of a name."""

    code: ClassVar[str] = "name-not-found"

    def __init__(self, name: PeerId) -> None:
        super().__init__(f"nobody tells of a record of {name.to_cid_text()}")
        self.name = name


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
    ttl_ns: int = DEFAULT_TTL_NS,
) -> IpnsRecord:
    """Point the name of a key at a content path, such as `/ipfs/<cid>`, and return the record.

    now_ns:        nanoseconds since 1970
    sequence_min:  for who remembers what the network may have forgotten
    lifetime_ns:   how long the record is good; publish again before
    ttl_ns:        how long readers may go on with it before they look again

    Raises `NameNotPublished`.
    """
    known = await resolve(routing, identity.peer_id, now_ns=now_ns)
    record = IpnsRecord.create(
        identity,
        path,
        sequence=max(sequence_min, 0 if known is None else known.sequence_for(path)),
        validity=validity_at(now_ns + lifetime_ns),
        ttl_ns=ttl_ns,
    )
    if not await routing.put_value(routing_key(identity.peer_id), record.encode()):
        raise NameNotPublished(f"no peer took the record {record.sequence} of {identity.peer_id}")
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
