"""CIDs: what a block is called (multiformats/cid), piece and replica commitments included."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache
from typing import Any, Final, Self

from pydantic import GetCoreSchemaHandler
from pydantic_core import core_schema

from ipfs import multibase, varint
from ipfs.errors import MalformedBytes


class Codec(IntEnum):
    """What the bytes behind a CID are (multiformats/multicodec table)."""

    RAW = 0x55
    DAG_PB = 0x70
    DAG_CBOR = 0x71
    LIBP2P_KEY = 0x72
    DAG_JSON = 0x0129
    FIL_COMMITMENT_UNSEALED = 0xF101
    FIL_COMMITMENT_SEALED = 0xF102


class HashCode(IntEnum):
    """Which function a multihash names (multiformats/multicodec table)."""

    IDENTITY = 0x00
    SHA1 = 0x11
    SHA2_256 = 0x12
    SHA2_512 = 0x13
    SHA3_512 = 0x14
    SHA3_384 = 0x15
    SHA3_256 = 0x16
    SHA3_224 = 0x17
    KECCAK_256 = 0x1B
    DBL_SHA2_256 = 0x56
    FR32_SHA2_256_TRUNC254_PADDED_BINARY_TREE = 0x1011
    SHA2_256_TRUNC254_PADDED = 0x1012
    BLAKE2B_256 = 0xB220
    POSEIDON_BLS12_381_A2_FC1 = 0xB401


class UnknownHash(MalformedBytes):
    """The CID names a hash function that nobody here knows: it may be right, but is of no use."""

    code = "unknown-hash"


_DIGEST_BYTES: Final[dict[int, int]] = {
    HashCode.SHA1: 20,
    HashCode.SHA2_256: 32,
    HashCode.SHA2_512: 64,
    HashCode.SHA3_512: 64,
    HashCode.SHA3_384: 48,
    HashCode.SHA3_256: 32,
    HashCode.SHA3_224: 28,
    HashCode.KECCAK_256: 32,
    HashCode.DBL_SHA2_256: 32,
    HashCode.SHA2_256_TRUNC254_PADDED: 32,
    HashCode.BLAKE2B_256: 32,
    HashCode.POSEIDON_BLS12_381_A2_FC1: 32,
}
_DIGEST_OF: Final[dict[int, Callable[[bytes], bytes]]] = {
    HashCode.IDENTITY: lambda data: data,
    HashCode.SHA1: lambda data: hashlib.sha1(data, usedforsecurity=False).digest(),
    HashCode.SHA2_256: lambda data: hashlib.sha256(data).digest(),
    HashCode.SHA2_512: lambda data: hashlib.sha512(data).digest(),
    HashCode.SHA3_512: lambda data: hashlib.sha3_512(data).digest(),
    HashCode.SHA3_384: lambda data: hashlib.sha3_384(data).digest(),
    HashCode.SHA3_256: lambda data: hashlib.sha3_256(data).digest(),
    HashCode.SHA3_224: lambda data: hashlib.sha3_224(data).digest(),
    HashCode.DBL_SHA2_256: lambda data: hashlib.sha256(hashlib.sha256(data).digest()).digest(),
    HashCode.BLAKE2B_256: lambda data: hashlib.blake2b(data, digest_size=32).digest(),
}
DIGEST_BYTES_MAX: Final = 128
"""Also the bound of an identity CID (boxo `verifcid`)."""

_HASH_CODES: Final = frozenset(int(code) for code in HashCode)

_V0_PREFIX: Final = bytes((HashCode.SHA2_256, 32))
_V0_BYTES: Final = 34
_ONE_BYTE_CODECS: Final = range(0x80)


@dataclass(frozen=True, slots=True, order=True)
class CID:
    """A content identifier: version, codec and multihash, checked when made.

    multihash:  varint hash code, varint length, digest
    Raises `MalformedBytes` for what is no CID, `UnknownHash` for a hash that nobody here knows.
    """

    version: int
    codec: int
    multihash: bytes

    def __post_init__(self) -> None:
        if self._is_plain_sha2_256():
            return
        code, length_at = varint.decode(self.multihash)
        length, digest_at = varint.decode(self.multihash, length_at)
        if length > DIGEST_BYTES_MAX or length != len(self.multihash) - digest_at:
            raise MalformedBytes("CID", "digest length")
        if code not in _HASH_CODES:
            raise UnknownHash("CID", f"unknown hash function {code:#x}")
        if length != _DIGEST_BYTES.get(code, length):
            raise MalformedBytes("CID", "digest length does not fit its function")
        if self.version == 0:
            if self.codec != Codec.DAG_PB or not self.multihash.startswith(_V0_PREFIX):
                raise MalformedBytes("CID", "version 0 is dag-pb over sha2-256")
        elif self.version != 1:
            raise MalformedBytes("CID", f"version {self.version}")

    def _is_plain_sha2_256(self) -> bool:
        """Whether it is valid at a glance, as nearly every CID is; the other checks cost more."""
        return (
            len(self.multihash) == _V0_BYTES
            and self.multihash.startswith(_V0_PREFIX)
            and (self.version == 1 or (self.version == 0 and self.codec == Codec.DAG_PB))
        )

    @classmethod
    def of(
        cls, codec: int, data: bytes, *, version: int = 1, hash_code: int = HashCode.SHA2_256
    ) -> Self:
        """Return the CID of a block's bytes.

        Raises `MalformedBytes` if the hash can't be computed here, or version 0 doesn't allow it.
        """
        digest_of = _DIGEST_OF.get(hash_code)
        if digest_of is None:
            raise MalformedBytes("CID", f"hash function {hash_code:#x} can't be computed here")
        digest = digest_of(data)
        return cls(version, codec, varint.encode(hash_code) + varint.encode(len(digest)) + digest)

    @classmethod
    def from_digest(cls, codec: int, hash_code: int, digest: bytes) -> Self:
        """Return the version 1 CID around a digest that is already known."""
        return cls(1, codec, varint.encode(hash_code) + varint.encode(len(digest)) + digest)

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Return the CID that the bytes are, all of them. Raises `MalformedBytes`."""
        cid, end = cls.decode_prefix(data)
        if end != len(data):
            raise MalformedBytes("CID", "trailing bytes")
        return cid

    @classmethod
    def decode_prefix(cls, data: bytes | memoryview, offset: int = 0) -> tuple[Self, int]:
        """Return the CID at `offset` and the offset after it. Raises `MalformedBytes`."""
        if bytes(data[offset : offset + 2]) == _V0_PREFIX:
            end = offset + _V0_BYTES
            return cls(0, Codec.DAG_PB, bytes(data[offset:end])), end
        if (
            data[offset : offset + 1] == b"\1"
            and bytes(data[offset + 2 : offset + 4]) == _V0_PREFIX
        ):
            codec, multihash_at = data[offset + 1], offset + 2
            if codec in _ONE_BYTE_CODECS:
                end = multihash_at + _V0_BYTES
                return cls(1, codec, bytes(data[multihash_at:end])), end
        version, codec_at = varint.decode(data, offset)
        if version != 1:
            raise MalformedBytes("CID", f"version {version}")
        codec, multihash_at = varint.decode(data, codec_at)
        _, length_at = varint.decode(data, multihash_at)
        length, digest_at = varint.decode(data, length_at)
        if length > DIGEST_BYTES_MAX:
            raise MalformedBytes("CID", "digest length")
        return cls(1, codec, bytes(data[multihash_at : digest_at + length])), digest_at + length

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the CID that the text is, in any base. Raises `MalformedBytes`."""
        if len(text) == 46 and text.startswith("Qm"):
            return cls(0, Codec.DAG_PB, multibase.decode_base58(text))
        cid = cls.decode(multibase.decode(text))
        if cid.version == 0:
            raise MalformedBytes("CID", "version 0 in multibase")
        return cid

    def encode(self) -> bytes:
        """Return the binary form."""
        if self.version == 0:
            return self.multihash
        if self.codec in _ONE_BYTE_CODECS:
            return bytes((self.version, self.codec)) + self.multihash
        return varint.encode(self.version) + varint.encode(self.codec) + self.multihash

    @property
    def hash_code(self) -> HashCode:
        """Return which function the digest is of."""
        return HashCode(varint.decode(self.multihash)[0])

    @property
    def digest(self) -> bytes:
        """Return the digest alone."""
        _, length_at = varint.decode(self.multihash)
        return self.multihash[varint.decode(self.multihash, length_at)[1] :]

    def matches(self, data: bytes) -> bool:
        """Whether these bytes are the block; never true for a hash that can't be computed here."""
        digest_of = _DIGEST_OF.get(self.hash_code)
        return digest_of is not None and digest_of(data) == self.digest

    def as_v1(self) -> "CID":
        """Return the same block's version 1 CID."""
        return self if self.version == 1 else CID(1, self.codec, self.multihash)

    def __str__(self) -> str:
        return _text(self)

    def __repr__(self) -> str:
        return f"CID({self})"

    @classmethod
    def __get_pydantic_core_schema__(
        cls, source: type[Any], handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        """Let records hold CIDs: links in DAG-CBOR, text in JSON."""
        return core_schema.json_or_python_schema(
            json_schema=core_schema.no_info_after_validator_function(
                _parse_field, core_schema.str_schema()
            ),
            python_schema=core_schema.is_instance_schema(cls),
            serialization=core_schema.plain_serializer_function_ser_schema(
                str, when_used="json", return_schema=core_schema.str_schema()
            ),
        )


def _parse_field(text: str) -> CID:
    try:
        return CID.parse(text)
    except MalformedBytes as error:
        raise ValueError(str(error)) from error


@lru_cache(maxsize=4096)
def _text(cid: CID) -> str:
    if cid.version == 0:
        return multibase.encode_base58(cid.multihash)
    return multibase.encode("b", cid.encode())
