"""Opens the client's blocks and pins, and the network around them once a block is missing."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import (
    AbstractAsyncContextManager,
    AsyncExitStack,
    asynccontextmanager,
    contextmanager,
)
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from chain.disk import locked
from client.config import ClientConfig
from client.session import BLOCKS_NAME, PINS_NAME, open_identity
from ipfs.bitswap.session import BlockUnavailable
from ipfs.bitswap.stream import Bitswap
from ipfs.block import Block
from ipfs.blockstore import BlockNotFound, Blockstore
from ipfs.cid import CID
from ipfs.dag import walk
from ipfs.disk import DiskBlockstore
from ipfs.exchange import DagLimits, DagUnavailable, fetch_dag
from ipfs.host import PeerAddress
from ipfs.kad.stream import Kademlia, Mode
from ipfs.p2p.multiaddr import Multiaddr
from ipfs.p2p.swarm import Swarm
from ipfs.pins.store import PinStore
from ipfs.repository import Repository

LIMITS: Final = DagLimits(blocks_max=1 << 24, bytes_max=1 << 42)
"""A DAG asked for by hand: four terabytes, in sixteen million blocks."""


@contextmanager
def open_disk(folder: Path) -> Iterator[DiskBlockstore]:
    """Open the client's blocks alone. Raises `FolderLocked`."""
    with locked(folder), DiskBlockstore(folder / BLOCKS_NAME) as blocks:
        yield blocks


@contextmanager
def open_repository(folder: Path) -> Iterator[Repository]:
    """Open the client's blocks and pins. Raises `FolderLocked`, `PinsDamaged`."""
    with open_disk(folder) as blocks, PinStore(folder / PINS_NAME) as pins:
        yield Repository(blocks, pins)


@dataclass(frozen=True, slots=True)
class Network:
    """The client among its peers; nobody here asks a ledger."""

    config: ClientConfig
    host: Swarm
    exchange: Bitswap
    routing: Kademlia
    holders: list[PeerAddress]
    """Peers that were named, or found to have something: asked before any others."""

    async def get(self, cid: CID, *, root: CID) -> Block:
        """Bring one block here, of the DAG of `root`: who has that is likely to have it.

        Raises `DagUnavailable`.
        """
        timeout_s = self.config.fetch_idle_seconds
        unsought = [cid] if cid == root else [cid, root]
        with self.exchange.fetch(self.holders, idle_timeout_s=timeout_s) as fetch:
            fetch.want([cid])
            while True:
                try:
                    [block] = await fetch.receive()
                    break
                except BlockUnavailable as error:
                    if not unsought:
                        raise DagUnavailable(root, cid, error.answers) from error
                    fetch.seek(self._found(unsought.pop()))
        await self.exchange.keep([block])
        return block

    async def bring(self, root: CID, on_progress: Callable[[int, int], None]) -> None:
        """Bring a whole DAG here. Raises as `fetch_dag` does."""
        await fetch_dag(
            self.exchange,
            root,
            limits=LIMITS,
            idle_timeout_s=self.config.fetch_idle_seconds,
            peers=self.holders,
            routing=self.routing,
            on_progress=on_progress,
        )

    async def _found(self, cid: CID) -> AsyncIterator[PeerAddress]:
        async for peer in self.routing.find_providers(cid):
            self.holders.append(peer)
            yield peer

    async def serve(self) -> None:
        """Answer peers, and announce again in time, until cancelled."""
        await self.routing.run()


@asynccontextmanager
async def open_network(
    folder: Path, config: ClientConfig, blocks: Blockstore, peers: Sequence[str] = ()
) -> AsyncIterator[Network]:
    """Join the network through the peers named and those of the settings, to serve `blocks`.

    peers:  multiaddrs that end in /p2p/. Raises `MalformedBytes` for one that is none.
    """
    named = [PeerAddress.parse(text) for text in peers]
    configured = [PeerAddress.parse(text) for text in config.bootstrap]
    listen = [Multiaddr.parse(address) for address in config.listen]
    async with (
        Swarm(open_identity(folder), listen=listen) as host,
        Bitswap(host, blocks) as exchange,
    ):
        routing = Kademlia(host, protocol_id=config.kad_protocol_id, mode=Mode.CLIENT)
        await routing.bootstrap([*named, *configured])
        yield Network(config, host, exchange, routing, named)


Join = Callable[[], AbstractAsyncContextManager[Network]]


class Source:
    """Blocks from here, else from the network, which is joined when the first one is missing."""

    def __init__(self, blocks: Blockstore, root: CID, join: Join | None) -> None:
        """root: where the DAG begins; join: None stays offline, where nothing more is found."""
        self._blocks = blocks
        self._root = root
        self._join = join
        self._opened = AsyncExitStack()
        self._network: Network | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._opened.aclose()

    async def get(self, cid: CID) -> Block:
        """Return one block. Raises `BlockNotFound` offline, else `DagUnavailable`."""
        try:
            return self._blocks.get(cid)
        except BlockNotFound:
            if self._join is None:
                raise
        network = await self._joined(self._join)
        return await network.get(cid, root=self._root)

    async def bring(self, root: CID, on_progress: Callable[[int, int], None]) -> None:
        """Have a whole DAG here. Raises as `get` does, and what `walk` and `fetch_dag` do."""
        try:
            await asyncio.to_thread(_require_whole, self._blocks, root)
        except BlockNotFound:
            if self._join is None:
                raise
            network = await self._joined(self._join)
            await network.bring(root, on_progress)

    async def _joined(self, join: Join) -> Network:
        if self._network is None:
            self._network = await self._opened.enter_async_context(join())
        return self._network


def _require_whole(blocks: Blockstore, root: CID) -> None:
    for _ in walk(blocks, root):
        pass
