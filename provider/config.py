"""What the operator of a provider may set: `provider.toml`."""

import re
from ipaddress import ip_address
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from chain.amount import parse_amount
from chain.config import AddressText, PeerAddressText, Settings
from chain.policy import POLICIES, Policy
from chain.units import Atto
from ipfs.cid import CID
from ipfs.errors import MalformedBytes
from ipfs.kad.parameters import LAN_PROTOCOL_ID
from ipfs.p2p.multiaddr import Multiaddr
from proofs.parameters import ProofType
from proofs.piece import PIECE_BYTES_MIN
from proofs.registry import parameters_of
from provider.offer import Terms

_BLOCKS_URL: Final = re.compile(r"((s3|gs)://[^/@\s]+|abfss://[^/@\s]+@[^/@\s]+)(/\S*)?")


def _amount(value: object) -> object:
    return parse_amount(value) if isinstance(value, str) else value


Amount = Annotated[Atto, BeforeValidator(_amount)]
"""Tokens as `"12.5"`, or `"17 atto"`; a bare number is atto."""


def _ip(text: str) -> str:
    ip_address(text)
    return text


def _http_address(text: str) -> str:
    if Multiaddr.parse(text).http_url is None:
        raise ValueError(f"{text!r} is no HTTP server's address: /dns4/…/tcp/443/tls/http")
    return text


def _blocks_url(text: str) -> str:
    if _BLOCKS_URL.fullmatch(text) is None:
        raise ValueError(
            f"{text!r} is no object store's URL: s3://bucket/prefix, gs://bucket/prefix or "
            "abfss://container@account.dfs.core.windows.net/prefix"
        )
    return text


def _cid(text: str) -> str:
    try:
        return str(CID.parse(text))
    except MalformedBytes as error:
        raise ValueError(f"{text!r} is no CID: {error}") from error


HttpAddressText = Annotated[AddressText, AfterValidator(_http_address)]
"""A multiaddr that ends in `/http`, `/tls/http` or `/https`."""

Count = Annotated[int, Field(ge=1)]


class ProviderConfig(Settings):
    """One provider's settings; every one has a default that runs on one machine."""

    ledger_url: str = Field(default="http://127.0.0.1:8650", pattern=r"^https?://")
    network: Literal["dev", "laptop", "main"] = "dev"
    """Which network the ledger must be of."""

    listen: tuple[AddressText, ...] = ("/ip4/127.0.0.1/tcp/0",)
    """Multiaddrs; port 0 for any that is free."""

    announce: tuple[AddressText, ...] = ()
    """Multiaddrs to be reached at, where they are not those listened on (NAT, a public name)."""

    bootstrap: tuple[PeerAddressText, ...] = ()
    """Multiaddrs with /p2p/ of DHT peers to join through, besides the ledger's registry."""

    kad_protocol_id: str = LAN_PROTOCOL_ID
    api_host: str = "127.0.0.1"
    api_port: Annotated[int, Field(ge=0, le=65_535)] = 0
    """0: any that is free."""

    api_allowed_hosts: tuple[str, ...] = ()
    """Names under which browsers may reach it, besides loopback and `api_host`."""

    gateway_host: Annotated[str, AfterValidator(_ip)] = "127.0.0.1"
    """The IP address on which blocks are served over HTTP."""

    gateway_port: Annotated[int, Field(ge=0, le=65_535)] = 0
    """0: any that is free."""

    gateway_allowed_hosts: tuple[str, ...] = ()
    """Names under which browsers may reach it, besides loopback and those announced."""

    gateway_announce: tuple[HttpAddressText, ...] = ()
    """Where the gateway is reached, if that is not where it listens (NAT, TLS in front of it)."""

    gateway_denied: tuple[Annotated[str, AfterValidator(_cid)], ...] = ()
    """CIDs that the gateway does not serve, whatever the path to them."""

    proof_type: ProofType | None = None
    """The kind of sector to seal; None: the network's own choice of it."""

    capacity_bytes: Count = 20 << 30
    """What sectors, and unsealed blocks if they lie there, may take on the disk."""

    blocks_url: Annotated[str, AfterValidator(_blocks_url)] | None = None
    """The object store for unsealed blocks, instead of the disk; needs `holdfast[object-store]`.
    Its prefix is for this provider alone, which deletes there what it no longer needs. Region,
    endpoint and keys are the environment's: `AWS_REGION`, `AWS_ENDPOINT`, …"""

    price_atto_per_gib_epoch: Amount = Atto(10**12)
    retrieval_price_atto_per_gib: Amount = Atto(0)
    piece_size_bytes_min: Annotated[int, Field(ge=PIECE_BYTES_MIN)] = PIECE_BYTES_MIN
    piece_size_bytes_max: Count | None = None
    """None: a whole sector."""

    duration_epochs_max: Count | None = None
    """None: as long as the network allows."""

    draws_faucet: bool = True
    """Fill an empty owner's account from the faucet, on networks that have one."""

    pack_wait_epochs: Annotated[int, Field(ge=0)] = 1
    """How long a published piece waits for company in its sector."""

    sealing_workers: Count = 1
    """Processes that seal; each takes a core, and 2 sectors of memory for each one it seals."""

    sealing_together: Literal[1, 2] | None = None
    """Sectors that one worker seals at once, if they are there: two take less time than one after
    the other. None: two where half of the memory and of the free disk is enough, else one."""

    fetches_max: Count = 4
    """Pieces that are fetched at a time."""

    fetches_open_max: Count = 64
    """Proposals accepted whose pieces have not come yet; above it the answer is `busy`."""

    fetch_idle_seconds: Annotated[float, Field(gt=0)] = 15
    """A client that owes a block and is silent for so long is given up until the next try."""

    scrub_bytes_per_second: Count = 20_000_000
    """How fast replicas are read again, so that proofs and downloads don't wait for it."""

    scrub_interval_epochs: Count | None = None
    """How often a running provider reads each replica again; None: once a proving period."""

    upload_bytes_per_second: Count | None = None
    """Of blocks, to all peers together: then clients of open deals come first, then peers that give
    us something. None: as much as the line takes, and everybody at once."""

    def sector_kind(self, policy: Policy) -> ProofType:
        """Return the kind of sector to seal: the one set, else the largest that a test network has
        for trying out, else the smallest real one.
        """
        if self.proof_type is not None:
            return self.proof_type
        kinds = [rule.proof_type for rule in policy.sectors]
        trials = [kind for kind in kinds if parameters_of(kind).for_tests]
        size_bytes = {kind: parameters_of(kind).sector_size_bytes for kind in kinds}
        return (
            max(trials, key=size_bytes.__getitem__)
            if trials
            else min(kinds, key=size_bytes.__getitem__)
        )

    def terms(self, policy: Policy) -> Terms:
        """Return what is sold on a network."""
        kind = self.sector_kind(policy)
        longest_epochs = policy.deal_periods_max * policy.proving_period_epochs
        sector_size_bytes = parameters_of(kind).sector_size_bytes
        return Terms(
            proof_type=kind,
            price_atto_per_gib_epoch=self.price_atto_per_gib_epoch,
            piece_size_bytes_min=self.piece_size_bytes_min,
            piece_size_bytes_max=self.piece_size_bytes_max or sector_size_bytes,
            duration_epochs_max=self.duration_epochs_max or longest_epochs,
            retrieval_price_atto_per_gib=self.retrieval_price_atto_per_gib,
        )

    @property
    def address_prefix(self) -> str:
        """Return how addresses of this network begin."""
        return POLICIES[self.network].address_prefix
