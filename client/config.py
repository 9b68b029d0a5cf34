"""What the user of a client may set: `client.toml`."""

from typing import Literal

from pydantic import Field

from chain.config import AddressText, PeerAddressText, Settings
from chain.policy import POLICIES, Policy
from ipfs.kad.parameters import LAN_PROTOCOL_ID


class ClientConfig(Settings):
    """One client's settings; every one has a default that runs on one machine."""

    ledger_url: str = Field(default="http://127.0.0.1:8650", pattern=r"^https?://")
    network: Literal["dev", "laptop", "main"] = "dev"
    """Which network the ledger must be of."""

    listen: tuple[AddressText, ...] = ("/ip4/127.0.0.1/tcp/0",)
    """Multiaddrs; a client behind NAT needs none, its providers answer where it dialled."""

    bootstrap: tuple[PeerAddressText, ...] = ()
    """Multiaddrs with /p2p/ of DHT peers to join through, besides the ledger's registry."""

    kad_protocol_id: str = LAN_PROTOCOL_ID
    import_profile: Literal["unixfs-v1-2025", "unixfs-v0-2015"] = "unixfs-v1-2025"
    ask_seconds: float = Field(default=5, gt=0)
    """How long one provider may take to tell its price."""

    negotiate_seconds: float = Field(default=30, gt=0)
    find_seconds: float = Field(default=20, gt=0)
    """How long to look for providers on the DHT, and then again to ask them all."""

    transfer_bytes_per_second_min: int = Field(default=2_000_000, ge=1)
    """What a provider is trusted to fetch at; decides how long a proposal stays open."""

    transfer_seconds_min: int = Field(default=6, ge=1)
    fetch_idle_seconds: float = Field(default=15, gt=0)
    """A retrieval gives a peer up when no block came for this long."""

    @property
    def policy(self) -> Policy:
        """Return the rules of the network."""
        return POLICIES[self.network]

    @property
    def address_prefix(self) -> str:
        """Return how addresses of this network begin."""
        return self.policy.address_prefix
