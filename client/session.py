"""One client at work: its node on the network, its blocks, its ledger, its money."""

import asyncio
import logging
import secrets
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

from chain.block import Genesis, SignedHeader
from chain.deal import DealProposal
from chain.disk import locked, read_secret, write_secret
from chain.keys import Address, SigningKey
from chain.ledger import Ledger, LedgerForeign
from chain.policy import Policy
from chain.provider import SignedAsk
from chain.remote import RemoteLedger
from chain.sender import Sender
from client.config import ClientConfig
from client.prepare import Prepared, prepare
from client.registry import peers_to_join, registered_peer
from client.store import ClientStore
from client.wallet import load_wallet
from ipfs.bitswap.stream import Bitswap
from ipfs.blockstore import Blockstore
from ipfs.cid import CID
from ipfs.dag import walk
from ipfs.disk import DiskBlockstore
from ipfs.errors import MalformedBytes
from ipfs.exchange import DagLimits, Exchange, FetchedDag, fetch_dag
from ipfs.gateway.remote import GatewayExchange
from ipfs.host import Host, PeerAddress
from ipfs.kad.stream import Kademlia, Mode
from ipfs.p2p.multiaddr import Multiaddr
from ipfs.p2p.peer_id import Identity, PeerId
from ipfs.p2p.swarm import Swarm
from ipfs.pins.pin import PinsDamaged
from ipfs.pins.store import PinStore
from ipfs.repository import PinnedDagBroken, Repository
from ipfs.routing import Routing
from ipfs.unixfs.exporter import export
from ipfs.unixfs.profiles import PROFILES
from market.messages import Accept, Reject, SignedProposal, Status
from market.stream import negotiate, request_ask, request_status

WALLET_NAME: Final = "wallet.key"
PEER_NAME: Final = "peer.key"
BLOCKS_NAME: Final = "blocks"
PINS_NAME: Final = "pins.sqlite"

ASKED_MAX: Final = 64
"""Providers that are asked for their price at a time, however many the registry names."""

log = logging.getLogger(__name__)
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Payer:
    """Whose money a deal is paid with: the wallet of this client."""

    key: SigningKey
    address: Address
    sender: Sender


@dataclass(frozen=True, slots=True)
class Session:
    """What the walks of `storing` and `retrieving` need of the world: real, or in memory."""

    config: ClientConfig
    genesis: Genesis
    ledger: Ledger
    host: Host
    exchange: Exchange
    routing: Routing
    repository: Repository
    store: ClientStore

    @property
    def blockstore(self) -> Blockstore:
        """Return our blocks."""
        return self.repository.blocks

    @property
    def policy(self) -> Policy:
        """Return the network's rules."""
        return self.genesis.policy

    @property
    def chain_id(self) -> str:
        """Return which chain the ledger keeps."""
        return self.genesis.chain_id

    def log(self, text: str) -> None:
        """Tell whoever reads the log."""
        log.info("%s", text)

    def random_nonce(self) -> int:
        """Return what tells this proposal from another with the same terms."""
        return secrets.randbits(52)

    async def together(self, walks: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
        """Walk all at once; return the results in order. The first failure ends the others."""
        try:
            async with asyncio.TaskGroup() as tasks:
                running = [tasks.create_task(walk) for walk in walks]
        except BaseExceptionGroup as group:
            raise group.exceptions[0] from group
        return [task.result() for task in running]

    async def head(self) -> SignedHeader:
        """Return the newest block's header; waits while the ledger is down."""
        async for head in self.ledger.heads():
            return head
        raise AssertionError("heads never end")

    async def next_head(self) -> None:
        """Wait for the next block; while the ledger is down, until it makes one again."""
        is_first = True
        async for _ in self.ledger.heads():
            if not is_first:
                return
            is_first = False

    async def prepare(self, path: Path, on_progress: Callable[[int], None]) -> Prepared:
        """Import a path into our blocks and commit to it."""
        settings = PROFILES[self.config.import_profile]
        return await asyncio.to_thread(
            prepare, path, self.blockstore, settings, on_progress=on_progress
        )

    async def forget(self, root_cid: CID) -> None:
        """Drop the blocks of a DAG that no pin keeps; who is paid to keep it is elsewhere."""
        try:
            await asyncio.to_thread(
                lambda: self.repository.collect(among=list(walk(self.blockstore, root_cid)))
            )
        except (PinsDamaged, PinnedDagBroken) as error:
            self.log(f"the blocks of {root_cid} stay here: {error}")

    async def export(self, root_cid: CID, out_path: Path) -> None:
        """Write a DAG that is whole here to the disk."""
        await asyncio.to_thread(export, self.blockstore, root_cid, out_path)

    async def fetch(
        self,
        root_cid: CID,
        *,
        limits: DagLimits,
        on_progress: Callable[[int, int], None],
        peers: Sequence[PeerAddress] = (),
    ) -> FetchedDag:
        """Bring a DAG here, from these peers and from whom the DHT names."""
        return await fetch_dag(
            self.exchange,
            root_cid,
            limits=limits,
            idle_timeout_s=self.config.fetch_idle_seconds,
            peers=peers,
            routing=self.routing,
            on_progress=on_progress,
        )

    async def fetch_over_http(
        self,
        root_cid: CID,
        gateways: Mapping[PeerId, str],
        *,
        limits: DagLimits,
        on_progress: Callable[[int, int], None],
    ) -> FetchedDag:
        """Bring a DAG here from the gateways at these URLs, block by block, each checked."""
        async with GatewayExchange(self.exchange, gateways) as exchange:
            return await fetch_dag(
                exchange,
                root_cid,
                limits=limits,
                idle_timeout_s=self.config.fetch_idle_seconds,
                on_progress=on_progress,
            )

    async def find_on_dht(self, cid: CID) -> list[PeerAddress]:
        """Return the peers that the DHT names for a CID, as many as it finds in time."""
        found: list[PeerAddress] = []
        try:
            async with asyncio.timeout(self.config.find_seconds):
                async for peer in self.routing.find_providers(cid):
                    found.append(peer)  # noqa: PERF401 - what was found before the timeout counts
        except TimeoutError:
            self.log(f"the DHT was slow: {len(found)} providers found so far")
        return found

    async def visit_all(
        self, items: Iterable[T], visit: Callable[[T], Coroutine[Any, Any, None]]
    ) -> None:
        """Put a question to each of many, a bounded number at a time, as far as the time goes."""
        gate = asyncio.Semaphore(ASKED_MAX)

        async def through_gate(item: T) -> None:
            async with gate:
                await visit(item)

        try:
            async with asyncio.timeout(self.config.find_seconds):
                await self.together(map(through_gate, items))
        except TimeoutError:
            self.log("the time was over before every provider was asked")

    async def request_ask(self, peer: PeerAddress) -> SignedAsk:
        """Return the price of a peer, in time."""
        async with asyncio.timeout(self.config.ask_seconds):
            return await request_ask(self.host, peer)

    async def negotiate(
        self, peer: PeerAddress, signed: SignedProposal, worker: Address
    ) -> Accept | Reject:
        """Propose a deal; return the answer, in time."""
        async with asyncio.timeout(self.config.negotiate_seconds):
            return await negotiate(self.host, peer, signed, worker=worker)

    async def request_status(self, proposal: DealProposal) -> Status:
        """Ask a proposal's provider how it stands, in time."""
        provider = await self.ledger.provider(proposal.provider_id)
        peer = registered_peer(provider)
        if peer is None:
            raise MalformedBytes("provider", f"{provider.id} has no address that can be dialled")
        async with asyncio.timeout(self.config.ask_seconds):
            return await request_status(self.host, peer, proposal.cid)


@asynccontextmanager
async def open_ledger(config: ClientConfig) -> AsyncIterator[tuple[RemoteLedger, Genesis]]:
    """Open the ledger alone: enough to look and to pay. Raises `LedgerForeign`."""
    async with RemoteLedger(config.ledger_url) as ledger:
        genesis = await ledger.genesis()
        if genesis.policy.name != config.network:
            raise LedgerForeign(
                expected=config.network, found=genesis.policy.name, settings="client.toml"
            )
        yield ledger, genesis


def open_payer(folder: Path, config: ClientConfig, ledger: Ledger) -> Payer:
    """Return who pays. Raises `WalletMissing`, `WalletUnreadable`, `KeyFileOpen`."""
    key = load_wallet(folder / WALLET_NAME)
    prefix = config.address_prefix
    return Payer(key, key.address(prefix), Sender(ledger, key, prefix=prefix))


def open_identity(folder: Path) -> Identity:
    """Return who this client is on the network: the same after every start.

    A provider that was promised blocks knows the client by it, wherever it is reached by then.
    Raises `KeyFileOpen`.
    """
    path = folder / PEER_NAME
    seed = read_secret(path)
    if seed is not None:
        return Identity.from_seed(seed)
    identity = Identity.generate()
    write_secret(path, identity.seed)
    return identity


@asynccontextmanager
async def open_client(folder: Path, config: ClientConfig) -> AsyncIterator[Session]:
    """Open the client's blocks and join the network.

    Raises `FolderLocked`, `KeyFileOpen`, `LedgerUnreachable`, `LedgerForeign`.
    """
    with locked(folder):
        async with open_ledger(config) as (ledger, genesis):
            store = ClientStore(folder / "client.sqlite")
            blockstore = DiskBlockstore(folder / BLOCKS_NAME)
            pins = PinStore(folder / PINS_NAME)
            try:
                listen = [Multiaddr.parse(address) for address in config.listen]
                async with (
                    Swarm(open_identity(folder), listen=listen) as host,
                    Bitswap(host, blockstore) as bitswap,
                ):
                    routing = Kademlia(host, protocol_id=config.kad_protocol_id, mode=Mode.CLIENT)
                    session = Session(
                        config=config,
                        genesis=genesis,
                        ledger=ledger,
                        host=host,
                        exchange=bitswap,
                        routing=routing,
                        repository=Repository(blockstore, pins),
                        store=store,
                    )
                    await routing.bootstrap(await peers_to_join(config, ledger))
                    yield session
            finally:
                blockstore.close()
                pins.close()
                store.close()
