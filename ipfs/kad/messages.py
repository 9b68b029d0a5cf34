"""The requests and responses of the DHT (libp2p specs `kad-dht`, RPC messages)."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import IntEnum
from typing import ClassVar, Final, assert_never

from ipfs import protobuf
from ipfs.errors import LimitExceeded, MalformedBytes, OutOfTurn, PeerError
from ipfs.host import PeerAddress
from ipfs.p2p.multiaddr import Multiaddr
from ipfs.p2p.peer_id import PeerId
from ipfs.protobuf import FieldReader

MESSAGE_BYTES_MAX: Final = 1 << 20
"""Forty peers with long addresses take a tenth of it; Kubo allows 4 MiB."""

REQUEST_BYTES_MAX: Final = 64 << 10
"""A request has one value of 10 KiB or one peer's addresses, and each of many streams holds one."""

FIELDS_MAX: Final = 8_192
"""Protobuf fields in one message, nested ones included: 80 peers with a hundred addresses each."""

PEERS_MAX: Final = 40
"""Peers read from either list of a message. Kubo tells 20 closer ones, but every provider of a
popular key, so whatever follows is left unread, not refused."""

ADDRESSES_MAX: Final = 32
"""Addresses read for one peer; as above."""

KEY_BYTES_MAX: Final = 256
"""Above the longest multihash of a CID (131) and every name of a value (`/ipns/` and a peer id)."""

VALUE_BYTES_MAX: Final = 10 << 10
"""The largest IPNS record (IPFS specs `ipns-record`, size limit)."""


class MessageType(IntEnum):
    """What a message asks, or answers."""

    PUT_VALUE = 0
    GET_VALUE = 1
    ADD_PROVIDER = 2
    GET_PROVIDERS = 3
    FIND_NODE = 4
    PING = 5


@dataclass(frozen=True, slots=True)
class Ping:
    """Are you there?"""

    message_type: ClassVar[MessageType] = MessageType.PING


@dataclass(frozen=True, slots=True)
class FindNode:
    """Whom do you know near this peer id?"""

    message_type: ClassVar[MessageType] = MessageType.FIND_NODE

    key: bytes


@dataclass(frozen=True, slots=True)
class GetProviders:
    """Who has the block of this multihash, and whom do you know near it?"""

    message_type: ClassVar[MessageType] = MessageType.GET_PROVIDERS

    key: bytes


@dataclass(frozen=True, slots=True)
class AddProvider:
    """These peers, of which only the sender counts, have the block of this multihash."""

    message_type: ClassVar[MessageType] = MessageType.ADD_PROVIDER

    key: bytes
    providers: tuple[PeerAddress, ...]


@dataclass(frozen=True, slots=True)
class GetValue:
    """What is stored under this name, and whom do you know near it?"""

    message_type: ClassVar[MessageType] = MessageType.GET_VALUE

    key: bytes


@dataclass(frozen=True, slots=True)
class PutValue:
    """Store this under this name."""

    message_type: ClassVar[MessageType] = MessageType.PUT_VALUE

    key: bytes
    value: bytes


Request = Ping | FindNode | GetProviders | AddProvider | GetValue | PutValue


@dataclass(frozen=True, slots=True)
class ValueRecord:
    """A value and the name that it is stored under."""

    key: bytes
    value: bytes

    def encode(self) -> bytes:
        """Return the protobuf form."""
        return protobuf.encode_bytes_field(1, self.key) + protobuf.encode_bytes_field(2, self.value)


@dataclass(frozen=True, slots=True)
class Response:
    """The answer to any request but ADD_PROVIDER, which has none."""

    message_type: MessageType
    closer_peers: tuple[PeerAddress, ...] = ()
    provider_peers: tuple[PeerAddress, ...] = ()
    record: ValueRecord | None = None

    def encode(self) -> bytes:
        """Return the protobuf form."""
        record = (
            b"" if self.record is None else protobuf.encode_bytes_field(3, self.record.encode())
        )
        return (
            protobuf.encode_varint_field(1, self.message_type)
            + record
            + _encode_peers(8, self.closer_peers)
            + _encode_peers(9, self.provider_peers)
        )


def encode_request(request: Request) -> bytes:
    """Return the protobuf form."""
    head = protobuf.encode_varint_field(1, request.message_type)
    match request:
        case Ping():
            return head
        case FindNode(key) | GetProviders(key) | GetValue(key):
            return head + protobuf.encode_bytes_field(2, key)
        case AddProvider(key, providers):
            return head + protobuf.encode_bytes_field(2, key) + _encode_peers(9, providers)
        case PutValue(key, value):
            record = ValueRecord(key, value).encode()
            return (
                head + protobuf.encode_bytes_field(2, key) + protobuf.encode_bytes_field(3, record)
            )
        case _:
            assert_never(request)


def decode_request(data: bytes) -> Request:
    """Return what a peer asks. Raises `MalformedBytes`, `LimitExceeded`."""
    message = _Message.decode(data)
    if message.message_type is MessageType.PING:
        return Ping()
    if not message.key:
        raise MalformedBytes("kad request", "no key")
    match message.message_type:
        case MessageType.FIND_NODE:
            return FindNode(message.key)
        case MessageType.GET_PROVIDERS:
            return GetProviders(message.key)
        case MessageType.ADD_PROVIDER:
            return AddProvider(message.key, tuple(message.provider_peers))
        case MessageType.GET_VALUE:
            return GetValue(message.key)
        case MessageType.PUT_VALUE:
            if message.record is None:
                raise MalformedBytes("kad PUT_VALUE", "no record")
            return PutValue(message.key, _decode_record(message.record, message.key).value)
        case _:
            assert_never(message.message_type)


def decode_response(data: bytes, request: Request) -> Response:
    """Return what a peer answers. Raises `OutOfTurn`, `MalformedBytes`, `LimitExceeded`."""
    message = _Message.decode(data)
    if message.message_type is not request.message_type:
        raise OutOfTurn(f"{message.message_type.name} answers {request.message_type.name}")
    record = None
    if isinstance(request, GetValue | PutValue) and message.record is not None:
        record = _decode_record(message.record, request.key)
    return Response(
        message.message_type, tuple(message.closer_peers), tuple(message.provider_peers), record
    )


@dataclass(slots=True)
class _Message:
    """All that any message may hold; unknown fields are skipped, so that the protocol can grow."""

    message_type: MessageType = MessageType.PUT_VALUE
    key: bytes = b""
    record: bytes | None = None
    closer_peers: list[PeerAddress] = field(default_factory=list)
    provider_peers: list[PeerAddress] = field(default_factory=list)

    @classmethod
    def decode(cls, data: bytes) -> "_Message":
        _check_size("kad message bytes", data, MESSAGE_BYTES_MAX)
        message = cls()
        reader = FieldReader(fields_max=FIELDS_MAX)
        for number, value in reader.fields(data):
            match number:
                case 1:
                    message.message_type = _message_type(protobuf.expect_int(value, "kad type"))
                case 2:
                    message.key = protobuf.expect_bytes(value, "kad key")
                    _check_size("kad key bytes", message.key, KEY_BYTES_MAX)
                case 3:
                    message.record = protobuf.expect_bytes(value, "kad record")
                case 8 if len(message.closer_peers) < PEERS_MAX:
                    message.closer_peers.append(_decode_peer(reader, value))
                case 9 if len(message.provider_peers) < PEERS_MAX:
                    message.provider_peers.append(_decode_peer(reader, value))
                case _:
                    continue
        return message


def _message_type(number: int) -> MessageType:
    try:
        return MessageType(number)
    except ValueError:
        raise MalformedBytes("kad message", f"type {number}") from None


def _decode_record(data: bytes, name: bytes) -> ValueRecord:
    key = value = b""
    for number, _, content in protobuf.fields(data):
        match number:
            case 1:
                key = protobuf.expect_bytes(content, "kad record key")
            case 2:
                value = protobuf.expect_bytes(content, "kad record value")
                _check_size("kad value bytes", value, VALUE_BYTES_MAX)
            case _:
                continue
    if key != name:
        raise MalformedBytes("kad record", "of another key")
    return ValueRecord(key, value)


def _decode_peer(reader: FieldReader, value: int | bytes) -> PeerAddress:
    multihash = b""
    addresses: list[bytes] = []
    for number, content in reader.fields(protobuf.expect_bytes(value, "kad peer")):
        match number:
            case 1:
                multihash = protobuf.expect_bytes(content, "kad peer id")
            case 2 if len(addresses) < ADDRESSES_MAX:
                addresses.append(protobuf.expect_bytes(content, "kad peer address"))
            case _:
                continue
    peer_id = PeerId(multihash)
    return PeerAddress(peer_id, tuple(dict.fromkeys(_readable_addresses(peer_id, addresses))))


def _readable_addresses(peer_id: PeerId, encoded: list[bytes]) -> Iterator[Multiaddr]:
    for data in encoded:
        try:
            address = Multiaddr.parse_bytes(data)
            bare = address.without_peer_id()
            if bare is not None and address.peer_id in {None, peer_id}:
                yield bare
        except PeerError:
            # A transport that we don't know, or nonsense: the peer's other addresses still count.
            continue


def _encode_peers(number: int, peers: tuple[PeerAddress, ...]) -> bytes:
    return b"".join(protobuf.encode_bytes_field(number, _encode_peer(peer)) for peer in peers)


def _encode_peer(peer: PeerAddress) -> bytes:
    return protobuf.encode_bytes_field(1, peer.peer_id.multihash) + b"".join(
        protobuf.encode_bytes_field(2, address.encode()) for address in peer.addresses
    )


def _check_size(what: str, data: bytes, bytes_max: int) -> None:
    if len(data) > bytes_max:
        raise LimitExceeded(what, limit=bytes_max, asked=len(data))
