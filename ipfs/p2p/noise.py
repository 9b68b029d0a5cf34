"""Noise_XX_25519_ChaChaPoly_SHA256 with libp2p's payload (noiseprotocol.org rev. 34; libp2p
specs, `noise/README.md`): who the peer is, then a sealed stream of bytes.

    initiator  e ──▶                    ──▶ s, se, payload
    responder        ◀── e, ee, s, es, payload
"""

import hmac
from hashlib import sha256
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from ipfs import protobuf
from ipfs.errors import OutOfTurn, PeerError
from ipfs.p2p.peer_id import Identity, PeerId, PublicKey

MESSAGE_BYTES_MAX: Final = 65535
TAG_BYTES: Final = 16
PAYLOAD_BYTES_MAX: Final = MESSAGE_BYTES_MAX - TAG_BYTES

_PROTOCOL_NAME: Final = b"Noise_XX_25519_ChaChaPoly_SHA256"
_SIGNED_PREFIX: Final = b"noise-libp2p-static-key:"
_KEY_BYTES: Final = 32
_LENGTH_BYTES: Final = 2
_PATTERN: Final = (("e",), ("e", "ee", "s", "es"), ("s", "se"))


class NoiseRejected(PeerError):
    """The bytes were not sealed by the peer of this handshake, or it is no Noise at all."""

    code = "noise-rejected"


class WrongPeer(PeerError):
    """Somebody else than the peer we dialled lives there."""

    code = "wrong-peer"

    def __init__(self, *, expected: PeerId, actual: PeerId) -> None:
        super().__init__(f"expected {expected}, found {actual}")
        self.expected = expected
        self.actual = actual


class CipherState:
    """One key and its message counter."""

    def __init__(self, key: bytes) -> None:
        self._cipher = ChaCha20Poly1305(key)
        self._count = 0

    def encrypt(self, plaintext: bytes | memoryview, associated: bytes = b"") -> bytes:
        """Seal the next message."""
        return self._cipher.encrypt(self._next_nonce(), plaintext, associated)

    def decrypt(self, ciphertext: bytes | memoryview, associated: bytes = b"") -> bytes:
        """Open the next message. Raises `NoiseRejected`."""
        try:
            return self._cipher.decrypt(self._next_nonce(), ciphertext, associated)
        except InvalidTag:
            raise NoiseRejected("a message does not open") from None

    def _next_nonce(self) -> bytes:
        nonce = bytes(4) + self._count.to_bytes(8, "little")
        self._count += 1
        return nonce


class XXHandshake:
    """The XX pattern alone: three messages, each side's static key proven to the other.

    `write` and `read` alternate, initiator first; after the third, `split` gives the two ciphers.
    """

    def __init__(
        self,
        *,
        is_initiator: bool,
        static: X25519PrivateKey,
        ephemeral: X25519PrivateKey,
        prologue: bytes = b"",
    ) -> None:
        self._is_initiator = is_initiator
        self._static = static
        self._ephemeral = ephemeral
        self._remote_ephemeral = b""
        self.remote_static = b""
        self._chaining_key = _PROTOCOL_NAME
        self._hash = sha256(_PROTOCOL_NAME + prologue).digest()
        self._cipher: CipherState | None = None
        self._messages_count = 0

    @property
    def is_finished(self) -> bool:
        """Whether all three messages were exchanged."""
        return self._messages_count == len(_PATTERN)

    @property
    def is_our_turn(self) -> bool:
        """Whether `write` comes next."""
        return not self.is_finished and (self._messages_count % 2 == 0) == self._is_initiator

    def write(self, payload: bytes) -> bytes:
        """Return the next message of ours."""
        assert self.is_our_turn, "messages alternate"
        out = b""
        for step in _PATTERN[self._messages_count]:
            if step == "e":
                key = self._ephemeral.public_key().public_bytes_raw()
                self._mix_hash(key)
                out += key
            elif step == "s":
                out += self._encrypt(self._static.public_key().public_bytes_raw())
            else:
                self._mix_secret(step)
        self._messages_count += 1
        return out + self._encrypt(payload)

    def read(self, message: bytes) -> bytes:
        """Take the peer's next message, return its payload. Raises `PeerError`."""
        if self.is_finished or self.is_our_turn:
            raise OutOfTurn("noise: messages alternate")
        for step in _PATTERN[self._messages_count]:
            if step == "e":
                key, message = _cut(message, _KEY_BYTES)
                self._mix_hash(key)
                self._remote_ephemeral = key
            elif step == "s":
                sealed, message = _cut(message, _KEY_BYTES + TAG_BYTES)
                self.remote_static = self._decrypt(sealed)
            else:
                self._mix_secret(step)
        payload = self._decrypt(message)
        self._messages_count += 1
        return payload

    def split(self) -> tuple[CipherState, CipherState]:
        """Return the ciphers to send and to receive with."""
        assert self.is_finished, "keys are ready after the third message"
        first, second = (CipherState(key) for key in _derive(self._chaining_key, b""))
        return (first, second) if self._is_initiator else (second, first)

    def _mix_hash(self, data: bytes) -> None:
        self._hash = sha256(self._hash + data).digest()

    def _mix_secret(self, step: str) -> None:
        # "es" is the initiator's ephemeral with the responder's static key, "se" the reverse.
        is_ours_static = step == ("se" if self._is_initiator else "es")
        is_theirs_static = step == ("es" if self._is_initiator else "se")
        ours = self._static if is_ours_static else self._ephemeral
        theirs = self.remote_static if is_theirs_static else self._remote_ephemeral
        try:
            secret = ours.exchange(X25519PublicKey.from_public_bytes(theirs))
        except ValueError:
            raise NoiseRejected("a key of low order") from None
        self._chaining_key, key = _derive(self._chaining_key, secret)
        self._cipher = CipherState(key)

    def _encrypt(self, plaintext: bytes) -> bytes:
        ciphertext = self._cipher.encrypt(plaintext, self._hash) if self._cipher else plaintext
        self._mix_hash(ciphertext)
        return ciphertext

    def _decrypt(self, ciphertext: bytes) -> bytes:
        plaintext = self._cipher.decrypt(ciphertext, self._hash) if self._cipher else ciphertext
        self._mix_hash(ciphertext)
        return plaintext


class NoiseHandshake:
    """libp2p's use of XX: the payloads prove that an identity owns the static key.

    Feed it bytes until `is_finished`; `peer_id` is then proven, and `rest` came after.
    """

    def __init__(
        self,
        identity: Identity,
        *,
        is_initiator: bool,
        expected_peer: PeerId | None = None,
        static: X25519PrivateKey | None = None,
        ephemeral: X25519PrivateKey | None = None,
    ) -> None:
        static = static or X25519PrivateKey.generate()
        static_key = static.public_key().public_bytes_raw()
        self._pattern = XXHandshake(
            is_initiator=is_initiator,
            static=static,
            ephemeral=ephemeral or X25519PrivateKey.generate(),
        )
        self._payload = protobuf.encode_bytes_field(
            1, identity.public_key.encode()
        ) + protobuf.encode_bytes_field(2, identity.sign(_SIGNED_PREFIX + static_key))
        self._expected_peer = expected_peer
        self._buffer = bytearray()
        self._peer_id: PeerId | None = None
        self._channel: NoiseChannel | None = None
        self.rest = b""

    @property
    def is_finished(self) -> bool:
        """Whether both sides are proven and the channel is open."""
        return self._channel is not None

    @property
    def channel(self) -> "NoiseChannel":
        """The sealed stream that follows the handshake."""
        assert self._channel is not None, "there is no channel before the end"
        return self._channel

    @property
    def peer_id(self) -> PeerId:
        """Who is on the other side."""
        assert self._peer_id is not None, "nobody is proven before the end"
        return self._peer_id

    def start(self) -> bytes:
        """Return the initiator's first message; its payload is empty, as nothing is sealed yet."""
        return _frame(self._pattern.write(b""))

    def receive(self, data: bytes) -> bytes:
        """Take the peer's bytes, return ours. Raises `PeerError`."""
        assert not self.is_finished, "bytes after the handshake belong to the channel"
        self._buffer += data
        out = b""
        while not self.is_finished and (message := self._take_message()) is not None:
            payload = self._pattern.read(message)
            if self._pattern.remote_static:
                self._identify(payload)
            if self._pattern.is_our_turn:
                out += _frame(self._pattern.write(self._payload))
            if self._pattern.is_finished:
                sending, receiving = self._pattern.split()
                self._channel = NoiseChannel(sending, receiving)
                self.rest = bytes(self._buffer)
        return out

    def _take_message(self) -> bytes | None:
        end = 2 + int.from_bytes(self._buffer[:2])
        if len(self._buffer) < max(2, end):
            return None
        message = bytes(self._buffer[2:end])
        del self._buffer[:end]
        return message

    def _identify(self, payload: bytes) -> None:
        values: dict[int, bytes] = {}
        for number, _, value in protobuf.fields(payload):
            if number in (1, 2):
                values[number] = protobuf.expect_bytes(value, "noise payload")
        if values.keys() != {1, 2}:
            raise NoiseRejected("the payload lacks an identity or its signature")
        key = PublicKey.decode(values[1])
        key.verify(_SIGNED_PREFIX + self._pattern.remote_static, values[2])
        if self._expected_peer is not None and self._expected_peer != key.peer_id:
            raise WrongPeer(expected=self._expected_peer, actual=key.peer_id)
        self._peer_id = key.peer_id


class NoiseChannel:
    """The sealed stream after the handshake: messages of at most 65,535 bytes, length first."""

    def __init__(self, sending: CipherState, receiving: CipherState) -> None:
        self._sending = sending
        self._receiving = receiving
        self._partial = bytearray()

    def encrypt(self, plaintext: bytes) -> bytes:
        """Return `plaintext` as as few messages as hold it."""
        return b"".join(self.seal(plaintext))

    def seal(self, plaintext: bytes | memoryview) -> list[bytes]:
        """Return what `encrypt` does in pieces, for whoever joins them with others."""
        view = memoryview(plaintext)
        pieces: list[bytes] = []
        for start in range(0, len(view), PAYLOAD_BYTES_MAX):
            chunk = view[start : start + PAYLOAD_BYTES_MAX]
            pieces += (
                (len(chunk) + TAG_BYTES).to_bytes(_LENGTH_BYTES),
                self._sending.encrypt(chunk),
            )
        return pieces

    def decrypt(self, data: bytes | memoryview) -> list[bytes]:
        """Return the plaintext of each message that `data` completes. Raises `NoiseRejected`.

        `data` may be overwritten afterwards.
        """
        view = memoryview(data)
        out: list[bytes] = []
        if self._partial:
            # Only a message that was cut between two calls is put together.
            start = self._partial[:_LENGTH_BYTES] + view[:_LENGTH_BYTES]
            missing_bytes = _message_bytes(start) - len(self._partial)
            self._partial += view[:missing_bytes]
            if len(view) < missing_bytes:
                return out
            out.append(self._open(memoryview(self._partial)))
            self._partial = bytearray()
            view = view[missing_bytes:]
        while len(view) >= (size_bytes := _message_bytes(view)):
            out.append(self._open(view[:size_bytes]))
            view = view[size_bytes:]
        self._partial += view
        return out

    def _open(self, message: memoryview) -> bytes:
        return self._receiving.decrypt(message[_LENGTH_BYTES:])


def _message_bytes(start: bytes | bytearray | memoryview) -> int:
    """Return the size of the message that starts so; while its length is cut, that length."""
    is_length_whole = len(start) >= _LENGTH_BYTES
    return _LENGTH_BYTES + (int.from_bytes(start[:_LENGTH_BYTES]) if is_length_whole else 0)


def _derive(chaining_key: bytes, secret: bytes) -> tuple[bytes, bytes]:
    key = hmac.digest(chaining_key, secret, "sha256")
    first = hmac.digest(key, b"\x01", "sha256")
    return first, hmac.digest(key, first + b"\x02", "sha256")


def _frame(message: bytes) -> bytes:
    return len(message).to_bytes(2) + message


def _cut(message: bytes, size_bytes: int) -> tuple[bytes, bytes]:
    if len(message) < size_bytes:
        raise NoiseRejected("a handshake message is too short")
    return message[:size_bytes], message[size_bytes:]
