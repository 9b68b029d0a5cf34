"""Who a peer is: its public key, and the multihash of it (libp2p specs, `peer-ids.md`)."""

import hashlib
import os
from dataclasses import dataclass
from enum import IntEnum
from typing import Final, Self

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_der_public_key

from ipfs import multibase, protobuf
from ipfs.errors import MalformedBytes, PeerError

SEED_BYTES: Final = 32

_IDENTITY_PREFIX: Final = b"\x00"
_SHA256_PREFIX: Final = b"\x12\x20"
_LIBP2P_KEY_CID_PREFIX: Final = b"\x01\x72"
_INLINE_KEY_BYTES_MAX: Final = 42
_TEXT_CHARS_MAX: Final = 128
_RSA_BITS: Final = range(2048, 4096 + 1)


class BadSignature(PeerError):
    """The signature is not by that key over those bytes."""

    code = "bad-signature"


@dataclass(frozen=True, slots=True)
class PeerId:
    """The multihash of a public key: inlined if the key is at most 42 bytes, else SHA-256.

    Raises `MalformedBytes` for any other multihash.
    """

    multihash: bytes

    def __post_init__(self) -> None:
        digest = self.multihash[2:]
        is_hash = self.multihash[:2] == _SHA256_PREFIX and len(digest) == 32
        is_inline = (
            self.multihash[:1] == _IDENTITY_PREFIX
            and 0 < len(digest) <= _INLINE_KEY_BYTES_MAX
            and self.multihash[1] == len(digest)
        )
        if not is_hash and not is_inline:
            raise MalformedBytes("peer id", "neither SHA-256 nor an inline key")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read base58btc (`12D3Koo…`, `Qm…`) or the CIDv1 of a libp2p key in any base."""
        if len(text) > _TEXT_CHARS_MAX:
            raise MalformedBytes("peer id", "text too long")
        if text[:1] in ("1", "Q"):
            return cls(multibase.decode_base58(text))
        cid = multibase.decode(text)
        if cid[:2] != _LIBP2P_KEY_CID_PREFIX:
            raise MalformedBytes("peer id", "not the CID of a libp2p key")
        return cls(cid[2:])

    def __str__(self) -> str:
        return multibase.encode_base58(self.multihash)

    def __repr__(self) -> str:
        return f"PeerId({self})"

    def to_cid_text(self) -> str:
        """Return the base 36 CIDv1, the form of IPNS names."""
        return multibase.encode("k", _LIBP2P_KEY_CID_PREFIX + self.multihash)

    @property
    def public_key(self) -> "PublicKey | None":
        """The key itself where the id inlines it. Raises `MalformedBytes` if it is no key."""
        if self.multihash[:1] == _IDENTITY_PREFIX:
            return PublicKey.decode(self.multihash[2:])
        return None


class KeyType(IntEnum):
    """The key types that peers may have; ECDSA (3) is refused, as no peer we meet has it."""

    RSA = 0
    ED25519 = 1
    SECP256K1 = 2


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A peer's public key; `data` is raw for Ed25519, a compressed point or DER for the others.

    Raises `MalformedBytes` if the bytes are no key of that type; RSA must have 2048 to 4096 bits.
    """

    key_type: KeyType
    data: bytes

    def __post_init__(self) -> None:
        self._load()

    @classmethod
    def decode(cls, message: bytes) -> Self:
        """Read the protobuf form, which must be canonical: the peer id is a hash of it."""
        match list(protobuf.fields(message)):
            case [(1, protobuf.VARINT, int(number)), (2, protobuf.BYTES, bytes(data))]:
                if number not in {key_type.value for key_type in KeyType}:
                    raise MalformedBytes("public key", f"key type {number}")
                key = cls(KeyType(number), data)
            case _:
                raise MalformedBytes("public key", "not a type and data")
        if key.encode() != message:
            raise MalformedBytes("public key", "not canonical")
        return key

    def encode(self) -> bytes:
        """Return the protobuf form."""
        return protobuf.encode_varint_field(1, self.key_type) + protobuf.encode_bytes_field(
            2, self.data
        )

    @property
    def peer_id(self) -> PeerId:
        """The id of the peer that holds the private half."""
        message = self.encode()
        if len(message) <= _INLINE_KEY_BYTES_MAX:
            return PeerId(_IDENTITY_PREFIX + bytes([len(message)]) + message)
        return PeerId(_SHA256_PREFIX + hashlib.sha256(message).digest())

    def verify(self, message: bytes, signature: bytes) -> None:
        """Raise `BadSignature` unless the holder of the key signed `message`."""
        try:
            match self._load():
                case ed25519.Ed25519PublicKey() as key:
                    key.verify(signature, message)
                case ec.EllipticCurvePublicKey() as key:
                    key.verify(signature, message, ec.ECDSA(SHA256()))
                case rsa.RSAPublicKey() as key:
                    key.verify(signature, message, padding.PKCS1v15(), SHA256())
        except InvalidSignature:
            raise BadSignature(f"bad signature for {self.peer_id}") from None

    def _load(self) -> ed25519.Ed25519PublicKey | ec.EllipticCurvePublicKey | rsa.RSAPublicKey:
        try:
            match self.key_type:
                case KeyType.ED25519:
                    return ed25519.Ed25519PublicKey.from_public_bytes(self.data)
                case KeyType.SECP256K1:
                    if len(self.data) != 33:
                        raise MalformedBytes("public key", "not a compressed point")
                    return ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256K1(), self.data)
                case KeyType.RSA:
                    key = load_der_public_key(self.data)
        except (ValueError, UnsupportedAlgorithm) as error:
            raise MalformedBytes("public key", str(error)) from None
        if not isinstance(key, rsa.RSAPublicKey) or key.key_size not in _RSA_BITS:
            raise MalformedBytes("public key", "not RSA of 2048 to 4096 bits")
        return key


class Identity:
    """Our own Ed25519 key pair. The seed is the secret: it never shows in a repr or an error."""

    def __init__(self, private_key: ed25519.Ed25519PrivateKey) -> None:
        self._private_key = private_key
        public_bytes = private_key.public_key().public_bytes_raw()
        self.public_key = PublicKey(KeyType.ED25519, public_bytes)
        self.peer_id = self.public_key.peer_id

    @classmethod
    def from_seed(cls, seed: bytes) -> Self:
        """Return the identity of a 32-byte seed."""
        assert len(seed) == SEED_BYTES, "an Ed25519 seed has 32 bytes"
        return cls(ed25519.Ed25519PrivateKey.from_private_bytes(seed))

    @classmethod
    def generate(cls) -> Self:
        """Return a new identity from the system's randomness."""
        return cls.from_seed(os.urandom(SEED_BYTES))

    @property
    def seed(self) -> bytes:
        """The 32 secret bytes to keep, so that `from_seed` brings this identity back."""
        return self._private_key.private_bytes_raw()

    def sign(self, message: bytes) -> bytes:
        """Return the 64-byte signature."""
        return self._private_key.sign(message)

    def __repr__(self) -> str:
        return f"Identity({self.peer_id})"
