"""The numbers of one DHT node."""

from dataclasses import dataclass
from typing import Final

LAN_PROTOCOL_ID: Final = "/ipfs/lan/kad/1.0.0"
"""What Kubo serves on private and loopback addresses."""

PUBLIC_PROTOCOL_ID: Final = "/ipfs/kad/1.0.0"
"""What Kubo serves on the open Internet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KadParameters:
    """How this node takes part; peers may choose otherwise, but for `k` where they meet."""

    k: int = 20
    """Peers in a bucket, and peers that keep a record (libp2p specs `kad-dht`, replication)."""

    alpha: int = 10
    """Peers that one lookup asks at a time (same source, concurrency)."""

    beta: int = 3
    """Closest peers that must have answered before a peer is said to be nowhere (go-libp2p-kad-dht,
    resiliency). What places or reads records asks all `k`."""

    paths: int = 3
    """Disjoint paths of one lookup (S/Kademlia, Baumgart and Mies 2007, d; more gain little)."""

    asks_max: int = 200
    """Peers that one lookup asks in all, so that a liar who always knows someone closer ends."""

    request_seconds_max: float = 10
    """Dial, ask and answer; after it the peer is taken for gone (go-libp2p-kad-dht: 10 s read)."""

    idle_seconds_max: float = 60
    """An inbound stream without a whole request answered for so long is cut (same source, stream
    idle timeout)."""

    refresh_seconds: float = 600
    """Between two rounds of upkeep (same source, routing table refresh)."""

    retry_seconds: float = 15
    """Between two rounds while we know no server, or while nobody took an announcement of ours."""

    refresh_prefix_bits_max: int = 12
    """The deepest bucket refreshed by a lookup of its own: finding a key in it costs 2^13 hashes.
    Whatever lies deeper is found by the lookup of our own key."""

    record_seconds: float = 48 * 3600
    """How long a provider record is believed (libp2p specs `kad-dht`, content provider records)."""

    republish_seconds: float = 22 * 3600
    """How often we announce again; twice within `record_seconds` (same source)."""

    records_max: int = 100_000
    """Provider records kept for others; some 80 MB usually, 170 at most."""

    providers_per_key_max: int = 40
    """Providers kept for one key; a reader rarely wants more than 20."""

    values_max: int = 4_000
    """Values kept for others, of 10 KiB each at most; half a kilobyte is usual."""

    value_quorum: int = 16
    """Values found that end a search for the best (go-libp2p-kad-dht, IPNS quorum). Where fewer
    servers keep it, the search ends once the `k` nearest have answered."""

    repairs_max: int = 64
    """Values found to be lacking somewhere that wait to be handed on; further ones are dropped."""

    keys_per_provider_max: int = 10_000
    """Records kept of one provider, so that one can't push out the others' with its own."""

    newcomers_max: int = 64
    """Peers that say to serve the DHT and wait to be asked for a first sign of life."""

    providers_enough: int = 20
    """Providers that a lookup ends with, unless those who answered named more at once."""

    news_per_teller: int = 2
    """Providers believed at once of what one peer tells; the rest waits for the end of a lookup."""

    peers_per_network_max: int = 3
    """Peers of one /16 (IPv6: /32) in the table, so that one owner of addresses can't fill it
    (go-libp2p-kad-dht, diversity filter; there an IPv6 network is an ASN). Also whose answers
    count in one lookup."""

    peers_per_network_and_bucket_max: int = 2
    """And in one bucket of it (same source)."""

    def __post_init__(self) -> None:
        assert 0 < self.beta <= self.k, "a lookup ends on some of the closest peers"
        assert 0 < self.alpha <= self.asks_max, "a lookup asks somebody"
        assert self.paths > 0, "a lookup takes a path"
        assert self.republish_seconds < self.record_seconds, "announced before it is forgotten"


DEFAULT_PARAMETERS: Final = KadParameters()
