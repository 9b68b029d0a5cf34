"""A ledger, a provider and a client in one process; epochs pass when nothing else is to be done."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

from chain.beacon import OwnBeacon
from chain.block import Genesis, Receipt
from chain.closing import LedgerKeys
from chain.deal import Deal, DealProposal, Reservation
from chain.genesis import begin_chain
from chain.keys import Address, SigningKey
from chain.ledger import LedgerUnreachable, SenderState
from chain.local import LocalLedger
from chain.messages import DrawFaucet, ReserveEscrow
from chain.node import LedgerNode
from chain.policy import DEV, Policy
from chain.provider import Provider
from chain.sender import Sender
from chain.store import LedgerStore
from chain.units import Atto, DealId, Epoch, ProviderId
from ipfs import dag_cbor
from ipfs.bitswap.stream import Bitswap
from ipfs.block import Block
from ipfs.blockstore import Blockstore, MemoryBlockstore
from ipfs.car import car_of
from ipfs.cid import CID, Codec
from ipfs.host import PeerAddress
from ipfs.kad.stream import Kademlia
from ipfs.p2p.memory import MemoryHost, MemoryNetwork
from ipfs.p2p.multiaddr import Multiaddr
from ipfs.p2p.peer_id import Identity, PeerId
from ipfs.piece_cid import piece_cid_v2
from market.messages import Accept, Reject, SignedProposal
from market.stream import negotiate, request_ask
from proofs.bls import SecretKey
from proofs.parameters import ProofType
from proofs.piece import comm_p
from provider.blockstores import open_blocks
from provider.config import ProviderConfig
from provider.daemon import Surroundings, open_node
from provider.disk import SectorDisk
from provider.keys import ProviderKeys, create_keys, load_keys
from provider.node import ProviderNode
from provider.sealing import SealingPool
from provider.sealing_plan import SealingPlan
from provider.store import ProviderStore

T = TypeVar("T")
SMALL = ProofType.SDR_2KIB
ONE_AT_A_TIME = SealingPlan(SMALL, workers=1, together=1)
CLIENT_IDENTITY = Identity.from_seed(b"client".ljust(32, b"\0"))


class SteppedLedger(LocalLedger):
    """A ledger that knows whether anybody waits for its next block, and can be away."""

    waiting = 0
    is_away = False
    deals_asked_one_by_one = 0

    async def deal(self, deal_id: DealId) -> Deal:
        self.deals_asked_one_by_one += 1
        return await super().deal(deal_id)

    async def sender(self, address: Address) -> SenderState:
        self._answer()
        return await super().sender(address)

    async def reservations(self, provider_id: ProviderId) -> tuple[Reservation, ...]:
        self._answer()
        return await super().reservations(provider_id)

    async def deals(self, **filters: Any) -> tuple[Deal, ...]:
        self._answer()
        return await super().deals(**filters)

    def _answer(self) -> None:
        if self.is_away:
            raise LedgerUnreachable("memory", "away")

    async def receipt(self, message_id: CID) -> Receipt:
        # Who has its block only reads: another epoch would pass because that takes a moment.
        self.waiting += 1
        try:
            await self.leaves_mempool(message_id)
        finally:
            self.waiting -= 1
        return await super().receipt(message_id)


class Client:
    """Serves its blocks, and pays."""

    def __init__(self, town: "Town", host: MemoryHost, blocks: MemoryBlockstore) -> None:
        self._town = town
        self.host = host
        self.blocks = blocks
        self.key = SigningKey(b"client".ljust(32, b"\0"))
        prefix = town.genesis.policy.address_prefix
        self.sender = Sender(town.ledger, self.key, prefix)
        self._nonce = 0

    def add_dag(self, *leaves: bytes) -> CID:
        """Put a small DAG into our blocks; return its root."""
        raw = [Block.of(Codec.RAW, leaf) for leaf in leaves]
        root = Block.of(Codec.DAG_CBOR, dag_cbor.encode([block.cid for block in raw]))
        self.blocks.put((root, *raw))
        return root.cid

    async def propose(self, provider: Provider, root: CID, **changes: Any) -> DealProposal:
        """Return a proposal to keep a DAG at the provider's own price."""
        ask = (await request_ask(self.host, self.address_of(provider))).ask
        commitment = comm_p(b"".join(car_of(self.blocks, root)))
        size_bytes = commitment.padded_size_bytes
        price_atto = ask.price_atto_per_epoch(size_bytes)
        policy = self._town.genesis.policy
        head_epoch = (await self._town.ledger.head()).header.epoch
        rule = policy.sector_rule(ask.proof_type)
        assert rule is not None
        publish_by = head_epoch + 12
        start = publish_by + rule.sealing_epochs
        end = start + 3 * policy.proving_period_epochs
        self._nonce += 1
        terms: dict[str, Any] = {
            "piece_cid": piece_cid_v2(
                commitment.root, padding_bytes=commitment.padding_bytes, height=commitment.height
            ),
            "piece_size_bytes": size_bytes,
            "root_cid": root,
            "client": self.sender.address,
            "provider_id": provider.id,
            "start_epoch": Epoch(start),
            "end_epoch": Epoch(end),
            "publish_by_epoch": Epoch(publish_by),
            "price_atto_per_epoch": price_atto,
            "collateral_atto": policy.collateral_atto(
                piece_size_bytes=size_bytes,
                duration_epochs=end - start,
                price_atto_per_epoch=price_atto,
            ),
            "chain_id": self._town.genesis.chain_id,
            "nonce": self._nonce,
        }
        return DealProposal(**{**terms, **changes})

    async def negotiate(self, provider: Provider, proposal: DealProposal) -> Accept | Reject:
        """Propose it; return the answer."""
        signed = SignedProposal.sign(proposal, self.key)
        peer = self.address_of(provider)
        return await negotiate(self.host, peer, signed, worker=provider.worker)

    async def reserve(self, proposal: DealProposal) -> Receipt:
        """Set the price aside."""
        return await self._town.passing(self.sender.send(ReserveEscrow(proposal=proposal)))

    def address_of(self, provider: Provider) -> PeerAddress:
        """Return where the registry says a provider is."""
        addresses = tuple(Multiaddr.parse(address) for address in provider.addresses)
        return PeerAddress(PeerId.parse(provider.peer_id), addresses)


class Town:
    """The whole: its epochs pass only in `passing` and `until`."""

    def __init__(self, folder: Path, network: MemoryNetwork, policy: Policy) -> None:
        self.folder = folder
        self.network = network
        self._milliseconds = 0
        signing = SigningKey(b"ledger".ljust(32, b"\0"))
        keys = LedgerKeys(signing, SecretKey.from_seed(b"beacon".ljust(32, b"\0")))
        self.genesis = Genesis(
            policy=policy,
            ledger_address=signing.address(policy.address_prefix),
            beacon=OwnBeacon(public_key=keys.beacon.public_key),
            timestamp_milliseconds=0,
        )
        store = LedgerStore(f"sqlite:///{folder / 'ledger.sqlite'}")
        store.create_tables()
        begin_chain(store, keys, self.genesis)
        self._ledger_node = LedgerNode(store, keys, clock=lambda: self._milliseconds)
        self.ledger = SteppedLedger(self._ledger_node)
        self.keys: ProviderKeys = create_keys(folder / "provider")
        self.config = ProviderConfig(proof_type=SMALL, pack_wait_epochs=0)
        self.node: ProviderNode | None = None
        self._running: AsyncExitStack | None = None
        self.sealing: SealingPool
        self._blocks: Blockstore
        self._work: asyncio.Task[None]

    async def close_epoch(self) -> None:
        """Let one epoch pass."""
        self._milliseconds += self.genesis.policy.epoch_seconds * 1_000
        await self._ledger_node.close_epoch()

    async def passing(self, work: Coroutine[Any, Any, T]) -> T:
        """Let epochs pass, when somebody waits for one, until this is done; return its result."""
        task = asyncio.create_task(work)
        while not task.done():
            if self.ledger.waiting:
                await self.close_epoch()
            await asyncio.to_thread(int)
        return task.result()

    async def start(self) -> Provider:
        """Start the provider in its folder, as after any end of it."""
        folder = self.folder / "provider"
        self._running = stack = AsyncExitStack()
        self._blocks = blocks = stack.enter_context(open_blocks(folder, self.config))
        store = ProviderStore(f"sqlite:///{folder / 'provider.sqlite'}")
        stack.callback(store.close)
        self.keys = load_keys(folder)
        self.network.bring_up(self.keys.peer.peer_id)
        host = self.network.add_host(self.keys.peer)
        around = Surroundings(
            ledger=self.ledger,
            host=host,
            exchange=await stack.enter_async_context(Bitswap(host, blocks)),
            routing=Kademlia(host),
            blocks=blocks,
            sealing=self.sealing,
            store=store,
            disk=SectorDisk(folder),
        )
        opening = open_node(self.config, self.keys, self.genesis, around)
        node = await self.passing(opening)
        provider = await self.ledger.provider(node.provider_id)
        node.serve()
        self.node = node
        self._work = asyncio.create_task(node.run())
        stack.push_async_callback(_end, self._work)
        return provider

    async def kill(self) -> None:
        """End the provider, whatever it is doing; it may not have come far."""
        if self._running is not None:
            self.network.take_down(self.keys.peer.peer_id)
            await self._running.aclose()
        self._running = self.node = None

    async def until(self, is_so: Callable[[ProviderNode], bool], *, epochs_max: int = 200) -> None:
        """Let epochs pass, each when the provider has done what is due, until something is so."""
        last_epoch = (await self.ledger.head()).header.epoch + epochs_max
        while True:
            assert self.node is not None
            if self._work.done():
                self._work.result()
            if is_so(self.node):
                return
            head_epoch = (await self.ledger.head()).header.epoch
            assert head_epoch <= last_epoch, f"not within {epochs_max} epochs"
            is_idle = not self.node.under_way and self.node.facts.head_epoch == head_epoch
            if is_idle or self.ledger.waiting:
                await self.close_epoch()
            await asyncio.to_thread(int)

    def stored_blocks(self) -> Iterator[CID]:
        """Yield what the running provider has in its block store."""
        return iter(self._blocks)

    async def deals(self) -> Sequence[Deal]:
        """Return every deal, as the ledger has it."""
        return await self.ledger.deals()


async def _end(task: "asyncio.Task[None]") -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


@asynccontextmanager
async def town(folder: Path, policy: Policy = DEV) -> AsyncIterator[Town]:
    """Return a town whose provider is not started yet."""
    async with MemoryNetwork() as network, SealingPool(ONE_AT_A_TIME) as sealing:
        place = Town(folder, network, policy)
        place.sealing = sealing
        try:
            yield place
        finally:
            await place.kill()


@asynccontextmanager
async def client_of(place: Town) -> AsyncIterator[Client]:
    """Return a client with money, whose blocks are served."""
    host, blocks = place.network.add_host(CLIENT_IDENTITY), MemoryBlockstore()
    async with Bitswap(host, blocks):
        client = Client(place, host, blocks)
        draw = DrawFaucet(amount_atto=Atto(place.genesis.policy.faucet_atto_max))
        await place.passing(client.sender.send(draw))
        yield client
