"""Who said to have what: provider records, kept for others and forgotten in time."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import accumulate
from typing import Final

from ipfs.host import PeerAddress
from ipfs.kad.reach import Network
from ipfs.p2p.multiaddr import Multiaddr
from ipfs.p2p.peer_id import PeerId

ADDRESS_BYTES_MAX: Final = 1024
"""Memory for the addresses of one record, some twenty usual ones; what follows is not kept."""

_OBJECT_BYTES: Final = 40
"""What it costs to keep bytes, besides themselves."""


@dataclass(frozen=True, slots=True)
class _Record:
    """addresses: encoded, as a parsed one takes ten times its bytes."""

    addresses: tuple[bytes, ...]
    expires_at: float
    networks: frozenset[Network]


class ProviderRecords:
    """At most `records_max` records; the oldest make room.

    At most `providers_per_key_max` for one key, and `keys_per_provider_max` of one provider. Of
    one key's, the public network that most are of makes room, and one of each network comes first:
    ids are free, so that a crowd of them must not hide who lives elsewhere.

    A key is the multihash of a CID. Knows no clock; `now` is seconds on the caller's, and never
    goes back.
    """

    def __init__(
        self,
        *,
        record_seconds: float,
        records_max: int,
        providers_per_key_max: int,
        keys_per_provider_max: int,
    ) -> None:
        self._record_seconds = record_seconds
        self._records_max = records_max
        self._providers_per_key_max = providers_per_key_max
        self._keys_per_provider_max = keys_per_provider_max
        # All records live equally long: in order of arrival is in order of expiry.
        self._arrivals: dict[tuple[bytes, PeerId], None] = {}
        self._by_key: dict[bytes, dict[PeerId, _Record]] = {}
        self._by_provider: dict[PeerId, dict[bytes, None]] = {}

    def __len__(self) -> int:
        return len(self._arrivals)

    def add(
        self,
        key: bytes,
        provider: PeerAddress,
        now: float,
        *,
        networks: frozenset[Network] = frozenset(),
    ) -> None:
        """Believe for a while that the provider has what the key names.

        networks:  the public ones that it said so from
        """
        self.forget(key, provider.peer_id)
        keys = self._by_provider.get(provider.peer_id, {})
        if len(keys) >= self._keys_per_provider_max:
            self.forget(next(iter(keys)), provider.peer_id)
        providers = self._by_key.get(key, {})
        if len(providers) >= self._providers_per_key_max:
            self.forget(key, _most_crowded(providers))
        if len(self._arrivals) >= self._records_max:
            self.forget(*next(iter(self._arrivals)))
        self._arrivals[key, provider.peer_id] = None
        self._by_provider.setdefault(provider.peer_id, {})[key] = None
        self._by_key.setdefault(key, {})[provider.peer_id] = _Record(
            _first_that_fit(provider.addresses), now + self._record_seconds, networks
        )

    def providers(self, key: bytes, now: float) -> list[PeerAddress]:
        """Return who has what the key names: one of each network, another of each, and so on.

        Of one network the latest news come first.
        """
        seen: Counter[Network] = Counter()
        ranked: list[tuple[int, PeerAddress]] = []
        for peer_id, record in reversed(self._by_key.get(key, {}).items()):
            if now < record.expires_at:
                rank = max((seen[network] for network in record.networks), default=0)
                addresses = tuple(map(Multiaddr.parse_bytes, record.addresses))
                ranked.append((rank, PeerAddress(peer_id, addresses)))
                seen.update(record.networks)
        ranked.sort(key=lambda it: it[0])
        return [provider for _, provider in ranked]

    def forget_expired(self, now: float) -> None:
        """Make room of what is no longer believed."""
        for key, peer_id in list(self._arrivals):
            if now < self._by_key[key][peer_id].expires_at:
                return
            self.forget(key, peer_id)

    def forget(self, key: bytes, peer_id: PeerId) -> None:
        """Believe no more that a provider has what the key names, if we did."""
        if (key, peer_id) not in self._arrivals:
            return
        del self._arrivals[key, peer_id]
        del self._by_key[key][peer_id]
        if not self._by_key[key]:
            del self._by_key[key]
        del self._by_provider[peer_id][key]
        if not self._by_provider[peer_id]:
            del self._by_provider[peer_id]


def _first_that_fit(addresses: Iterable[Multiaddr]) -> tuple[bytes, ...]:
    encoded = [address.encode() for address in addresses]
    ends = accumulate(len(address) + _OBJECT_BYTES for address in encoded)
    return tuple(
        address for address, end in zip(encoded, ends, strict=True) if end <= ADDRESS_BYTES_MAX
    )


def _most_crowded(providers: dict[PeerId, _Record]) -> PeerId:
    """Return the oldest of those who share a network with most of the others."""
    counts = Counter(network for it in providers.values() for network in it.networks)

    def neighbours(peer_id: PeerId) -> int:
        return max((counts[network] for network in providers[peer_id].networks), default=0)

    return max(providers, key=neighbours)
