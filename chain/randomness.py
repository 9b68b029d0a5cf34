"""Seeds: the beacon of one epoch, bound to a purpose, a chain and a party."""

import hashlib

from chain.units import Epoch, ProviderId, SectorNumber


def drawn_from(signature: bytes) -> bytes:
    """Return the 32 bytes that a beacon's signature gives (drand: the hash of the signature)."""
    return hashlib.sha256(signature).digest()


def beacon_message(chain_id: str, epoch: Epoch) -> bytes:
    """Return what the beacon signs for an epoch; unchained, so any epoch checks alone."""
    return _digest(b"holdfast/beacon", chain_id, epoch)


def ticket(beacon: bytes, *, chain_id: str, provider_id: ProviderId) -> bytes:
    """Return the ticket that a replica is bound to, 32 bytes.

    beacon:  the randomness of the ticket's epoch, 32 bytes
    """
    return _digest(b"holdfast/ticket" + beacon, chain_id, provider_id)


def replication_seed(
    beacon: bytes, *, chain_id: str, provider_id: ProviderId, number: SectorNumber
) -> bytes:
    """Return what a sector's replication challenges are drawn from, 32 bytes."""
    return _digest(b"holdfast/porep" + beacon, chain_id, provider_id, number)


def window_seed(beacon: bytes, *, chain_id: str, provider_id: ProviderId) -> bytes:
    """Return what one provider's challenges of a window are drawn from, 32 bytes."""
    return _digest(b"holdfast/window" + beacon, chain_id, provider_id)


def _digest(tag: bytes, chain_id: str, *numbers: int) -> bytes:
    body = b"".join(number.to_bytes(8) for number in numbers)
    return hashlib.sha256(tag + b"\0" + chain_id.encode() + b"\0" + body).digest()
