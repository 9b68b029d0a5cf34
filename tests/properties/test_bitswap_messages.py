import contextlib

from hypothesis import given
from hypothesis import strategies as st

from ipfs.bitswap.messages import PRIORITY_MAX, Message, Presence, PresenceType, Want, WantType
from ipfs.block import Block
from ipfs.cid import CID, Codec, HashCode
from ipfs.errors import PeerError

codecs = st.sampled_from(Codec)
contents = st.binary(max_size=100)
hashes = st.sampled_from(
    [HashCode.SHA2_256, HashCode.SHA2_512, HashCode.BLAKE2B_256, HashCode.IDENTITY, HashCode.SHA1]
)
cids = st.builds(
    lambda codec, data, code: CID.of(codec, data, hash_code=code), codecs, contents, hashes
) | st.builds(lambda data: CID.of(Codec.DAG_PB, data, version=0), contents)
blocks = st.builds(
    lambda codec, data, code: Block(CID.of(codec, data, hash_code=code), data),
    codecs,
    contents,
    hashes,
)
wants = st.builds(
    Want,
    cid=cids,
    priority=st.integers(0, PRIORITY_MAX),
    want_type=st.sampled_from(WantType),
    cancel=st.booleans(),
    send_dont_have=st.booleans(),
)
messages = st.builds(
    Message,
    wants=st.lists(wants, max_size=5).map(tuple),
    full=st.booleans(),
    blocks=st.lists(blocks, max_size=5).map(tuple),
    presences=st.lists(st.builds(Presence, cids, st.sampled_from(PresenceType)), max_size=5).map(
        tuple
    ),
    pending_bytes=st.integers(0, PRIORITY_MAX),
)


@given(messages)
def test_a_message_survives_the_wire(message: Message) -> None:
    assert Message.decode(message.encode()) == message


@given(st.binary(max_size=300))
def test_random_bytes_raise_nothing_but_a_peer_error(data: bytes) -> None:
    with contextlib.suppress(PeerError):
        Message.decode(data)


@given(messages, st.data())
def test_a_damaged_message_raises_nothing_but_a_peer_error(
    message: Message, data: st.DataObject
) -> None:
    encoded = bytearray(message.encode())
    for _ in range(data.draw(st.integers(1, 3)) if encoded else 0):
        at = data.draw(st.integers(0, len(encoded) - 1))
        encoded[at] = data.draw(st.integers(0, 255))
    with contextlib.suppress(PeerError):
        read = Message.decode(bytes(encoded))
        assert all(block.cid.matches(block.data) for block in read.blocks)
