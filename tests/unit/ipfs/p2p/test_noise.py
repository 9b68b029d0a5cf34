"""Noise XX against the pattern's published vectors, and libp2p's payload against impostors."""

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from ipfs import protobuf
from ipfs.errors import OutOfTurn, PeerError
from ipfs.p2p.noise import (
    PAYLOAD_BYTES_MAX,
    NoiseHandshake,
    NoiseRejected,
    WrongPeer,
    XXHandshake,
)
from ipfs.p2p.peer_id import BadSignature, Identity

ALICE, BOB, MALLORY = (Identity.from_seed(bytes([number]) * 32) for number in (1, 2, 3))

# flynn/noise `vectors.txt`: Noise_XX_25519_ChaChaPoly_SHA256, keys of consecutive bytes.
KEYS = {
    "initiator static": bytes(range(0x20)),
    "responder static": bytes(range(0x01, 0x21)),
    "initiator ephemeral": bytes(range(0x20, 0x40)),
    "responder ephemeral": bytes(range(0x41, 0x61)),
}
VECTORS = {
    b"": [
        (
            b"test_msg_0",
            "358072d6365880d1aeea329adf9121383851ed21a28e3b75e965d0d2cd166254746573745f6d73675f30",
        ),
        (
            b"test_msg_1",
            "64b101b1d0be5a8704bd078f9895001fc03e8e9f9522f188dd128d9846d48466"
            "3414af878d3e46a2f58911a816d6e8346d4ea17a6f2a0bb4ef4ed56c133cff45"
            "72e7a2ba5123ac30618b3d205f5c2d17f50cbca216483ac56bcc78e33bf52030"
            "3278db641e5e731b2e3a",
        ),
        (
            b"test_msg_2",
            "87f864c11ba449f46a0a4f4e2eacbb7b0457784f4fca1937f572c93603e9c4d9"
            "f27e318e43ba630594c4d08eeb3b36d97c7377a2f4f9144b2f0c8095ad921405"
            "05b2ab53eff244b14138",
        ),
        (b"yellowsubmarine", "a52ef02ba60e12696d1d6b9ef4245c88fca757b6134ad6e76b56e310a6adf6"),
        (b"submarineyellow", "2445aa438ebd649281c636cc7269ca82f1d9023d72520943aeabf909cdf521"),
    ],
    b"notsecret": [
        (b"", "358072d6365880d1aeea329adf9121383851ed21a28e3b75e965d0d2cd166254"),
        (
            b"",
            "64b101b1d0be5a8704bd078f9895001fc03e8e9f9522f188dd128d9846d48466"
            "3414af878d3e46a2f58911a816d6e8346d4ea17a6f2a0bb4ef4ed56c133cff45"
            "88f043d1e49a3289b1beeab8f96b0551a48cddf9f38b1a12e46c6908644198f3",
        ),
        (
            b"",
            "87f864c11ba449f46a0a4f4e2eacbb7b0457784f4fca1937f572c93603e9c4d9"
            "5a04fa1f1c41fb3f00d496f242c1e44ce5b749b3d54bf74cea2dad086d601fb6",
        ),
        (b"yellowsubmarine", "a52ef02ba60e12696d1d6b9ef4245c88fca757b6134ad6e76b56e310a6adf6"),
        (b"submarineyellow", "2445aa438ebd649281c636cc7269ca82f1d9023d72520943aeabf909cdf521"),
    ],
}


def key(name: str) -> X25519PrivateKey:
    return X25519PrivateKey.from_private_bytes(KEYS[name])


@pytest.mark.parametrize("prologue", VECTORS)
def test_the_pattern_gives_the_published_messages(prologue: bytes) -> None:
    initiator, responder = (
        XXHandshake(
            is_initiator=role == "initiator",
            static=key(f"{role} static"),
            ephemeral=key(f"{role} ephemeral"),
            prologue=prologue,
        )
        for role in ("initiator", "responder")
    )
    messages = [(payload, bytes.fromhex(sealed)) for payload, sealed in VECTORS[prologue]]
    turns = [(initiator, responder), (responder, initiator), (initiator, responder)]
    for (writer, reader), (payload, sealed) in zip(turns, messages, strict=False):
        assert writer.write(payload) == sealed
        assert reader.read(sealed) == payload
    (sending, receiving), (payload, sealed), (answer, sealed_answer) = (
        initiator.split(),
        *messages[3:],
    )
    assert sending.encrypt(payload) == sealed
    assert receiving.decrypt(sealed_answer) == answer
    assert initiator.remote_static == key("responder static").public_key().public_bytes_raw()


def test_a_peer_other_than_the_one_dialled_is_refused() -> None:
    alice = NoiseHandshake(ALICE, is_initiator=True, expected_peer=BOB.peer_id)
    mallory = NoiseHandshake(MALLORY, is_initiator=False)
    with pytest.raises(WrongPeer) as caught:
        alice.receive(mallory.receive(alice.start()))
    assert (caught.value.expected, caught.value.actual) == (BOB.peer_id, MALLORY.peer_id)


class _Impostor(Identity):
    """Claims a public key, and signs with its own."""

    def __init__(self, victim: Identity) -> None:
        self._signer = MALLORY
        self.public_key = victim.public_key
        self.peer_id = victim.peer_id

    def sign(self, message: bytes) -> bytes:
        return self._signer.sign(message)


def test_an_identity_that_did_not_sign_the_static_key_is_refused() -> None:
    alice = NoiseHandshake(ALICE, is_initiator=True, expected_peer=BOB.peer_id)
    impostor = NoiseHandshake(_Impostor(BOB), is_initiator=False)
    with pytest.raises(BadSignature):
        alice.receive(impostor.receive(alice.start()))


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        protobuf.encode_bytes_field(1, BOB.public_key.encode()),
        protobuf.encode_varint_field(1, 7) + protobuf.encode_bytes_field(2, b"signature"),
        b"\xff" * 40,
    ],
    ids=["empty", "unsigned", "number for a key", "no protobuf"],
)
def test_a_payload_that_proves_nothing_is_refused(payload: bytes) -> None:
    alice = NoiseHandshake(ALICE, is_initiator=True)
    bob = XXHandshake(
        is_initiator=False,
        static=X25519PrivateKey.generate(),
        ephemeral=X25519PrivateKey.generate(),
    )
    bob.read(alice.start()[2:])
    message = bob.write(payload)
    with pytest.raises(PeerError):
        alice.receive(len(message).to_bytes(2) + message)


def test_a_payload_may_say_more_than_we_read() -> None:
    static = X25519PrivateKey.generate()
    signed = b"noise-libp2p-static-key:" + static.public_key().public_bytes_raw()
    bob = XXHandshake(is_initiator=False, static=static, ephemeral=X25519PrivateKey.generate())
    alice = NoiseHandshake(ALICE, is_initiator=True, expected_peer=BOB.peer_id)
    bob.read(alice.start()[2:])
    muxers = protobuf.encode_bytes_field(2, b"/yamux/1.0.0")
    message = bob.write(
        protobuf.encode_bytes_field(1, BOB.public_key.encode())
        + protobuf.encode_bytes_field(2, BOB.sign(signed))
        + protobuf.encode_bytes_field(4, muxers)
    )
    alice.receive(len(message).to_bytes(2) + message)
    assert alice.peer_id == BOB.peer_id


def test_a_key_of_low_order_is_refused() -> None:
    bob = NoiseHandshake(BOB, is_initiator=False)
    with pytest.raises(NoiseRejected):
        bob.receive((32).to_bytes(2) + bytes(32))


@pytest.mark.parametrize("message", [b"", b"e" * 31])
def test_a_message_too_short_for_its_keys_is_refused(message: bytes) -> None:
    bob = NoiseHandshake(BOB, is_initiator=False)
    with pytest.raises(NoiseRejected):
        bob.receive(len(message).to_bytes(2) + message)


def test_a_peer_that_speaks_out_of_turn_is_refused() -> None:
    alice = NoiseHandshake(ALICE, is_initiator=True)
    with pytest.raises(OutOfTurn):
        alice.receive((2).to_bytes(2) + b"hi")


def test_a_message_is_as_long_as_noise_allows() -> None:
    alice = NoiseHandshake(ALICE, is_initiator=True)
    bob = NoiseHandshake(BOB, is_initiator=False)
    bob.receive(alice.receive(bob.receive(alice.start())))
    wire = alice.channel.encrypt(bytes(PAYLOAD_BYTES_MAX + 1))
    assert wire[:2] == b"\xff\xff"
    assert len(wire) == 2 + 65535 + 2 + 1 + 16
    assert b"".join(bob.channel.decrypt(wire)) == bytes(PAYLOAD_BYTES_MAX + 1)


@pytest.mark.parametrize("size_bytes", [0, 1, 15, 16, 40])
def test_a_sealed_message_of_nobody_is_refused(size_bytes: int) -> None:
    alice = NoiseHandshake(ALICE, is_initiator=True)
    bob = NoiseHandshake(BOB, is_initiator=False)
    bob.receive(alice.receive(bob.receive(alice.start())))
    with pytest.raises(NoiseRejected):
        bob.channel.decrypt(size_bytes.to_bytes(2) + bytes(size_bytes))
