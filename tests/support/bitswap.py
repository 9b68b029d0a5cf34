"""Peers for Bitswap tests: honest ones, and ones that answer as a test tells them to."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager

from ipfs.bitswap.connection import Lane, read_frames
from ipfs.bitswap.messages import PROTOCOL_ID, Message, Presence, PresenceType, WantType
from ipfs.bitswap.stream import Bitswap
from ipfs.block import Block
from ipfs.blockstore import MemoryBlockstore
from ipfs.cid import CID, Codec
from ipfs.dag_pb import PBLink, PBNode
from ipfs.host import Host, PeerAddress, Stream
from ipfs.p2p.memory import MemoryHost, MemoryNetwork
from ipfs.p2p.peer_id import PeerId


def where(host: Host) -> PeerAddress:
    """Return what somebody needs to dial the host."""
    return PeerAddress(host.peer_id, host.addresses)


def leaf(number: int, size_bytes: int = 2_000) -> Block:
    """Return one of many raw blocks."""
    return Block.of(Codec.RAW, number.to_bytes(4) * (size_bytes // 4))


def parent(children: Iterable[Block]) -> Block:
    """Return a dag-pb block that links to the children."""
    links = tuple(PBLink(child.cid, name="", tsize=0) for child in children)
    return Block.of(Codec.DAG_PB, PBNode(links=links).encode())


def tree(leaf_count: int, *, fan_out: int = 16, size_bytes: int = 2_000) -> list[Block]:
    """Return a DAG of raw leaves under dag-pb nodes; the root is the last block."""
    level = blocks = [leaf(number, size_bytes) for number in range(leaf_count)]
    while len(level) > 1:
        level = [parent(level[at : at + fan_out]) for at in range(0, len(level), fan_out)]
        blocks = blocks + level
    return blocks


def store_of(blocks: Iterable[Block]) -> MemoryBlockstore:
    """Return a store that holds the blocks."""
    store = MemoryBlockstore()
    store.put(blocks)
    return store


async def until(is_true: Callable[[], bool]) -> None:
    """Let the loop and its threads turn until something has become true."""
    async with asyncio.timeout(120):
        while not is_true():
            # A bare turn of the loop would keep the threads that stores work in from running.
            await asyncio.to_thread(int)


@asynccontextmanager
async def node(
    network: MemoryNetwork, blocks: Iterable[Block] = ()
) -> AsyncIterator[tuple[MemoryHost, Bitswap, MemoryBlockstore]]:
    """Run an honest peer that holds the blocks."""
    host, store = network.add_host(), store_of(blocks)
    async with Bitswap(host, store) as bitswap:
        yield host, bitswap, store


Script = Callable[[Message], Awaitable[Message | None]]


class ScriptedPeer:
    """A peer that answers each message as its script says, with None for silence."""

    def __init__(self, network: MemoryNetwork, script: Script) -> None:
        self.host = network.add_host()
        self.heard: list[Message] = []
        self._script = script
        self._lanes: dict[PeerId, Lane] = {}
        self.host.handle(PROTOCOL_ID, self._listen)

    @property
    def address(self) -> PeerAddress:
        return where(self.host)

    @property
    def cids_asked(self) -> list[CID]:
        """What was asked of it, in order, each time."""
        return [want.cid for message in self.heard for want in message.wants if not want.cancel]

    async def say(self, peer: PeerAddress, message: Message) -> None:
        """Say something to a peer that did not ask."""
        self.host.add_addresses(peer)
        await self._say(peer.peer_id, message)

    async def _say(self, peer_id: PeerId, message: Message) -> None:
        lane = self._lanes.setdefault(peer_id, Lane(self.host, peer_id))
        await lane.send(lambda _: message)

    async def _listen(self, stream: Stream) -> None:
        async for frame in read_frames(stream):
            message = Message.decode(frame)
            self.heard.append(message)
            answer = await self._script(message)
            if answer is not None:
                await self._say(stream.peer_id, answer)


async def silent(message: Message) -> Message | None:
    """Never answer."""
    return None


async def says_have(message: Message) -> Message | None:
    """Claim to have everything, and send nothing."""
    asked = [want for want in message.wants if want.want_type is WantType.HAVE and not want.cancel]
    return Message(presences=tuple(Presence(want.cid, PresenceType.HAVE) for want in asked))


async def lacks_all(message: Message) -> Message | None:
    """Have nothing."""
    asked = [want for want in message.wants if not want.cancel]
    return Message(presences=tuple(Presence(w.cid, PresenceType.DONT_HAVE) for w in asked))


async def lies(message: Message) -> Message | None:
    """Send something else for each block that is asked for."""
    asked = [want for want in message.wants if not want.cancel]
    return Message(blocks=tuple(leaf(1_000_000 + index) for index, _ in enumerate(asked)))
