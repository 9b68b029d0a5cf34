"""Bitswap messages: wants, blocks, and who has what (ipfs/specs `bitswap-protocol.md`).

Written as the receiver's version of the protocol has it; read in any version, as their fields
do not clash: 1.0.0 has bare blocks that are their own CIDv0, 1.1.0 has CIDs for them, 1.2.0
tells who has what.
"""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Final, Self, TypeVar

from ipfs import protobuf, varint
from ipfs.block import BLOCK_BYTES_MAX, Block
from ipfs.cid import CID, Codec, UnknownHash
from ipfs.errors import LimitExceeded, MalformedBytes
from ipfs.protobuf import FieldReader

PROTOCOL_ID: Final = "/ipfs/bitswap/1.2.0"
_V1_1: Final = "/ipfs/bitswap/1.1.0"
PROTOCOL_IDS: Final = (PROTOCOL_ID, _V1_1, "/ipfs/bitswap/1.0.0", "/ipfs/bitswap")
"""What we speak, the best first. The last two are one version."""

MESSAGE_BYTES_MAX: Final = 4 * 1024 * 1024
"""What peers accept (boxo `bitswap/network`, `inet.MessageSizeMax`)."""

WANTS_PER_MESSAGE_MAX: Final = 100_000
"""More than 4 MiB have of wants for hashes of 32 bytes. Kubo bounds the message alone; all of it is
read, as what comes last may cancel, or say that the list is full."""

WANTS_PER_PART: Final = 128
"""Wants that are read at a stretch: a millisecond."""

FIELDS_MAX: Final = 16_384
"""Protobuf fields in one message besides its wants, nested ones included: 5,461 presences."""

WANT_FIELDS_MAX: Final = 16
"""Protobuf fields of one want, in the mean of a part; there are five."""

PRIORITY_MAX: Final = 2**31 - 1
PENDING_BYTES_MAX: Final = 2**31 - 1

_Choice = TypeVar("_Choice", bound=IntEnum)


class WantType(IntEnum):
    """Whether a want asks for the block or only whether it is there."""

    BLOCK = 0
    HAVE = 1


class PresenceType(IntEnum):
    """What a peer says of a block it was asked about."""

    HAVE = 0
    DONT_HAVE = 1


@dataclass(frozen=True, slots=True)
class Want:
    """One entry of a wantlist: a wish, or with `cancel` the end of one."""

    cid: CID
    priority: int = 1
    want_type: WantType = WantType.BLOCK
    cancel: bool = False
    send_dont_have: bool = False


@dataclass(frozen=True, slots=True)
class Presence:
    """What a peer says of one block."""

    cid: CID
    presence_type: PresenceType


@dataclass(frozen=True, slots=True)
class Message:
    """One message, in either direction. `blocks` match their CIDs: these are computed on arrival.

    full:           the wants replace all that the sender wanted before
    pending_bytes:  block bytes that the sender has queued for the receiver beyond this message
    """

    wants: tuple[Want, ...] = ()
    full: bool = False
    blocks: tuple[Block, ...] = ()
    presences: tuple[Presence, ...] = ()
    pending_bytes: int = 0

    def encode(self, protocol_id: str = PROTOCOL_ID) -> bytes:
        """Return the protobuf bytes, without the length that goes before them on a stream.

        A version below 1.2.0 has no presences and no pending bytes: they are left out.
        """
        parts = []
        if self.wants or self.full:
            parts.append(protobuf.encode_bytes_field(1, _encode_wantlist(self.wants, self.full)))
        if protocol_id not in (PROTOCOL_ID, _V1_1):
            parts += (protobuf.encode_bytes_field(2, block.data) for block in self.blocks)
            return b"".join(parts)
        for block in self.blocks:
            parts += (_block_head(block), block.data)
        if protocol_id == _V1_1:
            return b"".join(parts)
        parts += (protobuf.encode_bytes_field(4, _encode_presence(it)) for it in self.presences)
        if self.pending_bytes:
            parts.append(protobuf.encode_varint_field(5, self.pending_bytes))
        return b"".join(parts)

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Read a message of any version. Unknown fields are skipped, as protobuf demands.

        So is what is said of a block whose hash function nobody here knows: we can't have it.
        Raises `MalformedBytes`, or `LimitExceeded` for a message, a block or a number of fields
        over the limits above.
        """
        first, *rest = cls.decode_parts(data)
        wants = (want for part in (first, *rest) for want in part.wants)
        return replace(first, wants=tuple(wants)) if rest else first

    @classmethod
    def decode_parts(cls, data: bytes) -> Iterator[Self]:
        """Read a message like `decode`, but a long wantlist bit by bit, with rests in between.

        Yields messages that say the same, one after another: all in the first but the wants
        beyond `WANTS_PER_PART`, which follow.
        """
        if len(data) > MESSAGE_BYTES_MAX:
            raise LimitExceeded("message bytes", limit=MESSAGE_BYTES_MAX, asked=len(data))
        reader = FieldReader(fields_max=FIELDS_MAX)
        entries: list[bytes] = []
        blocks: list[Block] = []
        presences: list[Presence] = []
        full, pending_bytes = False, 0
        for number, value in reader.fields(memoryview(data)):
            match number:
                case 1:
                    full |= _split_wantlist(_bytes(value), entries)
                case 2:
                    blocks.append(_bare_block(_bytes(value)))
                case 3:
                    blocks.append(
                        _decode_block(reader, protobuf.expect_raw(value, "Bitswap message"))
                    )
                case 4:
                    with suppress(UnknownHash):
                        presences.append(_decode_presence(reader, _bytes(value)))
                case 5:
                    pending_bytes = _int31(value, "pending bytes")
                case _:
                    pass
        wants = _decode_wants(entries[:WANTS_PER_PART])
        yield cls(wants, full, tuple(blocks), tuple(presences), pending_bytes)
        for at in range(WANTS_PER_PART, len(entries), WANTS_PER_PART):
            yield cls(_decode_wants(entries[at : at + WANTS_PER_PART]))


def _encode_wantlist(wants: tuple[Want, ...], full: bool) -> bytes:
    entries = [protobuf.encode_bytes_field(1, _encode_want(want)) for want in wants]
    if full:
        entries.append(protobuf.encode_varint_field(2, 1))
    return b"".join(entries)


def _encode_want(want: Want) -> bytes:
    out = protobuf.encode_bytes_field(1, want.cid.encode())
    out += protobuf.encode_varint_field(2, want.priority)
    if want.cancel:
        out += protobuf.encode_varint_field(3, 1)
    if want.want_type:
        out += protobuf.encode_varint_field(4, want.want_type)
    if want.send_dont_have:
        out += protobuf.encode_varint_field(5, 1)
    return out


def _split_wantlist(data: bytes, entries: list[bytes]) -> bool:
    """Add the entries of a wantlist, unread; return whether it says that it is full."""
    full = False
    for number, value in FieldReader(fields_max=WANTS_PER_MESSAGE_MAX).fields(data):
        if number == 1:
            entries.append(_bytes(value))
        elif number == 2:
            full = _bool(value)
    if len(entries) > WANTS_PER_MESSAGE_MAX:
        raise LimitExceeded("wants", limit=WANTS_PER_MESSAGE_MAX, asked=len(entries))
    return full


def _decode_wants(entries: list[bytes]) -> tuple[Want, ...]:
    wants = []
    reader = FieldReader(fields_max=WANT_FIELDS_MAX * WANTS_PER_PART)
    for entry in entries:
        with suppress(UnknownHash):
            wants.append(_decode_want(reader, entry))
    return tuple(wants)


def _decode_want(reader: FieldReader, data: bytes) -> Want:
    got = dict(reader.fields(data))
    return Want(
        cid=CID.decode(_bytes(got.get(1, b""))),
        priority=_int31(got.get(2, 0), "priority"),
        cancel=_bool(got.get(3, 0)),
        want_type=_choice(WantType, got.get(4, 0)),
        send_dont_have=_bool(got.get(5, 0)),
    )


def _encode_presence(presence: Presence) -> bytes:
    return protobuf.encode_bytes_field(1, presence.cid.encode()) + protobuf.encode_varint_field(
        2, presence.presence_type
    )


def _decode_presence(reader: FieldReader, data: bytes) -> Presence:
    got = dict(reader.fields(data))
    return Presence(
        cid=CID.decode(_bytes(got.get(1, b""))),
        presence_type=_choice(PresenceType, got.get(2, 0)),
    )


def _block_head(block: Block) -> bytes:
    """Return what goes before a block's data, which is then copied once only, into the message."""
    prefix = protobuf.encode_bytes_field(1, _cid_prefix(block.cid))
    head = prefix + protobuf.encode_bytes_head(2, len(block.data))
    return protobuf.encode_bytes_head(3, len(head) + len(block.data)) + head


def _decode_block(reader: FieldReader, data: memoryview) -> Block:
    got = dict(reader.fields(data))
    prefix, content = _bytes(got.get(1, b"")), _bytes(got.get(2, b""))
    _require_size(content)
    return Block(_cid_under_prefix(prefix, content), content)


def _bare_block(content: bytes) -> Block:
    _require_size(content)
    return Block.of(Codec.DAG_PB, content, version=0)


def _require_size(content: bytes) -> None:
    if len(content) > BLOCK_BYTES_MAX:
        raise LimitExceeded("block bytes", limit=BLOCK_BYTES_MAX, asked=len(content))


def _cid_prefix(cid: CID) -> bytes:
    """Return the CID without its digest, which the receiver computes."""
    numbers = (cid.version, cid.codec, cid.hash_code, len(cid.digest))
    return b"".join(map(varint.encode, numbers))


def _cid_under_prefix(prefix: bytes, content: bytes) -> CID:
    version, codec_at = varint.decode(prefix)
    codec, hash_at = varint.decode(prefix, codec_at)
    code, length_at = varint.decode(prefix, hash_at)
    length, end = varint.decode(prefix, length_at)
    if end != len(prefix):
        raise MalformedBytes("block prefix", "trailing bytes")
    cid = CID.of(codec, content, version=version, hash_code=code)
    if len(cid.digest) != length:
        raise MalformedBytes("block prefix", "digest length does not fit its function")
    return cid


def _bytes(value: int | bytes | memoryview) -> bytes:
    return protobuf.expect_bytes(value, "Bitswap message")


def _bool(value: int | bytes | memoryview) -> bool:
    return protobuf.expect_int(value, "Bitswap message") != 0


def _int31(value: int | bytes | memoryview, what: str) -> int:
    number = protobuf.expect_int(value, what)
    if number >= 1 << 31:
        raise MalformedBytes(what, "negative, or over 31 bits")
    return number


def _choice(kind: type[_Choice], value: int | bytes | memoryview) -> _Choice:
    number = protobuf.expect_int(value, kind.__name__)
    if number not in kind.__members__.values():
        raise MalformedBytes(kind.__name__, f"no such value: {number}")
    return kind(number)
