"""What we remember of peers: where they live, what they speak, which addresses failed."""

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from ipfs.p2p.limits import NetworkLimits
from ipfs.p2p.multiaddr import Multiaddr
from ipfs.p2p.peer_id import PeerId

_PROVEN: Final = -1
"""Ranks before an address that was never tried, so that hearsay cannot displace it."""


@dataclass(slots=True)
class _Peer:
    failures: dict[Multiaddr, int] = field(default_factory=dict)
    """Failed dials of each address since its last success; the newest address is last."""
    protocol_ids: tuple[str, ...] = ()
    agent_version: str = ""


class PeerStore:
    """Bounded: the peer touched longest ago is forgotten first, and of a peer its worst address."""

    def __init__(self, limits: NetworkLimits) -> None:
        self._limits = limits
        self._peers: OrderedDict[PeerId, _Peer] = OrderedDict()

    def addresses(self, peer_id: PeerId) -> tuple[Multiaddr, ...]:
        """Return where the peer may live, the addresses that failed least first."""
        peer = self._peers.get(peer_id)
        if peer is None:
            return ()
        return tuple(sorted(peer.failures, key=peer.failures.__getitem__))

    def protocol_ids(self, peer_id: PeerId) -> tuple[str, ...]:
        """Return what the peer said that it speaks."""
        peer = self._peers.get(peer_id)
        return peer.protocol_ids if peer else ()

    def agent_version(self, peer_id: PeerId) -> str:
        """Return the software that the peer says it is; a stranger's text."""
        peer = self._peers.get(peer_id)
        return peer.agent_version if peer else ""

    def add(self, peer_id: PeerId, addresses: Iterable[Multiaddr]) -> None:
        """Remember addresses, less the peer at their end."""
        peer = self._touch(peer_id)
        for address in addresses:
            bare = address.without_peer_id()
            if bare is not None:
                peer.failures.setdefault(bare, 0)
        while len(peer.failures) > self._limits.addresses_per_peer_max:
            worst = max(peer.failures, key=peer.failures.__getitem__)
            del peer.failures[worst]

    def identified(self, peer_id: PeerId, protocol_ids: tuple[str, ...], agent: str) -> None:
        """Remember what the peer said of itself."""
        peer = self._touch(peer_id)
        peer.protocol_ids = protocol_ids
        peer.agent_version = agent

    def succeeded(self, peer_id: PeerId, address: Multiaddr) -> None:
        """Remember that the address led to the peer."""
        self._touch(peer_id).failures[address] = _PROVEN

    def failed(self, peer_id: PeerId, address: Multiaddr) -> None:
        """Remember that the address did not lead to the peer; it is tried later next time."""
        peer = self._touch(peer_id)
        if address in peer.failures:
            peer.failures[address] = max(0, peer.failures[address]) + 1

    def _touch(self, peer_id: PeerId) -> _Peer:
        peer = self._peers.setdefault(peer_id, _Peer())
        self._peers.move_to_end(peer_id)
        while len(self._peers) > self._limits.peers_known_max:
            self._peers.popitem(last=False)
        return peer
