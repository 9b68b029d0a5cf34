"""Opens the client's blocks and pins, and the network around them once a block is missing."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import (
    AbstractAsyncContextManager,
    AsyncExitStack,
    aclosing,
    asynccontextmanager,
    contextmanager,
)
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Final, Self

from chain.errors import LedgerError
from chain.ledger import LedgerForeign, LedgerUnreachable
from client.config import ClientConfig
from client.errors import NowhereToKeep
from client.keys import Keys
from client.registry import gateways_of, peers_to_join
from client.session import BLOCKS_NAME, PINS_NAME, open_ledger
from ipfs.bitswap.session import BlockUnavailable
from ipfs.bitswap.stream import Bitswap
from ipfs.block import Block
from ipfs.blockstore import BlockNotFound, Blockstore
from ipfs.cid import CID
from ipfs.dag import inline_block, walk
from ipfs.disk import DiskBlockstore, StoreLocked
from ipfs.disk_reader import DiskReader
from ipfs.exchange import DagLimits, DagUnavailable, Exchange, fetch_dag
from ipfs.gateway.gateway import NAMES_MAX
from ipfs.gateway.remote import GatewayExchange
from ipfs.host import NetworkError, PeerAddress
from ipfs.ipns import IpnsRecord
from ipfs.kad.stream import Kademlia, Mode
from ipfs.naming import NameNotFound, publish, resolve
from ipfs.p2p.multiaddr import Multiaddr
from ipfs.p2p.peer_id import Identity, PeerId
from ipfs.p2p.swarm import Swarm
from ipfs.pins.store import PinStore
from ipfs.repository import Repository

LIMITS: Final = DagLimits(blocks_max=1 << 24, bytes_max=1 << 42)
"""A DAG asked for by hand: four terabytes, in sixteen million blocks."""

KEYS_NAME: Final = "keys"

log = logging.getLogger(__name__)


def open_disk(folder: Path) -> DiskBlockstore:
    """Open the client's blocks to change them; one process at a time. Raises `StoreLocked`."""
    return DiskBlockstore(folder / BLOCKS_NAME)


def open_reader(folder: Path) -> DiskReader:
    """Open the client's blocks to read them, beside whoever changes them."""
    return DiskReader(folder / BLOCKS_NAME)


def open_pins(folder: Path) -> PinStore:
    """Open the client's pins; who changes them has the blocks open too. Raises `PinsDamaged`."""
    return PinStore(folder / PINS_NAME)


def open_keys(folder: Path) -> Keys:
    """Return the client's names."""
    return Keys(folder / KEYS_NAME)


@contextmanager
def open_repository(folder: Path) -> Iterator[Repository]:
    """Open the client's blocks and pins to change them. Raises `StoreLocked`, `PinsDamaged`."""
    with open_disk(folder) as blocks, open_pins(folder) as pins:
        yield Repository(blocks, pins)


class NobodyToAsk(NetworkError):
    """No peer of the DHT is known that could be asked."""

    code = "nobody-to-ask"

    def __init__(self) -> None:
        super().__init__(
            "no peer of the DHT answers: name one with --peer, or in client.toml as bootstrap"
        )


class NobodyHasIt(LookupError):
    """No peer of the DHT knows of anybody who has a block."""

    code: ClassVar[str] = "no-provider"

    def __init__(self, cid: CID) -> None:
        super().__init__(f"the DHT knows nobody who has {cid}")
        self.cid = cid


@dataclass(frozen=True, slots=True)
class Network:
    """The client among its peers."""

    config: ClientConfig
    host: Swarm
    blocks: Blockstore
    exchange: Bitswap
    routing: Kademlia
    holders: list[PeerAddress]
    """Peers that were named, or found to have something: asked before any others."""

    gateways: Mapping[PeerId, str]
    """URLs of known peers that serve blocks over HTTP: asked where Bitswap reaches nobody."""

    async def get(self, cid: CID, *, root: CID) -> Block:
        """Bring one block here, of the DAG of `root`: who has that is likely to have it.

        Raises `DagUnavailable`.
        """
        try:
            block = await self._one(self.exchange, cid, root, seek=[cid, root])
        except DagUnavailable:
            if not self.gateways:
                raise
            async with GatewayExchange(self.exchange, self.gateways) as exchange:
                block = await self._one(exchange, cid, root, seek=())
        await self.exchange.keep([block])
        return block

    async def bring(
        self, cid: CID, on_progress: Callable[[int, int], None], *, root: CID | None = None
    ) -> None:
        """Bring a whole DAG here, a part of that of `root`. Raises as `fetch_dag` does."""
        timeout_s = self.config.fetch_idle_seconds
        try:
            await fetch_dag(
                self.exchange,
                cid,
                limits=LIMITS,
                idle_timeout_s=timeout_s,
                peers=self.holders,
                routing=self.routing,
                within=root,
                on_progress=on_progress,
            )
        except DagUnavailable:
            if not self.gateways:
                raise
            async with GatewayExchange(self.exchange, self.gateways) as exchange:
                await fetch_dag(
                    exchange,
                    cid,
                    limits=LIMITS,
                    idle_timeout_s=timeout_s,
                    on_progress=on_progress,
                )

    async def publish(
        self,
        identity: Identity,
        path: str,
        *,
        last: IpnsRecord | None,
        lifetime_ns: int,
        ttl_ns: int,
    ) -> IpnsRecord:
        """Point the name of a key at a content path; return the record.

        last:  what it was pointed at from here, which the network may have forgotten
        Raises `NobodyToAsk`, `NameNotPublished`.
        """
        self.require_peers()
        return await publish(
            self.routing,
            identity,
            path,
            now_ns=time.time_ns(),
            sequence_min=0 if last is None else last.sequence_for(path),
            lifetime_ns=lifetime_ns,
            ttl_ns=ttl_ns,
        )

    async def resolve(self, name: PeerId) -> str:
        """Return the content path that a name leads to, through other names if need be.

        Raises `NameNotFound`, `NobodyToAsk`, and as `IpnsRecord.path` does.
        """
        self.require_peers()
        rest = ""
        for _ in range(NAMES_MAX):
            record = await resolve(self.routing, name, now_ns=time.time_ns())
            if record is None:
                break
            path = record.path + rest
            if not path.startswith("/ipns/"):
                return path
            target, slash, after = path.removeprefix("/ipns/").partition("/")
            name, rest = PeerId.parse(target), slash + after
        raise NameNotFound(name)

    async def find_providers(self, cid: CID, *, count_max: int) -> AsyncIterator[PeerAddress]:
        """Yield the peers that are said to have a block, each once.

        Raises `NobodyToAsk`, `NobodyHasIt`.
        """
        self.require_peers()
        found: set[PeerId] = set()
        async with aclosing(self.routing.find_providers(cid, count_max=count_max)) as providers:
            async for peer in providers:
                if peer.peer_id not in found:
                    found.add(peer.peer_id)
                    yield peer
        if not found:
            raise NobodyHasIt(cid)

    def require_peers(self) -> None:
        """Check that there is somebody to ask. Raises `NobodyToAsk`."""
        if not len(self.routing.table):
            raise NobodyToAsk

    async def _one(self, exchange: Exchange, cid: CID, root: CID, *, seek: Sequence[CID]) -> Block:
        """Receive one block; `seek` whom the DHT names for these CIDs, the last one first."""
        unsought = list(dict.fromkeys(seek))
        with exchange.fetch(self.holders, idle_timeout_s=self.config.fetch_idle_seconds) as fetch:
            fetch.want([cid])
            while True:
                try:
                    [block] = await fetch.receive()
                except BlockUnavailable as error:
                    if not unsought:
                        raise DagUnavailable(root, cid, error.answers) from error
                    fetch.seek(self._found(unsought.pop()))
                else:
                    return block

    async def _found(self, cid: CID) -> AsyncIterator[PeerAddress]:
        async for peer in self.routing.find_providers(cid):
            self.holders.append(peer)
            yield peer

    async def serve(self) -> None:
        """Answer peers, and announce again in time, until cancelled."""
        await self.routing.run()


@asynccontextmanager
async def open_network(
    config: ClientConfig,
    blocks: Blockstore,
    peers: Sequence[PeerAddress] = (),
    *,
    provider: Identity | None = None,
) -> AsyncIterator[Network]:
    """Join the network, to have blocks from it and to serve what is in `blocks`.

    peers:     to join through and to ask first, besides those of the settings and of the
               ledger's registry
    provider:  who is dialled at the addresses of the settings, and answers for the DHT there;
               None: a visitor, who only dials
    """
    listen = () if provider is None else tuple(map(Multiaddr.parse, config.listen))
    mode = Mode.SERVER if listen else Mode.CLIENT
    async with (
        Swarm(provider or Identity.generate(), listen=listen) as host,
        Bitswap(host, blocks) as exchange,
    ):
        routing = Kademlia(host, protocol_id=config.kad_protocol_id, mode=mode)
        known = [*peers, *await _peers_to_join(config)]
        await routing.bootstrap(known)
        yield Network(config, host, blocks, exchange, routing, list(peers), gateways_of(known))


async def _peers_to_join(config: ClientConfig) -> list[PeerAddress]:
    """Return the peers of the settings and, where a ledger answers in time, of its registry."""
    try:
        async with asyncio.timeout(config.ask_seconds), open_ledger(config) as (ledger, _):
            return await peers_to_join(config, ledger)
    except (LedgerUnreachable, LedgerForeign, LedgerError, TimeoutError) as error:
        log.info("the registry of providers was not read: %s", error or "no answer in time")
        return [PeerAddress.parse(text) for text in config.bootstrap]


@asynccontextmanager
async def open_fetching(
    folder: Path, config: ClientConfig, reader: DiskReader, peers: Sequence[PeerAddress] = ()
) -> AsyncIterator[Network]:
    """Close the reader, open the client's blocks for what is to come, and join the network.

    Raises `NowhereToKeep`, and as `open_network` does.
    """
    # First: within one process, SQLite's locks on a file go when any descriptor of it is closed.
    reader.close()
    try:
        disk = open_disk(folder)
    except StoreLocked as error:
        raise NowhereToKeep(error) from error
    with disk as blocks:
        async with open_network(config, blocks, peers) as network:
            yield network


Join = Callable[[], AbstractAsyncContextManager[Network]]


class Source:
    """Blocks from here, else from the network, which is joined when the first one is missing."""

    def __init__(self, blocks: Blockstore, join: Join | None) -> None:
        """join: None stays offline, where nothing more is found."""
        self.blocks = blocks
        """What is here; another way to it once the network is joined."""

        self._root: CID | None = None
        """What was asked for first: who has it is likely to have what is below."""

        self._join = join
        self._opened = AsyncExitStack()
        self._network: Network | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._opened.aclose()

    async def get(self, cid: CID) -> Block:
        """Return one block. Raises `BlockNotFound` offline, else `DagUnavailable`."""
        if inline := inline_block(cid):
            return inline
        self._root = self._root or cid
        try:
            return self.blocks.get(cid)
        except BlockNotFound:
            if self._join is None:
                raise
        network = await self._joined(self._join)
        try:
            return self.blocks.get(cid)
        except BlockNotFound:
            return await network.get(cid, root=self._root)

    async def bring(self, cid: CID, on_progress: Callable[[int, int], None]) -> None:
        """Have a whole DAG here. Raises as `get` does, and what `walk` and `fetch_dag` do."""
        self._root = self._root or cid
        try:
            await asyncio.to_thread(require_whole, self.blocks, cid)
        except BlockNotFound:
            if self._join is None:
                raise
            network = await self._joined(self._join)
            await network.bring(cid, on_progress, root=self._root)

    async def resolve(self, name: PeerId) -> str:
        """Return the content path that a name leads to. Raises as `Network.resolve` does."""
        if self._join is None:
            raise NameNotFound(name)
        return await (await self._joined(self._join)).resolve(name)

    async def _joined(self, join: Join) -> Network:
        if self._network is None:
            self._network = await self._opened.enter_async_context(join())
            self.blocks = self._network.blocks
        return self._network


def require_whole(blocks: Blockstore, root: CID) -> None:
    """Check that no block of a DAG is missing. Raises what `walk` does."""
    for _ in walk(blocks, root):
        pass
