"""Identities: an address is an Ed25519 public key in bech32m, so a mistyped one is refused."""

from functools import lru_cache
from typing import Annotated, Final, NewType, Self

import nacl.signing
from nacl.exceptions import BadSignatureError
from pydantic import AfterValidator

from chain import bech32m

KEY_BYTES: Final = 32
SIGNATURE_BYTES: Final = 64
MAIN_PREFIX: Final = "hf"
TEST_PREFIX: Final = "thf"


def _checked(text: str) -> str:
    public_key_of(Address(text))
    return text


Address = NewType("Address", Annotated[str, AfterValidator(_checked)])
"""`hf1…`, on test networks `thf1…`: the public key of an account."""


@lru_cache(maxsize=65_536)  # every record that names an address checks it
def public_key_of(address: Address) -> bytes:
    """Return the 32 bytes of the address's key. Raises `ValueError` on a mistyped address."""
    prefix, key = bech32m.decode(address)
    if prefix not in (MAIN_PREFIX, TEST_PREFIX) or len(key) != KEY_BYTES:
        raise ValueError(f"{address} is no address")
    return key


def address_of(public_key: bytes, *, prefix: str) -> Address:
    """Return the address of a 32-byte Ed25519 public key on the network of this prefix."""
    assert len(public_key) == KEY_BYTES, "an Ed25519 key has 32 bytes"
    return Address(bech32m.encode(prefix, public_key))


class SigningKey:
    """A private key. Never encoded into a record, never logged."""

    def __init__(self, seed: bytes) -> None:
        self._key = nacl.signing.SigningKey(seed)

    @classmethod
    def generate(cls) -> Self:
        """Return a fresh key."""
        return cls(bytes(nacl.signing.SigningKey.generate()))

    @property
    def seed(self) -> bytes:
        """Return the 32 secret bytes, for the one file that keeps them."""
        return bytes(self._key)

    def address(self, prefix: str) -> Address:
        """Return the address of the public half."""
        return address_of(bytes(self._key.verify_key), prefix=prefix)

    def sign(self, domain: str, data: bytes) -> bytes:
        """Return the 64-byte signature of `data` for one purpose, named by `domain`."""
        return self._key.sign(_signed_bytes(domain, data)).signature

    def __repr__(self) -> str:
        return "SigningKey(…)"


def is_signed_by(address: Address, domain: str, data: bytes, signature: bytes) -> bool:
    """Whether `signature` is this address's for this purpose."""
    if len(signature) != SIGNATURE_BYTES:
        return False
    try:
        nacl.signing.VerifyKey(public_key_of(address)).verify(
            _signed_bytes(domain, data), signature
        )
    except BadSignatureError:
        return False
    return True


def _signed_bytes(domain: str, data: bytes) -> bytes:
    return b"holdfast/" + domain.encode() + b"\0" + data
