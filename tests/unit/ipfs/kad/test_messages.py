from typing import Any

import pytest

from ipfs import protobuf
from ipfs.errors import LimitExceeded, MalformedBytes, OutOfTurn, PeerError
from ipfs.framing import FrameReader
from ipfs.host import PeerAddress
from ipfs.kad.messages import (
    ADDRESSES_MAX,
    FIELDS_MAX,
    KEY_BYTES_MAX,
    MESSAGE_BYTES_MAX,
    PEERS_MAX,
    REQUEST_BYTES_MAX,
    VALUE_BYTES_MAX,
    AddProvider,
    FindNode,
    GetProviders,
    GetValue,
    MessageType,
    Ping,
    PutValue,
    Request,
    Response,
    ValueRecord,
    decode_request,
    decode_response,
    encode_request,
)
from ipfs.kad.parameters import LAN_PROTOCOL_ID
from ipfs.kad.reach import reach_of
from ipfs.kad.records import ProviderRecords
from ipfs.kad.routing_table import RoutingTable
from ipfs.kad.server import KadServer
from ipfs.kad.values import ValueRecords
from ipfs.p2p.memory import MemoryNetwork
from ipfs.p2p.multiaddr import Multiaddr
from tests.support.cost import cost_of
from tests.support.kad import HighestWins, peer
from tests.support.vectors import own

LOOPBACK = Multiaddr.parse("/ip4/127.0.0.1/tcp/4001")
KEY = b"\x12\x20" + bytes(32)


@pytest.mark.parametrize(
    ("request_", "wire"),
    [
        (Ping(), "0805"),
        (FindNode(b"k"), "080412016b"),
        (GetProviders(b"k"), "080312016b"),
        (GetValue(b"k"), "080112016b"),
        (PutValue(b"k", b"v"), "080012016b1a060a016b120176"),
        (
            AddProvider(b"k", (PeerAddress(peer(1), (LOOPBACK,)),)),
            "080212016b4a2e0a22" + peer(1).multihash.hex() + "1208047f000001060fa1",
        ),
    ],
)
def test_requests_are_on_the_wire_as_the_specification_numbers_their_fields(
    request_: Request, wire: str
) -> None:
    assert encode_request(request_).hex() == wire
    assert decode_request(bytes.fromhex(wire)) == request_


def test_a_response_holds_closer_peers_and_providers_apart() -> None:
    near, has = PeerAddress(peer(1), (LOOPBACK,)), PeerAddress(peer(2))
    response = Response(MessageType.GET_PROVIDERS, (near,), (has,))
    closer = b"\x42\x2e\x0a\x22" + peer(1).multihash + bytes.fromhex("1208047f000001060fa1")
    provider = b"\x4a\x24\x0a\x22" + peer(2).multihash
    assert response.encode() == b"\x08\x03" + closer + provider
    assert decode_response(response.encode(), GetProviders(KEY)) == response


def test_the_absent_type_of_proto3_is_put_value() -> None:
    assert decode_request(encode_request(PutValue(b"k", b"v"))[2:]) == PutValue(b"k", b"v")


def test_fields_from_the_future_and_kubos_own_are_skipped() -> None:
    cluster_level = protobuf.encode_varint_field(10, 1)
    unknown = protobuf.encode_bytes_field(666, b"?")
    assert decode_request(b"\x08\x05" + cluster_level + unknown) == Ping()


def encoded_peer(*addresses: bytes) -> bytes:
    peer_id = protobuf.encode_bytes_field(1, peer(1).multihash)
    connection = protobuf.encode_varint_field(3, 1)
    return (
        peer_id
        + b"".join(protobuf.encode_bytes_field(2, address) for address in addresses)
        + connection
    )


def response_of(*peers: bytes) -> Response:
    data = b"\x08\x04" + b"".join(protobuf.encode_bytes_field(8, it) for it in peers)
    return decode_response(data, FindNode(KEY))


def test_addresses_nobody_can_read_cost_the_peer_nothing_else() -> None:
    quic = Multiaddr.parse("/ip4/10.0.0.1/udp/4001/quic-v1")
    told = encoded_peer(
        b"",
        b"\xff\xff\xff",
        b"\x04\x7f",
        bytes(2000),
        Multiaddr.parse("/ip4/10.0.0.2/tcp/1").with_peer_id(peer(2)).encode(),
        LOOPBACK.with_peer_id(peer(1)).encode(),
        LOOPBACK.encode(),
        quic.encode(),
    )
    assert response_of(told).closer_peers == (PeerAddress(peer(1), (LOOPBACK, quic)),)


def test_what_exceeds_the_limits_of_a_list_is_left_unread() -> None:
    many = encoded_peer(
        *(Multiaddr.parse(f"/ip4/10.0.0.1/tcp/{port}").encode() for port in range(1, 100))
    )
    [told] = response_of(many).closer_peers
    assert len(told.addresses) == ADDRESSES_MAX
    assert len(response_of(*[encoded_peer()] * 100).closer_peers) == PEERS_MAX


@pytest.mark.parametrize("flood", [b"\x08\x04", b"\x58\x00"], ids=["known", "unknown"])
def test_a_flood_of_small_fields_is_refused_before_it_costs_much(flood: bytes) -> None:
    in_a_peer = protobuf.encode_bytes_field(8, encoded_peer() + b"\x58\x00" * FIELDS_MAX)
    for message in (flood * (FIELDS_MAX + 1), b"\x08\x04" + in_a_peer):
        with pytest.raises(LimitExceeded, match="message fields"):
            decode_response(message, FindNode(KEY))


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"", MalformedBytes),
        (b"\x08\x06", MalformedBytes),
        (b"\x08\x04", MalformedBytes),
        (b"\x08\x04\x12\x00", MalformedBytes),
        (b"\x08\x04\x10\x01", MalformedBytes),
        (b"\x0a\x01\x04", MalformedBytes),
        (b"\x08\x00\x12\x01k", MalformedBytes),
        (b"\x08\x00\x12\x01k\x1a\x06\x0a\x01j\x12\x01v", MalformedBytes),
        (b"\x08\x04" + protobuf.encode_bytes_field(2, bytes(KEY_BYTES_MAX + 1)), LimitExceeded),
        (encode_request(PutValue(b"k", bytes(VALUE_BYTES_MAX + 1))), LimitExceeded),
        (bytes(MESSAGE_BYTES_MAX + 1), LimitExceeded),
        (b"\x08\x02\x12\x01k\x4a\x04\x0a\x02\x12\x20", MalformedBytes),
    ],
    ids=lambda it: it[:12].hex() if isinstance(it, bytes) else it.__name__,
)
def test_what_is_no_request_is_refused(data: bytes, error: type[PeerError]) -> None:
    with pytest.raises(error):
        decode_request(data)


def test_the_answer_to_another_question_is_out_of_turn() -> None:
    with pytest.raises(OutOfTurn):
        decode_response(b"\x08\x03", FindNode(KEY))


@pytest.mark.parametrize(
    "item",
    [item for item in own("hostile.json")["items"] if item["kind"] == "kad"],
    ids=lambda item: item["name"],
)
async def test_hostile_frames_are_refused_cheaply(item: dict[str, Any]) -> None:
    async with MemoryNetwork() as network:
        host = network.add_host()
        table = RoutingTable(host.peer_id, k=20)
        records = ProviderRecords(
            record_seconds=1, records_max=9, providers_per_key_max=9, keys_per_provider_max=9
        )
        values = ValueRecords(HighestWins(), own=host.peer_id, record_seconds=1, records_max=9)
        server = KadServer(
            host,
            table=table,
            records=records,
            values=values,
            in_reach=reach_of(LAN_PROTOCOL_ID),
            peers_max=20,
        )

        def refuse() -> None:
            with pytest.raises(PeerError):  # noqa: PT012 - whichever layer meets it first
                reader = FrameReader(frame_bytes_max=REQUEST_BYTES_MAX)
                for payload in reader.feed(bytes.fromhex(item["hex"])):
                    server.answer(peer(1), decode_request(payload), now=0)

        assert cost_of(refuse).is_little
        assert len(records) == len(values) == 0


def test_a_response_tells_the_value_that_was_asked_for_and_no_other() -> None:
    told = Response(MessageType.GET_VALUE, record=ValueRecord(b"k", b"v")).encode()
    assert told.hex() == "08011a060a016b120176"
    assert decode_response(told, GetValue(b"k")).record == ValueRecord(b"k", b"v")
    with pytest.raises(MalformedBytes):
        decode_response(told, GetValue(b"other"))
