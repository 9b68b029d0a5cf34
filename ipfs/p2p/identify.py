"""Identify: what a peer says of itself (libp2p specs, `identify/README.md`)."""

from dataclasses import dataclass
from typing import Final

from ipfs import protobuf
from ipfs.errors import LimitExceeded, MalformedBytes, PeerError, PeerHungUp
from ipfs.framing import FrameReader, encode_frame
from ipfs.host import Stream
from ipfs.p2p.multiaddr import Multiaddr
from ipfs.p2p.peer_id import PeerId, PublicKey
from ipfs.protobuf import FieldReader

IDENTIFY: Final = "/ipfs/id/1.0.0"
IDENTIFY_PUSH: Final = "/ipfs/id/push/1.0.0"

MESSAGE_BYTES_MAX: Final = 8 * 1024
MESSAGES_MAX: Final = 10
"""Both as go-libp2p has them: what is too long for one message continues in the next."""

ADDRESSES_MAX: Final = 32
"""What is remembered of one peer (`NetworkLimits.addresses_per_peer_max`); more are left unread."""

PROTOCOLS_MAX: Final = 256
"""Kubo has some thirty; more are left unread."""

_FIELDS_MAX: Final = 2_048
_TEXT_BYTES_MAX: Final = 512
_READ_BYTES: Final = 16 * 1024


@dataclass(frozen=True, slots=True)
class PeerInfo:
    """What a peer says of itself; only its key is proven, by the connection it came over."""

    public_key: PublicKey | None
    addresses: tuple[Multiaddr, ...]
    protocol_ids: tuple[str, ...]
    observed_address: Multiaddr | None
    """Where the sender sees the receiver."""
    protocol_version: str
    agent_version: str

    def encode(self) -> bytes:
        """Return the protobuf message."""
        out = b""
        if self.public_key is not None:
            out += protobuf.encode_bytes_field(1, self.public_key.encode())
        for address in self.addresses:
            out += protobuf.encode_bytes_field(2, address.encode())
        for protocol_id in self.protocol_ids:
            out += protobuf.encode_bytes_field(3, protocol_id.encode())
        if self.observed_address is not None:
            out += protobuf.encode_bytes_field(4, self.observed_address.encode())
        out += protobuf.encode_bytes_field(5, self.protocol_version.encode())
        return out + protobuf.encode_bytes_field(6, self.agent_version.encode())

    @classmethod
    def decode(cls, message: bytes) -> "PeerInfo":
        """Read the message; addresses of a kind we don't know are left out. Raises `PeerError`."""
        public_key = observed_address = None
        addresses: list[Multiaddr] = []
        protocol_ids: list[str] = []
        texts = {5: "", 6: ""}
        for number, value in FieldReader(fields_max=_FIELDS_MAX).fields(message):
            if number not in range(1, 7):
                continue
            data = protobuf.expect_bytes(value, "identify")
            match number:
                case 1:
                    public_key = PublicKey.decode(data)
                case 2 if len(addresses) < ADDRESSES_MAX:
                    addresses += _known_addresses(data)
                case 3 if len(protocol_ids) < PROTOCOLS_MAX:
                    protocol_ids.append(_text(data))
                case 4:
                    observed_address = next(iter(_known_addresses(data)), None)
                case 5 | 6:
                    texts[number] = _text(data)
                case _:
                    continue
        return cls(
            public_key=public_key,
            addresses=tuple(dict.fromkeys(addresses)),
            protocol_ids=tuple(dict.fromkeys(protocol_ids)),
            observed_address=observed_address,
            protocol_version=texts[5],
            agent_version=texts[6],
        )


class WrongIdentity(PeerError):
    """The peer identified itself with a key that its connection was not made with."""

    code = "wrong-identity"


async def tell_identity(stream: Stream, info: PeerInfo) -> None:
    """Say who we are: the answer to identify, or the whole of a push."""
    await stream.write(encode_frame(info.encode()))
    await stream.close_write()


async def hear_identity(stream: Stream) -> PeerInfo:
    """Read to the end what the peer says of itself. Raises `PeerError`."""
    frames = FrameReader(frame_bytes_max=MESSAGE_BYTES_MAX)
    messages: list[bytes] = []
    while data := await stream.read(_READ_BYTES):
        messages += frames.feed(data)
        if len(messages) > MESSAGES_MAX:
            raise LimitExceeded("identify messages", limit=MESSAGES_MAX, asked=len(messages))
    if not messages or not frames.is_between_frames:
        raise PeerHungUp("the peer stopped identifying itself")
    info = PeerInfo.decode(b"".join(messages))
    _expect_key(info, stream.peer_id)
    return info


def _expect_key(info: PeerInfo, peer_id: PeerId) -> None:
    if info.public_key is not None and info.public_key.peer_id != peer_id:
        raise WrongIdentity(f"{peer_id} identifies itself as {info.public_key.peer_id}")


def _known_addresses(data: bytes) -> list[Multiaddr]:
    # Transports come faster than this table: an unknown one must not hide the known ones.
    try:
        return [Multiaddr.parse_bytes(data)]
    except PeerError:
        return []


def _text(data: bytes) -> str:
    if len(data) > _TEXT_BYTES_MAX:
        raise LimitExceeded("identify text bytes", limit=_TEXT_BYTES_MAX, asked=len(data))
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise MalformedBytes("identify", "text is not UTF-8") from None
