"""Bitswap over a host: answers peers from a block store, and fetches blocks from them.

What we say to a peer goes out on streams that we open; what it says comes in on streams that it
opens. Answering on its stream would not do: Kubo and Helia never read there.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterable, Awaitable, Callable, Coroutine, Iterable
from functools import partial
from types import TracebackType
from typing import Final, Self

from ipfs.bitswap.backlog import Backlog
from ipfs.bitswap.connection import (
    STREAMS_PER_PEER_MAX,
    UNFINISHED_BYTES_MAX,
    Link,
    Tally,
    read_frames,
)
from ipfs.bitswap.engine import Engine
from ipfs.bitswap.messages import PROTOCOL_IDS, Message, Want
from ipfs.bitswap.sender import Upload, UploadLimit, say_words, send_blocks
from ipfs.bitswap.session import BlockUnavailable, Session
from ipfs.bitswap.store import Stored
from ipfs.block import Block
from ipfs.blockstore import Blockstore
from ipfs.cid import CID
from ipfs.errors import LimitExceeded, PeerError, PeerHungUp, WrongBlock
from ipfs.host import Host, NetworkError, PeerAddress, PeerUnreachable, Stream
from ipfs.p2p.peer_id import PeerId

DISCONNECTED: Final = "disconnected"


class Bitswap:
    """Exchanges blocks with peers; runs, and owns its tasks, inside `async with`.

    The store is called in worker threads where it may block; it must bear calls from several.
    upload_limit:  None where upload is not scarce: then everybody is served at once
    unfinished_bytes_max:  what messages may hold that have not been heard to their end
    """

    def __init__(
        self,
        host: Host,
        store: Blockstore,
        *,
        upload_limit: UploadLimit | None = None,
        unfinished_bytes_max: int = UNFINISHED_BYTES_MAX,
    ) -> None:
        self._host = host
        self._stored = Stored(store)
        self._unfinished_bytes_max = unfinished_bytes_max
        self._unfinished_bytes = 0
        self._engine = Engine()
        self._upload = Upload(upload_limit)
        self._links: dict[PeerId, Link] = {}
        self._speakers: dict[Link, tuple[asyncio.Task[None], ...]] = {}
        self._fetches: set[Fetch] = set()
        self._tasks = asyncio.TaskGroup()
        self._is_running = False

    async def __aenter__(self) -> Self:
        await self._tasks.__aenter__()
        self._is_running = True
        self._host.on_peer(self._on_peer)
        for protocol_id in PROTOCOL_IDS:
            self._host.handle(protocol_id, self._listen)
        self._deciding = self._tasks.create_task(self._upload.run())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._is_running = False
        self._deciding.cancel()
        for fetch in self._fetches:
            fetch.stop_seeking()
        for link in tuple(self._links.values()):
            self._drop(link, DISCONNECTED)
        # The body's own exception goes its way; only those of our tasks are the group's to raise.
        if isinstance(error, asyncio.CancelledError):
            await self._tasks.__aexit__(kind, error, traceback)
        else:
            await self._tasks.__aexit__(None, None, None)

    def fetch(self, peers: Iterable[PeerAddress] = (), *, idle_timeout_s: float) -> "Fetch":
        """Return a new fetch from these peers; to be entered, and left when it is over."""
        fetch = Fetch(self, idle_timeout_s=idle_timeout_s)
        fetch.add_peers(peers)
        return fetch

    async def get(self, cid: CID, peers: Iterable[PeerAddress], *, idle_timeout_s: float) -> Block:
        """Return one block from these peers, not from the store. Raises `BlockUnavailable`."""
        with self.fetch(peers, idle_timeout_s=idle_timeout_s) as fetch:
            fetch.want((cid,))
            [block] = await fetch.receive()
        return block

    async def load(self, cids: Iterable[CID]) -> list[Block]:
        """Return those of the blocks that the store has."""
        return await self._stored.load(cids)

    async def sizes_bytes(self, cids: Iterable[CID]) -> dict[CID, int]:
        """Return the sizes of those of the blocks that the store has; they are not read."""
        sizes = await self._stored.sizes_bytes(cids)
        return {cid: size for cid, size in sizes.items() if size is not None}

    async def keep(self, blocks: Iterable[Block]) -> None:
        """Store the blocks; when this returns they are durable. Peers that want them get them."""
        kept = tuple(blocks)
        await self._stored.put(kept)
        self._tell({block.cid: len(block.data) for block in kept})

    async def offer(self, cids: Iterable[CID]) -> None:
        """Send blocks that somebody else has put into the store to the peers that want them."""
        self._tell(await self.sizes_bytes(cids))

    def tally(self, peer_id: PeerId) -> Tally:
        """Return what went between us and a connected peer."""
        link = self._links.get(peer_id)
        return link.tally if link else Tally()

    def wants_of(self, peer_id: PeerId) -> tuple[CID, ...]:
        """Return the blocks that a peer waits for."""
        return self._engine.wants_of(peer_id)

    def spawn(self, work: Coroutine[None, None, None]) -> asyncio.Task[None] | None:
        """Run a fetch's work among our tasks; None if we are leaving."""
        if self._is_running:
            return self._tasks.create_task(work)
        work.close()
        return None

    def start_fetch(self, fetch: "Fetch") -> None:
        """Let a fetch hear what peers say."""
        self._fetches.add(fetch)

    def end_fetch(self, fetch: "Fetch") -> None:
        """Let a fetch hear no more."""
        self._fetches.discard(fetch)

    def learn(self, peer: PeerAddress) -> bool:
        """Remember where a peer may be reached; return False for ourselves."""
        if peer.addresses:
            self._host.add_addresses(peer)
        return peer.peer_id != self._host.peer_id

    def ask(self, peer_id: PeerId, want: Want, asker: object) -> None:
        """Send a want to a peer, connecting to it if need be; a cancellation is not worth that."""
        if peer_id not in self._links and (want.cancel or not self._is_running):
            return
        link = self._link(peer_id)
        link.requests.ask(want, asker)
        link.has_words.set()

    def _tell(self, sizes: dict[CID, int]) -> None:
        for peer_id in self._engine.add(sizes):
            self._wake(self._link(peer_id))

    def _wake(self, link: Link) -> None:
        link.has_words.set()
        link.has_blocks.set()

    def _link(self, peer_id: PeerId) -> Link:
        assert self._is_running, "Bitswap runs inside `async with`"
        link = self._links.get(peer_id)
        if link is None:
            link = self._links[peer_id] = Link(self._host, peer_id)
            speeches = (
                lambda: say_words(link, self._engine),
                lambda: send_blocks(link, self._engine, self.load, self._upload),
            )
            self._speakers[link] = tuple(
                self._tasks.create_task(self._speak(link, speech)) for speech in speeches
            )
        return link

    def _on_peer(self, peer_id: PeerId, connected: bool) -> None:
        link = self._links.get(peer_id)
        if link is not None and not connected:
            self._drop(link, DISCONNECTED)

    def _drop(self, link: Link, reason: str) -> None:
        """Free all that is held for a peer; it may come back as a new one."""
        if self._links.get(link.peer_id) is not link:
            return
        del self._links[link.peer_id]
        self._engine.forget(link.peer_id)
        self._upload.forget(link.peer_id)
        for speaker in self._speakers.pop(link):
            if speaker is not asyncio.current_task():
                speaker.cancel()
        for fetch in tuple(self._fetches):
            fetch.lose(link.peer_id, reason)

    async def _listen(self, stream: Stream) -> None:
        """Take what a peer says on one stream of its own."""
        if not self._is_running:
            raise PeerHungUp("we are leaving")
        link = self._link(stream.peer_id)
        link.inbound[stream] = 0
        try:
            if len(link.inbound) > STREAMS_PER_PEER_MAX:
                raise LimitExceeded(
                    "Bitswap streams", limit=STREAMS_PER_PEER_MAX, asked=len(link.inbound)
                )
            on_held = partial(self._hold, link, stream)
            async for frame in read_frames(stream, on_held=on_held):
                link.tally.bytes_received += len(frame)
                for message in Message.decode_parts(frame):
                    if self._links.get(link.peer_id) is not link:
                        raise PeerHungUp("its connection has gone")
                    await self._hear(link, message)
            await stream.close_write()
        finally:
            self._unfinished_bytes -= link.inbound.pop(stream)
            # The peer may have gone before we began to listen: then nobody else frees its link.
            if link.peer_id not in self._host.connected_peers():
                self._drop(link, DISCONNECTED)

    def _hold(self, link: Link, stream: Stream, size_bytes: int) -> None:
        """Take note of what a stream holds; if all hold too much, the greediest peer pays."""
        self._unfinished_bytes += size_bytes - link.inbound[stream]
        link.inbound[stream] = size_bytes
        if self._unfinished_bytes > self._unfinished_bytes_max:
            greediest = max(self._links.values(), key=lambda it: it.held_bytes)
            self._unfinished_bytes -= greediest.held_bytes
            for each in greediest.inbound:
                greediest.inbound[each] = 0
                self.spawn(each.reset())

    async def _hear(self, link: Link, message: Message) -> None:
        link.tally.blocks_received += len(message.blocks)
        sizes_bytes = {block.cid: len(block.data) for block in message.blocks}
        given_bytes = sum(n for cid, n in sizes_bytes.items() if link.requests.awaits(cid))
        self._upload.received(link.peer_id, given_bytes)
        unasked = link.requests.arrived(block.cid for block in message.blocks)
        link.tally.blocks_unasked += len(unasked)
        for fetch in tuple(self._fetches):
            if unasked:
                fetch.lose(link.peer_id, WrongBlock.code)
            fetch.hear(link.peer_id, message)
        if cids := self._engine.receive(link.peer_id, message):
            sizes = await self._stored.sizes_bytes(cids)
            self._engine.locate(link.peer_id, sizes)
            self._wake(link)
        entry_count = len(message.wants) + len(message.presences)
        if wait_s := link.entries.spend(entry_count, _now_s()):
            await asyncio.sleep(wait_s)

    async def _speak(self, link: Link, speech: Callable[[], Awaitable[None]]) -> None:
        """Say what there is to say to a peer, until it has gone."""
        try:
            await speech()
        except (PeerError, NetworkError) as error:
            self._drop(link, error.code)
            await link.reset()
        finally:
            await link.close()


class Fetch:
    """One fetch of related blocks, from peers that probably have them all. For one task.

    Entered and left with `with`, which ends its wants. Blocks are not stored: `Bitswap.keep` is.
    """

    def __init__(self, bitswap: Bitswap, *, idle_timeout_s: float) -> None:
        self._bitswap = bitswap
        self._session = Session(idle_timeout_s=idle_timeout_s)
        self._backlog = Backlog()
        self._searches: set[asyncio.Task[None]] = set()
        self._has_news = asyncio.Event()

    def __enter__(self) -> Self:
        self._bitswap.start_fetch(self)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop_seeking()
        self._session.abandon(self._backlog.wanted)
        self._flush()
        self._bitswap.end_fetch(self)

    @property
    def dropped(self) -> dict[PeerId, str]:
        """Peers that are not asked any more, each with the code of its reason."""
        return dict(self._session.dropped)

    def add_peers(self, peers: Iterable[PeerAddress]) -> int:
        """Ask these peers too; return how many of them are new."""
        count = 0
        for peer in peers:
            if self._bitswap.learn(peer):
                if self._session.dropped.get(peer.peer_id) == PeerUnreachable.code:
                    # Whoever told of it before may have made its address up.
                    self._session.readmit(peer.peer_id)
                count += self._session.add_peer(peer.peer_id, _now_s())
        self._flush()
        return count

    def seek(self, peers: AsyncIterable[PeerAddress]) -> None:
        """Ask these peers too, as they are found; until all are, no block is unavailable."""
        search = self._bitswap.spawn(self._take_peers(peers))
        if search is not None:
            self._searches.add(search)
            search.add_done_callback(self._end_search)

    def stop_seeking(self) -> None:
        """Look for peers no more."""
        for search in self._searches:
            search.cancel()

    def want(self, cids: Iterable[CID], *, are_last: bool = False) -> None:
        """Ask for these blocks, the first ones most; `are_last` if there may be no more."""
        self._session.want(self._backlog.want(cids), _now_s(), are_last=are_last)
        self._flush()

    async def receive(self) -> list[Block]:
        """Return wanted blocks that have arrived, at least one, each checked.

        Raises `BlockUnavailable` once no peer is left to be asked for one of the wants; it
        remains wanted, so that more peers can be added or sought.
        """
        while not self._backlog.has_arrived:
            if put_off := self._backlog.want():
                self._session.want(put_off, _now_s())
            self._session.expire(_now_s())
            self._flush()
            hopeless = self._session.hopeless()
            if hopeless and not self._searches:
                raise BlockUnavailable(hopeless[0], self._session.answers(hopeless[0]))
            deadline_s = self._session.deadline_s
            is_waiting = self._searches or deadline_s is not None
            assert is_waiting, "somebody owes us an answer, or nothing is wanted"
            self._has_news.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(deadline_s):
                    await self._has_news.wait()
        return self._backlog.take()

    def hear(self, peer_id: PeerId, message: Message) -> None:
        """Take what a peer says."""
        arrived = self._session.receive(peer_id, message, _now_s())
        self._session.abandon(self._backlog.add(arrived))
        self._has_news.set()
        self._flush()

    def lose(self, peer_id: PeerId, reason: str) -> None:
        """Take note that a peer is not to be asked any more."""
        self._session.drop_peer(peer_id, reason, _now_s())
        self._has_news.set()
        self._flush()

    async def _take_peers(self, peers: AsyncIterable[PeerAddress]) -> None:
        async for peer in peers:
            self.add_peers((peer,))
            self._has_news.set()

    def _end_search(self, search: asyncio.Task[None]) -> None:
        self._searches.discard(search)
        self._has_news.set()

    def _flush(self) -> None:
        for peer_id, want in self._session.take_requests():
            self._bitswap.ask(peer_id, want, self)


def _now_s() -> float:
    return asyncio.get_running_loop().time()
