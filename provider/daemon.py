"""The composition root of a provider: settings and keys in, a node at work until cancelled."""

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from chain.block import Genesis
from chain.disk import locked
from chain.http import serving
from chain.ledger import Ledger, LedgerForeign
from chain.policy import Policy
from chain.provider import Provider
from chain.remote import RemoteLedger
from chain.sender import Sender
from chain.units import ProviderId
from ipfs.bitswap.sender import UploadLimit
from ipfs.bitswap.stream import Bitswap
from ipfs.blockstore import Blockstore
from ipfs.errors import PeerError
from ipfs.exchange import Exchange
from ipfs.host import Host, PeerAddress
from ipfs.kad.stream import Kademlia
from ipfs.p2p.multiaddr import Multiaddr
from ipfs.p2p.peer_id import PeerId
from ipfs.p2p.swarm import Swarm
from ipfs.routing import Routing
from market.ask import network_cid
from provider.answering import Answering
from provider.blockstores import open_blocks
from provider.config import ProviderConfig
from provider.desk import Budget, Desk
from provider.disk import SectorDisk
from provider.duties import FetchPiece, Mend, ProveCommit, Scrub, Seal
from provider.enrolment import Applicant, enrol
from provider.facts import FactsReader
from provider.gateway import serving_blocks
from provider.keys import ProviderKeys, load_keys
from provider.node import ProviderNode
from provider.roster import Roster
from provider.sealing import SealingPool
from provider.sealing_plan import SealingPlan, plan_sealing
from provider.store import ProviderStore
from provider.workshop import Workshop

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ReadyInfo:
    """Where a provider that is ready can be found."""

    provider_id: ProviderId
    peer_id: str
    addresses: tuple[str, ...]
    api_url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """The world that one provider works in: real, or in memory."""

    ledger: Ledger
    host: Host
    exchange: Exchange
    routing: Routing
    blocks: Blockstore
    sealing: SealingPool
    store: ProviderStore
    disk: SectorDisk
    gateways: tuple[Multiaddr, ...] = ()
    """Where our blocks are served over HTTP, to be registered with where we are dialled."""


class DealClients:
    """Whom to send blocks first where upload is scarce: the clients of open deals."""

    node: ProviderNode | None = None
    """None until the node has read its facts."""

    def priority_of(self, peer_id: PeerId) -> int:
        """Return 1 for a client, 0 for any other peer."""
        return int(self.node is not None and str(peer_id) in self.node.facts.client_peer_ids)


def upload_limit(config: ProviderConfig, clients: DealClients) -> UploadLimit | None:
    """Return what is set for uploads, None if nothing is."""
    if config.upload_bytes_per_second is None:
        return None
    return UploadLimit(
        bytes_per_second=config.upload_bytes_per_second, priority_of=clients.priority_of
    )


async def run_provider(
    folder: Path, config: ProviderConfig, *, on_ready: Callable[[ReadyInfo], None]
) -> None:
    """Be the provider whose keys and sectors a folder holds, until cancelled.

    on_ready:  called once, when clients are answered and the network was told of us

    Waits while the ledger is down. Raises `FolderLocked`, `ProviderMissing`, `KeyLost`,
    `KeyFileOpen`, `LedgerForeign`, `OwnerUnfunded`, `SealingNeedsMemory`, `ObjectStoreMissing`,
    `ObjectStoreFailed`; `OSError` if an address is taken.
    """
    if not __debug__:
        raise RuntimeError("holdfast does not run under -O: its asserts guard money")
    keys = load_keys(folder)
    with locked(folder):
        async with RemoteLedger(config.ledger_url) as ledger:
            genesis = await _genesis_of(ledger, config)
            clients = DealClients()
            limit = upload_limit(config, clients)
            plan = await _plan(folder, config, genesis)
            async with _surroundings(folder, config, keys, ledger, limit, plan) as opened:
                around, routing = opened
                node = clients.node = await open_node(config, keys, genesis, around)
                await _run(config, node, genesis, around, routing, on_ready)


async def open_node(
    config: ProviderConfig, keys: ProviderKeys, genesis: Genesis, around: Surroundings
) -> ProviderNode:
    """Enrol with the ledger and read the facts for the first time; return the node, not running.

    Raises `OwnerUnfunded`, `LedgerError`, `LedgerUnreachable`.
    """
    policy, ledger = genesis.policy, around.ledger
    prefix = policy.address_prefix
    owner, worker = (Sender(ledger, key, prefix) for key in (keys.owner, keys.worker))
    applicant = Applicant(
        owner=owner,
        worker=worker,
        peer_id=str(around.host.peer_id),
        addresses=tuple(map(str, (*around.gateways, *around.host.addresses))),
        draws_faucet=config.draws_faucet,
    )
    provider = await enrol(applicant, ledger, policy)
    reader = FactsReader(
        ledger=ledger,
        store=around.store,
        disk=around.disk,
        terms=config.terms(policy),
        provider_id=provider.id,
        chain_id=genesis.chain_id,
        policy=policy,
        pack_wait_epochs=config.pack_wait_epochs,
        scrub_interval_epochs=config.scrub_interval_epochs or policy.proving_period_epochs,
    )
    shop = _workshop(config, genesis, provider.id, worker, around)
    desk = Desk(
        shop,
        await reader.at((await ledger.head()).header),
        owner=owner.address,
        worker=keys.worker,
        budget=await _budget(config, policy, around),
        turns=asyncio.Lock(),
    )
    limits = {
        FetchPiece: config.fetches_max,
        Seal: around.sealing.plan.sectors_max,
        Mend: config.sealing_workers,
        Scrub: 1,
        ProveCommit: config.sealing_workers,
    }
    return ProviderNode(shop, desk, Roster(limits), host=around.host, facts=reader)


async def _budget(config: ProviderConfig, policy: Policy, around: Surroundings) -> Budget:
    read_seconds = await around.disk.cold_read_seconds()
    log.info("reading 32 bytes that are not in memory takes %.0f µs here", read_seconds * 1e6)
    kind = config.sector_kind(policy)
    answering = Answering.of(policy, kind, read_seconds=read_seconds)
    return Budget(
        config.capacity_bytes,
        config.fetches_open_max,
        around.sealing.plan,
        answering,
        has_blocks_on_disk=config.blocks_url is None,
    )


def _workshop(
    config: ProviderConfig,
    genesis: Genesis,
    provider_id: ProviderId,
    worker: Sender,
    around: Surroundings,
) -> Workshop:
    return Workshop(
        chain_id=genesis.chain_id,
        policy=genesis.policy,
        provider_id=provider_id,
        proof_type=config.sector_kind(genesis.policy),
        fetch_idle_seconds=config.fetch_idle_seconds,
        scrub_bytes_per_second=config.scrub_bytes_per_second,
        ledger=around.ledger,
        sender=worker,
        store=around.store,
        disk=around.disk,
        sealing=around.sealing,
        blocks=around.blocks,
        exchange=around.exchange,
        routing=around.routing,
        transfers={},
        warn=log.warning,
    )


async def _plan(folder: Path, config: ProviderConfig, genesis: Genesis) -> SealingPlan:
    """Return how sectors are sealed here. Raises `SealingNeedsMemory`."""
    return plan_sealing(
        config.sector_kind(genesis.policy),
        workers=config.sealing_workers,
        together=config.sealing_together,
        memory_bytes=os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"),
        disk_free_bytes=await SectorDisk(folder).free_bytes(),
    )


async def _genesis_of(ledger: RemoteLedger, config: ProviderConfig) -> Genesis:
    """Return where the chain began, as soon as the ledger answers."""
    async for _ in ledger.heads():
        break
    genesis = await ledger.genesis()
    if genesis.policy.name != config.network:
        raise LedgerForeign(
            expected=config.network, found=genesis.policy.name, settings="provider.toml"
        )
    return genesis


@asynccontextmanager
async def _surroundings(
    folder: Path,
    config: ProviderConfig,
    keys: ProviderKeys,
    ledger: Ledger,
    limit: UploadLimit | None,
    plan: SealingPlan,
) -> AsyncIterator[tuple[Surroundings, Kademlia]]:
    with ExitStack() as opened:
        blocks = opened.enter_context(open_blocks(folder, config))
        store = ProviderStore(f"sqlite:///{folder / 'provider.sqlite'}")
        opened.callback(store.close)
        async with (
            SealingPool(plan) as sealing,
            Swarm(
                keys.peer,
                listen=[Multiaddr.parse(address) for address in config.listen],
                announce=[Multiaddr.parse(address) for address in config.announce],
            ) as host,
            Bitswap(host, blocks, upload_limit=limit) as bitswap,
            serving_blocks(bitswap, config) as gateways,
        ):
            routing = Kademlia(host, protocol_id=config.kad_protocol_id)
            yield (
                Surroundings(
                    ledger=ledger,
                    host=host,
                    exchange=bitswap,
                    routing=routing,
                    blocks=blocks,
                    sealing=sealing,
                    store=store,
                    disk=SectorDisk(folder),
                    gateways=gateways,
                ),
                routing,
            )


async def _run(
    config: ProviderConfig,
    node: ProviderNode,
    genesis: Genesis,
    around: Surroundings,
    routing: Kademlia,
    on_ready: Callable[[ReadyInfo], None],
) -> None:
    from provider.api import create_app

    await routing.bootstrap(await _known_peers(config, around))
    await routing.provide(network_cid(genesis.chain_id))
    node.serve()
    async with (
        serving(
            create_app(node),
            host=config.api_host,
            port=config.api_port,
            allowed_hosts=config.api_allowed_hosts,
        ) as api_url,
        asyncio.TaskGroup() as tasks,
    ):
        tasks.create_task(routing.run())
        tasks.create_task(node.run())
        addresses = tuple(map(str, around.host.addresses))
        on_ready(ReadyInfo(node.provider_id, str(around.host.peer_id), addresses, api_url))


async def _known_peers(config: ProviderConfig, around: Surroundings) -> list[PeerAddress]:
    """Return the DHT peers to join through: those set, and the registry's other providers."""
    peers = [PeerAddress.parse(text) for text in config.bootstrap]
    for provider in await around.ledger.providers():
        try:
            peer = _registered_peer(provider)
        except PeerError as error:
            log.info("provider %s is registered wrongly: %s", provider.id, error)
            continue
        if peer.peer_id != around.host.peer_id:
            peers.append(peer)
    return peers


def _registered_peer(provider: Provider) -> PeerAddress:
    addresses = tuple(Multiaddr.parse(address) for address in provider.addresses)
    return PeerAddress(PeerId.parse(provider.peer_id), addresses)
