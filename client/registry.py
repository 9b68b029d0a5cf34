"""Where the ledger's registry says that providers are."""

import logging
import random
from collections.abc import Iterable
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

GATEWAYS_MAX: Final = 16
"""Asked for one file, however many the registry names."""

log = logging.getLogger(__name__)


def registered_peer(provider: Provider) -> PeerAddress | None:
    """Return where a provider may be reached; None if it registered nonsense."""
    try:
        addresses = tuple(Multiaddr.parse(address) for address in provider.addresses)
        return PeerAddress(PeerId.parse(provider.peer_id), addresses)
    except PeerError as error:
        log.info("provider %s is registered wrongly: %s", provider.id, error)
        return None


def registered_peers(providers: Iterable[Provider]) -> list[PeerAddress]:
    """Return where providers may be reached, without those that registered nonsense."""
    return [peer for each in providers if (peer := registered_peer(each)) is not None]


def gateways_of(peers: Iterable[PeerAddress]) -> dict[PeerId, str]:
    """Return where the first of these peers serve blocks over HTTP, if they say so."""
    urls: dict[PeerId, str] = {}
    for peer in peers:
        for address in peer.addresses:
            if (url := address.http_url) and len(urls) < GATEWAYS_MAX:
                urls.setdefault(peer.peer_id, url)
    return urls


async def peers_to_join(config: ClientConfig, ledger: Ledger) -> list[PeerAddress]:
    """Return whom to join the DHT through: those configured, and some registered providers."""
    configured = [PeerAddress.parse(text) for text in config.bootstrap]
    known = registered_peers(await ledger.providers())
    return [*configured, *random.sample(known, min(JOINED_MAX, len(known)))]
