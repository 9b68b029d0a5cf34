"""Which addresses mean the same to whoever hears them."""

from collections.abc import Callable, Iterable
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Final

from ipfs.host import PeerAddress
from ipfs.kad.parameters import PUBLIC_PROTOCOL_ID
from ipfs.p2p.multiaddr import Multiaddr

InReach = Callable[[Multiaddr], bool]
"""Whether an address may be told and believed in a DHT."""


def reach_of(protocol_id: str) -> InReach:
    """Return the rule of a DHT: only the public one can't use private addresses.

    There they would reach nobody, or have a stranger make us dial into our own network.
    """
    return is_public if protocol_id == PUBLIC_PROTOCOL_ID else lambda _: True


def is_public(address: Multiaddr) -> bool:
    """Whether the address starts with a global IP address or a domain name."""
    name, value = address.parts[0]
    if name in {"ip4", "ip6"}:
        return ip_address(value).is_global
    return name in {"dns", "dns4", "dns6", "dnsaddr"}


Network = IPv4Network | IPv6Network

ADDRESSES_MAX: Final = 32
"""Addresses kept for one peer that others tell of, whoever told them."""

_NETWORK_BITS: Final = {"ip4": 16, "ip6": 32}


def networks_of(addresses: Iterable[Multiaddr]) -> frozenset[Network]:
    """Return the public networks that addresses are of: what an attacker has few of.

    Private and loopback addresses are of none, as all peers of a LAN share one.
    """
    firsts = (address.parts[0] for address in addresses)
    return frozenset(
        ip_network((value, _NETWORK_BITS[name]), strict=False)
        for name, value in firsts
        if name in _NETWORK_BITS and ip_address(value).is_global
    )


def take_addresses(known: dict[Multiaddr, None], told: Iterable[Multiaddr]) -> list[Multiaddr]:
    """Add what is new of the addresses told, as far as there is room; return that."""
    room = ADDRESSES_MAX - len(known)
    fresh = [address for address in told if address not in known][:room]
    known.update(dict.fromkeys(fresh))
    return fresh


def within(in_reach: InReach, peers: Iterable[PeerAddress]) -> tuple[PeerAddress, ...]:
    """Return the peers with those of their addresses that are in reach."""
    return tuple(
        PeerAddress(peer.peer_id, tuple(filter(in_reach, peer.addresses))) for peer in peers
    )
