from dataclasses import replace
from typing import Any

import pytest

from ipfs import protobuf
from ipfs.bitswap.messages import (
    FIELDS_MAX,
    MESSAGE_BYTES_MAX,
    PROTOCOL_IDS,
    WANTS_PER_MESSAGE_MAX,
    WANTS_PER_PART,
    Message,
    Presence,
    PresenceType,
    Want,
    WantType,
)
from ipfs.block import BLOCK_BYTES_MAX, Block
from ipfs.cid import CID, Codec, HashCode
from ipfs.errors import LimitExceeded, MalformedBytes, PeerError
from ipfs.framing import FrameReader
from tests.support.cost import cost_of
from tests.support.vectors import own

HOSTILE = {
    item["name"]: item
    for item in own("hostile.json")["items"]
    if item["kind"] == "bitswap" and item["hex"] is not None
}
HELLO = Block.of(Codec.RAW, b"hello")
HELLO_CID_HEX = "01551220" + "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"


def read(framed: bytes) -> list[Message]:
    frames = FrameReader(frame_bytes_max=MESSAGE_BYTES_MAX).feed(framed)
    return [Message.decode(frame) for frame in frames]


@pytest.mark.parametrize("item", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_hostile_message_is_one_typed_error(item: dict[str, Any]) -> None:
    framed = bytes.fromhex(item["hex"])

    def hear() -> None:
        if item["name"] == "unsolicited block":
            [message] = read(framed)
            assert [block.data for block in message.blocks] == [b"abc"], "discarded by `Requests`"
        else:
            with pytest.raises(PeerError):
                read(framed)

    assert cost_of(hear).is_little


def test_a_message_has_the_bytes_that_the_protobuf_schema_gives() -> None:
    wanted = bytes.fromhex("0a24" + HELLO_CID_HEX + "1007" + "2001" + "2801")
    cancelled = bytes.fromhex("0a24" + HELLO_CID_HEX + "1001" + "1801")
    message = Message(
        wants=(
            Want(HELLO.cid, 7, WantType.HAVE, send_dont_have=True),
            Want(HELLO.cid, cancel=True),
        ),
        full=True,
        blocks=(HELLO,),
        presences=(Presence(HELLO.cid, PresenceType.DONT_HAVE),),
        pending_bytes=300,
    )
    wantlist = b"\x0a" + bytes([len(wanted)]) + wanted
    wantlist += b"\x0a" + bytes([len(cancelled)]) + cancelled + b"\x10\x01"
    assert message.encode() == (
        b"\x0a" + bytes([len(wantlist)]) + wantlist
        + bytes.fromhex("1a0d" + "0a0401551220" + "1205") + b"hello"
        + bytes.fromhex("2228" + "0a24" + HELLO_CID_HEX + "1001")
        + bytes.fromhex("28ac02")
    )  # fmt: skip
    assert Message.decode(message.encode()) == message


def test_a_block_of_version_0_or_another_hash_keeps_its_cid() -> None:
    old = Block.of(Codec.DAG_PB, b"", version=0)
    other = Block(CID.of(Codec.RAW, b"x", hash_code=HashCode.BLAKE2B_256), b"x")
    message = Message(blocks=(old, other))
    assert Message.decode(message.encode()).blocks == (old, other)


def test_unknown_fields_are_skipped_at_every_level() -> None:
    unknown = protobuf.encode_bytes_field(99, b"news") + protobuf.encode_varint_field(98, 1)
    want = protobuf.encode_bytes_field(1, HELLO.cid.encode()) + unknown
    wantlist = protobuf.encode_bytes_field(1, want) + unknown
    message = protobuf.encode_bytes_field(1, wantlist) + unknown
    assert Message.decode(message) == Message(wants=(Want(HELLO.cid, priority=0),))


def test_wantlists_that_come_in_parts_are_one() -> None:
    parts = [Message(wants=(Want(HELLO.cid),)), Message(wants=(Want(HELLO.cid, 2),))]
    joined = Message.decode(b"".join(part.encode() for part in parts))
    assert joined.wants == parts[0].wants + parts[1].wants


def test_sizes_are_bounded() -> None:
    largest = Block.of(Codec.RAW, bytes(BLOCK_BYTES_MAX))
    assert Message.decode(Message(blocks=(largest,)).encode()).blocks == (largest,)
    too_large = Block.of(Codec.RAW, bytes(BLOCK_BYTES_MAX + 1))
    with pytest.raises(LimitExceeded, match="block bytes"):
        Message.decode(Message(blocks=(too_large,)).encode())
    with pytest.raises(LimitExceeded, match="message bytes"):
        Message.decode(bytes(MESSAGE_BYTES_MAX + 1))


def test_a_flood_of_small_fields_is_refused_before_it_costs_much() -> None:
    fields = protobuf.encode_varint_field(99, 0) * (FIELDS_MAX + 1)
    in_a_want = protobuf.encode_bytes_field(1, protobuf.encode_bytes_field(1, fields))
    for flood in (fields, in_a_want, protobuf.encode_bytes_field(4, fields)):
        with pytest.raises(LimitExceeded, match="message fields"):
            Message.decode(flood)


@pytest.mark.parametrize(
    "message",
    [
        pytest.param(protobuf.encode_varint_field(1, 1), id="a number for the wantlist"),
        pytest.param(protobuf.encode_bytes_field(5, b"\x01"), id="bytes for pending bytes"),
        pytest.param(protobuf.encode_varint_field(5, 1 << 31), id="pending bytes over 31 bits"),
        pytest.param(b"\x1a\x00", id="a block without prefix"),
        pytest.param(b"\x1a\x08\x0a\x06\x00\x70\x12\x20\x12\x00", id="prefix swallows the data"),
        pytest.param(b"\x1a\x06\x0a\x04\x00\x55\x12\x20", id="version 0 of raw"),
        pytest.param(b"\x22\x00", id="a presence without CID"),
        pytest.param(b"\x0b", id="a group"),
    ],
)
def test_what_is_no_message_is_malformed(message: bytes) -> None:
    with pytest.raises(MalformedBytes):
        Message.decode(message)


def test_what_is_said_of_a_block_of_an_unknown_hash_costs_nothing_else() -> None:
    known = HELLO.cid.encode()
    unknown = known[:2] + b"\xff\x7f\x20" + HELLO.cid.digest
    entries = [protobuf.encode_bytes_field(1, cid) for cid in (unknown, known)]
    wantlist = b"".join(protobuf.encode_bytes_field(1, entry) for entry in entries)
    presences = b"".join(protobuf.encode_bytes_field(4, entry) for entry in entries)
    message = Message.decode(protobuf.encode_bytes_field(1, wantlist) + presences)
    assert [want.cid for want in message.wants] == [HELLO.cid]
    assert [presence.cid for presence in message.presences] == [HELLO.cid]


def test_a_wantlist_is_read_to_its_end_however_long_and_how_it_ends_counts() -> None:
    entry = protobuf.encode_bytes_field(1, protobuf.encode_bytes_field(1, HELLO.cid.encode()))
    last = _entry_of(Want(HELLO.cid, cancel=True))
    wantlist = entry * 50_000 + last + protobuf.encode_varint_field(2, 1)
    message = Message.decode(protobuf.encode_bytes_field(1, wantlist))
    assert message.full
    assert len(message.wants) == 50_001
    assert message.wants[-1].cancel

    too_long = b"\x0a\x00" * (WANTS_PER_MESSAGE_MAX + 1)
    in_two = protobuf.encode_bytes_field(1, too_long[:-4])
    for flood in (protobuf.encode_bytes_field(1, too_long), in_two * 2):
        with pytest.raises(LimitExceeded):
            Message.decode(flood)


def _entry_of(want: Want) -> bytes:
    [(_, _, wantlist)] = protobuf.fields(Message(wants=(want,)).encode())
    assert isinstance(wantlist, bytes)
    return wantlist


def test_a_long_wantlist_is_read_in_parts_that_say_the_same() -> None:
    cids = [CID.of(Codec.RAW, number.to_bytes(2)) for number in range(2 * WANTS_PER_PART + 1)]
    message = Message(wants=tuple(map(Want, cids)), full=True, blocks=(HELLO,), pending_bytes=3)
    first, second, third = Message.decode_parts(message.encode())
    assert first == replace(message, wants=message.wants[:WANTS_PER_PART])
    assert second == Message(wants=message.wants[WANTS_PER_PART:-1])
    assert third == Message(wants=message.wants[-1:])
    assert Message.decode(message.encode()) == message


@pytest.mark.parametrize("protocol_id", PROTOCOL_IDS)
def test_each_version_carries_what_it_has_words_for(protocol_id: str) -> None:
    old = Block.of(Codec.DAG_PB, b"hi", version=0)
    said = Message(
        wants=(Want(old.cid, 7),),
        full=True,
        blocks=(old,),
        presences=(Presence(HELLO.cid, PresenceType.HAVE),),
        pending_bytes=9,
    )
    heard = Message.decode(said.encode(protocol_id))
    if protocol_id == PROTOCOL_IDS[0]:
        assert heard == said
    else:
        assert heard == Message(wants=said.wants, full=True, blocks=said.blocks)


def test_version_1_0_0_has_bare_blocks() -> None:
    block = Block.of(Codec.DAG_PB, b"hi", version=0)
    assert Message(blocks=(block,)).encode("/ipfs/bitswap/1.0.0") == b"\x12\x02hi"
    too_large = protobuf.encode_bytes_field(2, bytes(BLOCK_BYTES_MAX + 1))
    with pytest.raises(LimitExceeded, match="block bytes"):
        Message.decode(too_large)
