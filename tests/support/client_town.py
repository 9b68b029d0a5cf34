"""Several providers, real and feigned, a ledger and a client's session in one process.

An epoch passes when nobody has anything else to do: the client waits for the ledger, and every
real provider has done what is due.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from chain.account import Account
from chain.beacon import OwnBeacon
from chain.block import Genesis, SignedHeader
from chain.closing import LedgerKeys
from chain.deal import DealProposal
from chain.errors import NotFound
from chain.genesis import begin_chain
from chain.invariants import violations
from chain.keys import Address, SigningKey
from chain.ledger import LedgerUnreachable
from chain.local import LocalLedger
from chain.messages import DrawFaucet, PublishDeals, RegisterProvider, SignedMessage
from chain.node import LedgerNode
from chain.policy import DEV
from chain.provider import Ask, SignedAsk
from chain.sender import Sender
from chain.store import LedgerStore
from chain.units import Atto, Epoch, ProviderId
from client.config import ClientConfig
from client.prepare import Prepared
from client.session import Payer, Session
from client.store import ClientStore
from ipfs.bitswap.stream import Bitswap
from ipfs.block import Block
from ipfs.blockstore import MemoryBlockstore
from ipfs.cid import CID
from ipfs.disk import DiskBlockstore
from ipfs.host import PeerAddress
from ipfs.kad.stream import Kademlia, Mode
from ipfs.p2p.memory import MemoryHost, MemoryNetwork
from ipfs.p2p.peer_id import PeerId
from ipfs.pins.store import PinStore
from ipfs.repository import Repository
from market.messages import Accept, Progress, Propose, Reject, SignedProposal, Status, StatusRequest
from market.stream import serve_asks, serve_deals
from proofs.bls import SecretKey
from proofs.parameters import ProofType
from provider.config import ProviderConfig
from provider.daemon import Surroundings, open_node
from provider.disk import SectorDisk
from provider.keys import create_keys
from provider.node import ProviderNode
from provider.sealing import SealingPool
from provider.sealing_plan import SealingPlan
from provider.store import ProviderStore

T = TypeVar("T")
SMALL = ProofType.SDR_2KIB
ONE_AT_A_TIME = SealingPlan(SMALL, workers=1, together=1)
PRICE = Atto(10**12)
TICKS = 20
"""Turns of the event loop in which whoever a block wakes up has begun to act on it."""


class Watched(LocalLedger):
    """One party's line to the ledger: it can be cut, and it is known what its holder waits for."""

    def __init__(self, node: LedgerNode) -> None:
        super().__init__(node)
        self.busy = self.waiting = 0
        self._is_up = asyncio.Event()
        self._is_up.set()

    def cut(self) -> None:
        """Let the ledger not answer this party any more."""
        self._is_up.clear()

    def mend(self) -> None:
        """Let it answer again."""
        self._is_up.set()

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Count as having something to do, so that no epoch passes meanwhile."""
        self.busy += 1
        try:
            yield
        finally:
            self.busy -= 1

    @contextmanager
    def _at_rest(self) -> Iterator[None]:
        self.waiting += 1
        try:
            yield
        finally:
            self.waiting -= 1

    def __getattribute__(self, name: str) -> Any:
        """Let every question fail while the line is cut, and count as work until its answer."""
        found = super().__getattribute__(name)
        return _answering(self, found) if name in _QUESTIONS else found

    async def heads(self) -> AsyncIterator[SignedHeader]:
        epoch = -1
        while True:
            with self._at_rest():
                head = await self.head_after(epoch)
                await self._is_up.wait()
            epoch = head.header.epoch
            yield head

    async def receipt(self, message_id: CID) -> Any:
        with self._at_rest():
            await self.leaves_mempool(message_id)
            await self._is_up.wait()
        with self.at_work():
            return await super().receipt(message_id)

    def require_up(self) -> None:
        """Raise `LedgerUnreachable` while it does not answer."""
        if not self._is_up.is_set():
            raise LedgerUnreachable("memory", "the line is cut")


class Forgetful(Watched):
    """Loses its answer to the first message of a kind, forgets it, and loses the answer again."""

    forgets: type[Any] | None = None
    _losses = 0

    async def submit(self, message: SignedMessage, proofs: Sequence[Block] = ()) -> CID:
        admitted = await super().submit(message, proofs)
        if self._losses < 2 and self.forgets and isinstance(message.message.body, self.forgets):
            self._losses += 1
            raise LedgerUnreachable("memory", "the answer was lost")
        return admitted

    async def receipt(self, message_id: CID) -> Any:
        if self._losses == 1:
            raise NotFound("message", message_id)
        return await super().receipt(message_id)


_QUESTIONS = frozenset(
    [
        "genesis",
        "head",
        "sender",
        "submit",
        "providers",
        "provider",
        "deal",
        "deals",
        "deal_of",
        "reservations",
        "sectors",
    ]
)


def _answering(ledger: Watched, question: Callable[..., Coroutine[Any, Any, T]]) -> Any:
    async def ask(*args: Any, **kwargs: Any) -> T:
        ledger.require_up()
        with ledger.at_work():
            return await question(*args, **kwargs)

    return ask


@dataclass(frozen=True)
class WatchedSession(Session):
    """A session whose talks count as work, so that no epoch passes while they last."""

    line: Watched

    async def negotiate(
        self, peer: PeerAddress, signed: SignedProposal, worker: Address
    ) -> Accept | Reject:
        with self.line.at_work():
            return await super().negotiate(peer, signed, worker)

    async def request_status(self, proposal: DealProposal) -> Status:
        with self.line.at_work():
            return await super().request_status(proposal)


class RealProvider:
    """A provider that does all that a daemon does."""

    def __init__(self, town: "Town", node: ProviderNode, line: Watched, host: MemoryHost) -> None:
        self._town = town
        self.node = node
        self.id = node.provider_id
        self._line = line
        self._host = host
        self._work: asyncio.Task[None] | None = asyncio.create_task(node.run())

    @property
    def is_idle(self) -> bool:
        """Whether it has done all that is due at the newest head."""
        if self._work is None:
            return True
        if self._work.done():
            self._work.result()
        is_up_to_date = self.node.facts.head_epoch == self._town.epoch
        return (is_up_to_date and not self.node.under_way) or self._line.waiting > 1

    async def kill(self) -> None:
        """End it, whatever it is doing."""
        self._town.network.take_down(self._host.peer_id)
        if self._work is not None:
            work, self._work = self._work, None
            work.cancel()
            await asyncio.gather(work, return_exceptions=True)


class FeignedProvider:
    """A provider that is registered and signs an ask, and from there does what a test likes."""

    def __init__(self, town: "Town", number: int, host: MemoryHost | None) -> None:
        prefix = town.genesis.policy.address_prefix
        self._town = town
        self.host = host or town.network.add_host()
        self.key = SigningKey(b"feigned %d" % number + bytes(23))
        self.sender = Sender(town.line(), self.key, prefix)
        self.id = ProviderId(1)
        self.proposals: list[DealProposal] = []

    async def register(self, gateway: str | None = None) -> "FeignedProvider":
        """Enter the registry, with money for collateral, and maybe with a gateway."""
        faucet = DrawFaucet(amount_atto=self._town.genesis.policy.faucet_atto_max)
        await self._town.passing(self.sender.send(faucet))
        receipt = await self._town.passing(
            self.sender.send(
                RegisterProvider(
                    worker=self.sender.address,
                    peer_id=str(self.host.peer_id),
                    addresses=(
                        *map(str, self.host.addresses),
                        *((gateway,) if gateway is not None else ()),
                    ),
                )
            )
        )
        self.id = ProviderId(receipt.created_ids[0])
        return self

    def sells(self, **changes: Any) -> None:
        """Answer who asks for the price."""
        terms: dict[str, Any] = {
            "provider_id": self.id,
            "chain_id": self._town.genesis.chain_id,
            "proof_type": SMALL,
            "price_atto_per_gib_epoch": PRICE,
            "piece_size_bytes_min": 128,
            "piece_size_bytes_max": 2048,
            "duration_epochs_max": 10_000,
            "expires_epoch": Epoch(100_000),
        }
        signed = SignedAsk.sign(Ask(**{**terms, **changes}), self.key)
        serve_asks(self.host, lambda: signed)

    def answers(
        self,
        consider: Callable[[Propose], Accept | Reject],
        status: Callable[[StatusRequest, PeerId], Awaitable[Status]] | None = None,
    ) -> None:
        """Answer proposals, and questions after them; by itself, that the blocks are on the way."""

        async def answer(propose: Propose) -> Accept | Reject:
            self.proposals.append(propose.proposal)
            return consider(propose)

        serve_deals(self.host, consider=answer, status=status or told(Progress.TRANSFERRING))

    def accept(self, propose: Propose) -> Accept:
        """Say yes."""
        proposal = propose.proposal
        fetch_by = proposal.publish_by_epoch
        return Accept.sign(proposal.cid, fetch_by_epoch=fetch_by, worker=self.key)

    async def publish(self, proposal: DealProposal) -> None:
        """Publish a deal without having a byte of it."""
        publish = PublishDeals(provider_id=self.id, proposal_cids=(proposal.cid,))
        await self.sender.send(publish)


def told(progress: Progress) -> Callable[[StatusRequest, PeerId], Awaitable[Status]]:
    """Return what tells everybody who asks that it is so far."""

    async def tell(question: StatusRequest, _: PeerId) -> Status:
        return Status(proposal_cid=question.proposal_cid, progress=progress)

    return tell


class Town:
    """The whole."""

    def __init__(self, folder: Path, network: MemoryNetwork, sealing: SealingPool) -> None:
        self.folder = folder
        self.network = network
        self.running = AsyncExitStack()
        self.providers: list[RealProvider] = []
        self._sealing = sealing
        self._milliseconds = 0
        signing = SigningKey(b"ledger".ljust(32, b"\0"))
        keys = LedgerKeys(signing, SecretKey.from_seed(b"beacon".ljust(32, b"\0")))
        self.genesis = Genesis(
            policy=DEV,
            ledger_address=signing.address(DEV.address_prefix),
            beacon=OwnBeacon(public_key=keys.beacon.public_key),
            timestamp_milliseconds=0,
        )
        store = LedgerStore(f"sqlite:///{folder / 'ledger.sqlite'}")
        store.create_tables()
        begin_chain(store, keys, self.genesis)
        self._node = LedgerNode(store, keys, clock=lambda: self._milliseconds)
        self._lines: list[Watched] = []
        self.ledger = LocalLedger(self._node)

    @property
    def epoch(self) -> Epoch:
        """The newest block's."""
        return self._node.head.header.epoch

    def line(self, kind: type[Watched] = Watched) -> Watched:
        """Return another party's way to the ledger."""
        self._lines.append(kind(self._node))
        return self._lines[-1]

    async def passing(self, work: Coroutine[Any, Any, T], *, epochs_max: int = 200) -> T:
        """Let epochs pass, each when nobody has anything to do, until this is done."""
        last_epoch = self.epoch + epochs_max
        task = asyncio.create_task(work)
        try:
            while not task.done():
                for _ in range(TICKS):
                    await asyncio.sleep(0)
                if not task.done() and self._is_quiet():
                    assert self.epoch < last_epoch, f"not within {epochs_max} epochs"
                    await self.close_epoch()
        finally:
            task.cancel()
            await asyncio.wait([task])
        return task.result()

    async def hears(self, sender: Address, count: int) -> None:
        """Return once the sender has said so much in all."""
        while (await self.ledger.sender(sender)).next_nonce < count:  # noqa: ASYNC110  no event
            await asyncio.sleep(0)

    async def close_epoch(self) -> None:
        """Let one epoch pass; the ledger's books are right after it."""
        self._milliseconds += self.genesis.policy.epoch_seconds * 1_000
        await self._node.close_epoch()
        assert await self._node.read(lambda view: list(violations(view))) == []

    def _is_quiet(self) -> bool:
        is_waiting = any(line.waiting for line in self._lines)
        is_busy = any(line.busy for line in self._lines)
        return is_waiting and not is_busy and all(one.is_idle for one in self.providers)

    async def provider(self, **changes: Any) -> RealProvider:
        """Start a provider of its own owner."""
        folder = self.folder / f"provider{len(self.providers)}"
        keys = create_keys(folder)
        stack = self.running
        blocks = stack.enter_context(DiskBlockstore(folder / "blocks"))
        store = ProviderStore(f"sqlite:///{folder / 'provider.sqlite'}")
        stack.callback(store.close)
        host, line = self.network.add_host(keys.peer), self.line()
        around = Surroundings(
            ledger=line,
            host=host,
            exchange=await stack.enter_async_context(Bitswap(host, blocks)),
            routing=Kademlia(host),
            blocks=blocks,
            sealing=self._sealing,
            store=store,
            disk=SectorDisk(folder),
        )
        terms = {"price_atto_per_gib_epoch": PRICE, "pack_wait_epochs": 0, **changes}
        config = ProviderConfig(proof_type=SMALL, **terms)
        node = await self.passing(open_node(config, keys, self.genesis, around))
        node.serve()
        provider = RealProvider(self, node, line, host)
        self.providers.append(provider)
        stack.push_async_callback(provider.kill)
        return provider

    async def feigned(
        self, host: MemoryHost | None = None, *, gateway: str | None = None
    ) -> FeignedProvider:
        """Register a provider that only pretends."""
        return await FeignedProvider(self, len(self._lines), host).register(gateway)


class Client:
    """Somebody with a session and a wallet."""

    def __init__(self, town: Town, session: WatchedSession, payer: Payer) -> None:
        self.town = town
        self.session = session
        self.payer = payer
        self.line = session.line
        self.peer = PeerAddress(session.host.peer_id, session.host.addresses)

    async def file(self, text: str) -> Prepared:
        """Return a small file, prepared."""
        path = self.town.folder / "file"
        path.write_text(text * 20)
        return await self.session.prepare(path, lambda _: None)

    async def account(self) -> Account:
        """Return the account as the ledger has it."""
        return (await self.town.ledger.sender(self.payer.address)).account


@asynccontextmanager
async def town(folder: Path) -> AsyncIterator[Town]:
    """Return a town in which nobody lives yet."""
    async with MemoryNetwork() as network, SealingPool(ONE_AT_A_TIME) as sealing:
        place = Town(folder, network, sealing)
        async with place.running:
            yield place


@asynccontextmanager
async def client_of(
    place: Town, *, name: str = "alice", poor: bool = False, line_kind: type[Watched] = Watched
) -> AsyncIterator[Client]:
    """Return a client with money, unless it is poor."""
    host, line = place.network.add_host(), place.line(line_kind)
    blocks, store = MemoryBlockstore(), ClientStore(place.folder / f"{name}.sqlite")
    pins = PinStore(place.folder / f"{name}-pins.sqlite")
    key = SigningKey(name.encode().ljust(32, b"\0"))
    prefix = place.genesis.policy.address_prefix
    payer = Payer(key, key.address(prefix), Sender(line, key, prefix))
    async with Bitswap(host, blocks) as bitswap:
        session = WatchedSession(
            config=ClientConfig(fetch_idle_seconds=2),
            genesis=place.genesis,
            ledger=line,
            host=host,
            exchange=bitswap,
            routing=Kademlia(host, mode=Mode.CLIENT),
            repository=Repository(blocks, pins),
            store=store,
            line=line,
        )
        if not poor:
            faucet = DrawFaucet(amount_atto=place.genesis.policy.faucet_atto_max)
            await place.passing(payer.sender.send(faucet))
        yield Client(place, session, payer)
    store.close()
    pins.close()


class Gossip:
    """A routing that names the same peers for everything, in this order."""

    def __init__(self, *peers: PeerAddress) -> None:
        self._peers = peers

    async def provide(self, cid: CID) -> int:
        return 0

    async def find_providers(
        self, cid: CID, *, count_max: int | None = None
    ) -> AsyncIterator[PeerAddress]:
        for peer in self._peers:
            yield peer

    async def find_peer(self, peer_id: PeerId) -> PeerAddress | None:
        return None
