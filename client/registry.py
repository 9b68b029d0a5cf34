"""Where the ledger's registry says that providers are."""

import logging
import random
from typing import Final

from chain.ledger import Ledger
from chain.provider import Provider
from client.config import ClientConfig
from ipfs.errors import PeerError
from ipfs.host import PeerAddress
from ipfs.p2p.multiaddr import Multiaddr
from ipfs.p2p.peer_id import PeerId

JOINED_MAX: Final = 32
"""Registered providers that the DHT is joined through, however many of them are dead."""

log = logging.getLogger(__name__)


def registered_peer(provider: Provider) -> PeerAddress | None:
    """Return where a provider may be reached; None if it registered nonsense."""
    try:
        addresses = tuple(Multiaddr.parse(address) for address in provider.addresses)
        return PeerAddress(PeerId.parse(provider.peer_id), addresses)
    except PeerError as error:
        log.info("provider %s is registered wrongly: %s", provider.id, error)
        return None


async def peers_to_join(config: ClientConfig, ledger: Ledger) -> list[PeerAddress]:
    """Return whom to join the DHT through: those configured, and some registered providers."""
    configured = [PeerAddress.parse(text) for text in config.bootstrap]
    peers = [registered_peer(provider) for provider in await ledger.providers()]
    known = [peer for peer in peers if peer is not None]
    return [*configured, *random.sample(known, min(JOINED_MAX, len(known)))]
