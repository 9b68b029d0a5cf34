"""Every reader of a stranger's bytes, under the name that `hostile.json` gives its kind."""

import io
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from chain.deal import DealProposal
from ipfs import dag_cbor, dag_json, protobuf
from ipfs.bitswap.messages import MESSAGE_BYTES_MAX, Message, Presence, PresenceType, Want
from ipfs.block import Block
from ipfs.blockstore import BlockNotFound, MemoryBlockstore
from ipfs.car import CarReader, car_of, car_v2_of
from ipfs.cid import CID, Codec
from ipfs.dag_pb import PBLink, PBNode
from ipfs.errors import PeerError, PeerHungUp
from ipfs.framing import FrameReader
from ipfs.host import PeerAddress
from ipfs.ipns import IpnsRecord
from ipfs.kad import messages as kad
from ipfs.p2p.identify import PeerInfo
from ipfs.p2p.limits import DEFAULT_LIMITS
from ipfs.p2p.multiaddr import Multiaddr
from ipfs.p2p.multistream import Dialer, Listener, encode_line
from ipfs.p2p.noise import NoiseHandshake, XXHandshake
from ipfs.p2p.peer_id import BadSignature, Identity, PeerId, PublicKey
from ipfs.p2p.yamux import YamuxSession
from ipfs.plan import run
from ipfs.unixfs.importer import import_file
from ipfs.unixfs.node import Shard, read_node
from ipfs.unixfs.tree import entries_of
from market.messages import DealRequest
from tests.support.market import deal_proposal, proposed

IDENTITY: Final = Identity.from_seed(bytes(32))
STATIC: Final = X25519PrivateKey.from_private_bytes(bytes(range(32)))
EPHEMERAL: Final = X25519PrivateKey.from_private_bytes(bytes(range(1, 33)))


@dataclass(frozen=True, slots=True)
class Border:
    """One reader of a stranger's bytes.

    sample:  what it takes, for a search to begin from
    write:   of a format in which a value has one encoding, the writer
    frame_bytes_max:  of what its stream is cut into; None where bytes are read as they come
    """

    read: Callable[[bytes], Any]
    sample: bytes
    write: Callable[[Any], bytes] | None = None
    frame_bytes_max: int | None = None

    def answers(self, data: bytes) -> None:
        """Read; a stranger's fault is an answer, anything else that rises is a bug of ours."""
        try:
            value = self.read(data)
        except (PeerError, BlockNotFound):
            return
        assert self.write is None or self.write(value) == data, "two encodings of one value"

    def frames(self, data: bytes) -> Iterator[bytes]:
        """Return what `read` is given of bytes that come over a stream."""
        if self.frame_bytes_max is None:
            return iter((data,))
        return FrameReader(frame_bytes_max=self.frame_bytes_max).feed(data)


def read_text(parse: Callable[[str], object]) -> Callable[[bytes], object]:
    """Return a reader of text as the command line gives it, with what is no UTF-8 in it."""

    def read(data: bytes) -> object:
        value = parse(data.decode(errors="surrogateescape"))
        assert parse(str(value)) == value, "its own text is read as something else"
        return value

    return read


def read_unixfs(data: bytes) -> object:
    """Read a node; of a sharded directory also its entries, as far as one block has them."""
    node = read_node(Block.of(Codec.DAG_PB, data))
    if isinstance(node, Shard):
        return run(entries_of(node), MemoryBlockstore().get)
    return node


def read_car(data: bytes) -> object:
    """Read all blocks."""
    return list(CarReader(io.BytesIO(data)))


def read_ipns(data: bytes) -> object:
    """Read a record, and believe it if its owner signed it."""
    record = IpnsRecord.decode(data)
    record.verify(IDENTITY.peer_id, now_ns=0)
    return record.path


def read_kad_response(data: bytes) -> object:
    """Read an answer to a search for a value, which may also tell peers."""
    return kad.decode_response(data, kad.GetValue(b"/ipns/key"))


def read_public_key(data: bytes) -> None:
    """Read a key, and have it judge a signature."""
    key = PublicKey.decode(data)
    with suppress(BadSignature):
        key.verify(b"message", data)


def read_multistream(data: bytes) -> None:
    """Hear the bytes from either end of a negotiation."""
    Listener(["/ipfs/ping/1.0.0"]).receive(data)
    Dialer(["/ipfs/ping/1.0.0", "/ipfs/id/1.0.0"]).receive(data)


def read_noise(data: bytes) -> object:
    """Hear a payload that a stranger sealed as it should, and so nothing but itself is wrong."""
    server = _noise_server()
    client = XXHandshake(is_initiator=True, static=STATIC, ephemeral=EPHEMERAL)
    client.read(server.receive(_noise_message(client.write(b"")))[2:])
    server.receive(_noise_message(client.write(data[:60_000])))
    return server.peer_id


def read_noise_message(data: bytes) -> None:
    """Hear the bytes as a stranger's first."""
    _noise_server().receive(data)


def read_yamux(data: bytes) -> None:
    """Hear frames in two pieces, read all that they bring, and say what is to be said."""
    session = YamuxSession(is_client=False, limits=DEFAULT_LIMITS)
    for piece in (data[: len(data) // 2], data[len(data) // 2 :]):
        for stream in session.receive(piece).changed:
            with suppress(PeerHungUp):
                session.read(stream, 1 << 16)
        assert session.held_bytes == sum(len(stream.unread) for stream in session.streams)
    while session.take_outgoing():
        pass


def _noise_server() -> NoiseHandshake:
    return NoiseHandshake(IDENTITY, is_initiator=False, static=STATIC, ephemeral=EPHEMERAL)


def _noise_message(message: bytes) -> bytes:
    return len(message).to_bytes(2) + message


def _noise_payload() -> bytes:
    """Return what the owner of both keys says in its handshake."""
    signed = b"noise-libp2p-static-key:" + STATIC.public_key().public_bytes_raw()
    return protobuf.encode_bytes_field(
        1, IDENTITY.public_key.encode()
    ) + protobuf.encode_bytes_field(2, IDENTITY.sign(signed))


_LEAF: Final = Block.of(Codec.RAW, b"leaf")
_ADDRESS: Final = Multiaddr.parse("/ip4/127.0.0.1/tcp/4001")
_PEER: Final = PeerAddress(IDENTITY.peer_id, (_ADDRESS,))
_NODE: Final = PBNode((PBLink(_LEAF.cid, "a", 4),), b"\x08\x01")


def _car(version: int) -> bytes:
    store = MemoryBlockstore()
    root = import_file(io.BytesIO(b"a small file"), store).cid
    return b"".join((car_of if version == 1 else car_v2_of)(store, root))


BORDERS: Final[Mapping[str, Border]] = {
    "cid-bytes": Border(CID.decode, _LEAF.cid.encode(), CID.encode),
    "cid-text": Border(read_text(CID.parse), str(_LEAF.cid).encode()),
    "dag-cbor": Border(
        dag_cbor.decode,
        dag_cbor.encode({"a": [1, -1, 0.5, None, True, b"b", _LEAF.cid]}),
        dag_cbor.encode,
    ),
    "dag-json": Border(
        dag_json.decode,
        dag_json.encode({"a": [1, -1, 0.5, None, True, b"b", _LEAF.cid]}),
        dag_json.encode,
    ),
    "dag-pb": Border(PBNode.decode, _NODE.encode(), PBNode.encode),
    "unixfs": Border(read_unixfs, _NODE.encode()),
    "car": Border(read_car, _car(1)),
    "car-v2": Border(read_car, _car(2)),
    "ipns": Border(
        read_ipns,
        IpnsRecord.create(
            IDENTITY, "/ipfs/bafkqaaa", sequence=1, validity="2100-01-01T00:00:00.000000000Z"
        ).encode(),
    ),
    "bitswap": Border(
        Message.decode,
        Message(
            wants=(Want(_LEAF.cid, send_dont_have=True), Want(_LEAF.cid, cancel=True)),
            full=True,
            blocks=(_LEAF,),
            presences=(Presence(_LEAF.cid, PresenceType.HAVE),),
            pending_bytes=1,
        ).encode(),
        frame_bytes_max=MESSAGE_BYTES_MAX,
    ),
    "kad": Border(
        kad.decode_request,
        kad.encode_request(kad.AddProvider(_LEAF.cid.multihash, (_PEER,))),
        frame_bytes_max=kad.MESSAGE_BYTES_MAX,
    ),
    "kad-response": Border(
        read_kad_response,
        kad.Response(
            kad.MessageType.GET_VALUE,
            (_PEER,),
            (_PEER,),
            kad.ValueRecord(b"/ipns/key", b"value"),
        ).encode(),
    ),
    "identify": Border(
        PeerInfo.decode,
        PeerInfo(
            IDENTITY.public_key, (_ADDRESS,), ("/ipfs/ping/1.0.0",), _ADDRESS, "ipfs/0.1.0", "agent"
        ).encode(),
    ),
    "multiaddr": Border(
        Multiaddr.parse_bytes, _ADDRESS.with_peer_id(IDENTITY.peer_id).encode(), Multiaddr.encode
    ),
    "multiaddr-text": Border(
        read_text(Multiaddr.parse), str(_ADDRESS.with_peer_id(IDENTITY.peer_id)).encode()
    ),
    "peer-id-text": Border(read_text(PeerId.parse), IDENTITY.peer_id.to_cid_text().encode()),
    "public-key": Border(read_public_key, IDENTITY.public_key.encode()),
    "multistream": Border(
        read_multistream, encode_line("/multistream/1.0.0") + encode_line("/ipfs/ping/1.0.0")
    ),
    "noise": Border(read_noise, _noise_payload()),
    "noise-message": Border(read_noise_message, _noise_message(bytes(range(32)))),
    "yamux": Border(
        read_yamux,
        bytes.fromhex("000100010000000100000000000000000000000100000003616263"),
    ),
    "deal": Border(DealProposal.decode, deal_proposal().encode(), DealProposal.encode),
    "deal-request": Border(
        DealRequest.decode, DealRequest(body=proposed()).encode(), DealRequest.encode
    ),
}
