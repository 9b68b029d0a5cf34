import asyncio
import tracemalloc
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator, Sequence
from contextlib import contextmanager

import pytest

from ipfs import protobuf
from ipfs.bitswap.messages import Message, Presence, PresenceType, WantType
from ipfs.bitswap.session import DONT_HAVE, STALLED
from ipfs.bitswap.stream import DISCONNECTED, Bitswap
from ipfs.block import Block
from ipfs.blockstore import MemoryBlockstore
from ipfs.cid import CID, Codec, HashCode
from ipfs.dag_pb import PBLink, PBNode
from ipfs.errors import LimitExceeded, MalformedBytes, WrongBlock
from ipfs.exchange import (
    BATCH_BYTES,
    BYTES_UNDER_WAY_MAX,
    LINKS_AT_A_TIME,
    WANTS_MAX,
    WANTS_MIN,
    DagLimits,
    DagUnavailable,
    FetchedDag,
    fetch_dag,
)
from ipfs.host import PeerAddress
from ipfs.p2p.memory import MemoryNetwork
from ipfs.p2p.peer_id import PeerId
from tests.support.bitswap import (
    Script,
    ScriptedPeer,
    lacks_all,
    leaf,
    lies,
    node,
    parent,
    says_have,
    silent,
    tree,
    until,
    where,
)

ROOMY = DagLimits(blocks_max=10_000, bytes_max=1 << 30)
IDLE_S = 0.5


async def fetch(
    bitswap: Bitswap,
    root: CID,
    peers: Sequence[PeerAddress] = (),
    *,
    limits: DagLimits = ROOMY,
    routing: "Signposts | None" = None,
    idle_timeout_s: float = 5,
) -> FetchedDag:
    return await fetch_dag(
        bitswap, root, limits=limits, idle_timeout_s=idle_timeout_s, peers=peers, routing=routing
    )


def size_bytes(blocks: Sequence[Block]) -> int:
    return sum(len(block.data) for block in blocks)


class Signposts:
    """A `Routing` that knows what it was told."""

    def __init__(self, providers: dict[CID, list[PeerAddress]]) -> None:
        self._providers = providers
        self.sought: list[CID] = []

    async def provide(self, cid: CID) -> int:
        return 0

    async def find_providers(
        self, cid: CID, *, count_max: int | None = None
    ) -> AsyncIterator[PeerAddress]:
        self.sought.append(cid)
        for peer in self._providers.get(cid, [])[:count_max]:
            yield peer

    async def find_peer(self, peer_id: PeerId) -> PeerAddress | None:
        return None


async def test_a_dag_goes_from_one_host_to_another() -> None:
    blocks = tree(300)
    progress: list[tuple[int, int]] = []
    async with (
        MemoryNetwork() as network,
        node(network, blocks) as (provider, _, _),
        node(network) as (_, bitswap, store),
    ):
        fetched = await fetch_dag(
            bitswap,
            blocks[-1].cid,
            limits=ROOMY,
            idle_timeout_s=5,
            peers=[where(provider)],
            on_progress=lambda *done: progress.append(done),
        )
    assert fetched == FetchedDag(blocks[-1].cid, len(blocks), size_bytes(blocks), {})
    assert progress[-1] == (len(blocks), size_bytes(blocks))
    assert progress == sorted(progress)
    assert {block.cid for block in blocks} == set(store)


async def test_what_is_in_the_store_is_not_fetched() -> None:
    blocks = tree(100)
    async with (
        MemoryNetwork() as network,
        node(network, blocks) as (provider, served, _),
        node(network, blocks[::2]) as (host, bitswap, store),
    ):
        fetched = await fetch(bitswap, blocks[-1].cid, [where(provider)])
        assert fetched.block_count == len(blocks)
        assert served.tally(host.peer_id).blocks_sent == len(blocks) - len(blocks[::2])
        assert len(set(store)) == len(blocks)
    async with MemoryNetwork() as network, node(network, blocks) as (_, bitswap, _):
        assert (await fetch(bitswap, blocks[-1].cid)).block_count == len(blocks)


@pytest.mark.parametrize(
    ("script", "reason"),
    [(silent, STALLED), (says_have, STALLED), (lacks_all, None), (lies, WrongBlock.code)],
    ids=["silent", "promises only", "lacks all", "lies"],
)
async def test_a_bad_peer_is_replaced_by_the_next(script: Script, reason: str | None) -> None:
    blocks = tree(40)
    async with (
        MemoryNetwork() as network,
        node(network, blocks) as (provider, _, _),
        node(network) as (_, bitswap, store),
    ):
        bad = ScriptedPeer(network, script)
        fetched = await fetch(
            bitswap, blocks[-1].cid, [bad.address, where(provider)], idle_timeout_s=IDLE_S
        )
        assert set(store) == {block.cid for block in blocks}
        assert bad.cids_asked, "it was given its chance"
    if fetched.dropped:
        assert fetched.dropped == {bad.host.peer_id: reason}


@pytest.mark.parametrize(
    ("script", "answer"),
    [(silent, STALLED), (says_have, STALLED), (lacks_all, DONT_HAVE), (lies, WrongBlock.code)],
    ids=["silent", "promises only", "lacks all", "lies"],
)
async def test_it_is_said_what_each_peer_answered(script: Script, answer: str) -> None:
    root = leaf(1).cid
    async with MemoryNetwork() as network, node(network) as (_, bitswap, store):
        bad, gone = ScriptedPeer(network, script), network.add_host()
        network.take_down(gone.peer_id)
        with pytest.raises(DagUnavailable, match="none of 2 peers") as caught:
            await fetch(bitswap, root, [bad.address, where(gone)], idle_timeout_s=IDLE_S)
        assert caught.value.tried == {
            bad.host.peer_id: answer,
            gone.peer_id: "peer-unreachable",
        }
        assert (caught.value.root, caught.value.missing) == (root, root)
        assert list(store) == []


async def test_leaves_that_are_in_the_store_are_not_read() -> None:
    class Counting(MemoryBlockstore):
        def __init__(self) -> None:
            super().__init__()
            self.read: list[CID] = []

        def get(self, cid: CID) -> Block:
            self.read.append(cid)
            return super().get(cid)

        def size_bytes(self, cid: CID) -> int:
            return len(super().get(cid).data)

    blocks = tree(100)
    async with MemoryNetwork() as network:
        store = Counting()
        store.put(blocks)
        async with Bitswap(network.add_host(), store) as bitswap:
            fetched = await fetch(bitswap, blocks[-1].cid)
    assert (fetched.block_count, fetched.size_bytes) == (len(blocks), size_bytes(blocks))
    assert set(store.read) == {block.cid for block in blocks if block.cid.codec != Codec.RAW}


class OneByOne:
    """An exchange that gives block after block, and remembers what was asked and kept at a time."""

    def __init__(self, blocks: Sequence[Block], *, seconds_per_block: float = 0) -> None:
        self._seconds_per_block = seconds_per_block
        self._blocks = {block.cid: block for block in blocks}
        self._asked: list[CID] = []
        self.dropped: dict[PeerId, str] = {}
        self.most_asked = 0
        self.most_asked_bytes = 0
        self.kept: list[tuple[Block, ...]] = []

    async def load(self, cids: Iterable[CID]) -> list[Block]:
        return []

    async def sizes_bytes(self, cids: Iterable[CID]) -> dict[CID, int]:
        return {}

    async def keep(self, blocks: Iterable[Block]) -> None:
        self.kept.append(tuple(blocks))

    @contextmanager
    def fetch(
        self, peers: Iterable[PeerAddress] = (), *, idle_timeout_s: float
    ) -> Iterator["OneByOne"]:
        yield self

    def seek(self, peers: AsyncIterable[PeerAddress]) -> None:
        raise AssertionError("nothing is missing")

    def want(self, cids: Iterable[CID], *, are_last: bool = False) -> None:
        self._asked += cids
        self.most_asked = max(self.most_asked, len(self._asked))
        asked_bytes = sum(len(self._blocks[cid].data) for cid in self._asked)
        self.most_asked_bytes = max(self.most_asked_bytes, asked_bytes)

    async def receive(self) -> list[Block]:
        has_come = asyncio.Event()
        asyncio.get_running_loop().call_later(self._seconds_per_block, has_come.set)
        await has_come.wait()
        return [self._blocks[self._asked.pop(0)]]


@pytest.mark.parametrize("leaf_bytes", [1_000, 100_000, 1_000_000])
async def test_what_is_under_way_is_bounded_in_blocks_and_bytes(leaf_bytes: int) -> None:
    blocks = tree(700, fan_out=30, size_bytes=leaf_bytes)
    exchange = OneByOne(blocks)
    limits = DagLimits(blocks_max=1_000, bytes_max=1 << 30)
    await fetch_dag(exchange, blocks[-1].cid, limits=limits, idle_timeout_s=1)
    assert WANTS_MIN < exchange.most_asked <= WANTS_MAX
    assert exchange.most_asked_bytes <= BYTES_UNDER_WAY_MAX


async def test_blocks_are_stored_many_at_a_time_and_each_once() -> None:
    blocks = tree(700, fan_out=30, size_bytes=100_000)
    exchange = OneByOne(blocks)
    limits = DagLimits(blocks_max=1_000, bytes_max=1 << 30)
    await fetch_dag(exchange, blocks[-1].cid, limits=limits, idle_timeout_s=1)
    kept = [block for batch in exchange.kept for block in batch]
    assert sorted(block.cid for block in kept) == sorted(block.cid for block in blocks)
    assert all(size_bytes(batch[:-1]) < BATCH_BYTES for batch in exchange.kept)
    assert len(exchange.kept) < len(blocks) / 10


async def test_blocks_that_come_slowly_do_not_wait_long_for_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("ipfs.exchange.BATCH_SECONDS", 0.1)
    blocks = tree(10)
    exchange = OneByOne(blocks, seconds_per_block=0.05)
    await fetch_dag(exchange, blocks[-1].cid, limits=ROOMY, idle_timeout_s=1)
    assert max(map(len, exchange.kept)) <= 3


async def test_what_has_come_is_stored_whatever_fails_next() -> None:
    class OutOfOrder(OneByOne):
        async def sizes_bytes(self, cids: Iterable[CID]) -> dict[CID, int]:
            if len(self._asked) < self.most_asked:
                raise OSError("the disk is gone")
            return {}

    blocks = tree(10)
    exchange = OutOfOrder(blocks)
    with pytest.raises(OSError, match="gone"):
        await fetch_dag(exchange, blocks[-1].cid, limits=ROOMY, idle_timeout_s=1)
    assert exchange.kept == [(blocks[-1],)]


async def test_who_leaves_while_blocks_are_stored_waits_until_they_are() -> None:
    is_keeping = asyncio.Event()

    class Slow(OneByOne):
        async def keep(self, blocks: Iterable[Block]) -> None:
            await super().keep(blocks)
            if not is_keeping.is_set():
                is_keeping.set()
                await asyncio.Event().wait()

    blocks = tree(10)
    exchange = Slow(blocks)
    root = blocks[-1].cid
    fetching = asyncio.create_task(fetch_dag(exchange, root, limits=ROOMY, idle_timeout_s=1))
    await is_keeping.wait()
    fetching.cancel()
    with pytest.raises(asyncio.CancelledError):
        await fetching
    first, second = exchange.kept
    assert first == second


class Stored(OneByOne):
    """An exchange that keeps what it gave, and always gives bytes of their own."""

    def __init__(self, blocks: Sequence[Block]) -> None:
        super().__init__(blocks)
        self._kept: set[CID] = set()
        self.read: list[CID] = []
        self.pause_count = 0

    async def load(self, cids: Iterable[CID]) -> list[Block]:
        asked = list(cids)
        self.read += asked
        return [self._copy(cid) for cid in asked]

    async def sizes_bytes(self, cids: Iterable[CID]) -> dict[CID, int]:
        self.pause_count += 1
        return {cid: len(self._blocks[cid].data) for cid in cids if cid in self._kept}

    async def keep(self, blocks: Iterable[Block]) -> None:
        self._kept.update(block.cid for block in blocks)

    async def receive(self) -> list[Block]:
        return [self._copy(self._asked.pop(0))]

    def _copy(self, cid: CID) -> Block:
        return Block(cid, bytes(bytearray(self._blocks[cid].data)))


def wide_node(links: Iterable[CID], data: bytes = b"") -> Block:
    """Return a node; quicker than one by one, as there are tens of thousands of links."""
    encoded = (cid.encode() for cid in links)
    head = b"".join(b"\x12%c\x0a%c%b" % (len(cid) + 2, len(cid), cid) for cid in encoded)
    return Block.of(Codec.DAG_PB, head + protobuf.encode_bytes_field(1, data))


async def test_large_nodes_are_held_only_so_many_at_a_time() -> None:
    """Nodes of nearly 2 MiB, each linked to from all above; every block comes once."""
    leaves = [leaf(number, 4) for number in range(50)]
    blocks, below = list(leaves), leaves
    for level in range(3):
        fillings = (bytes([level, number]) * (1020 << 10) for number in range(20))
        below = [wide_node((it.cid for it in below), filling) for filling in fillings]
        blocks += below
    blocks.append(wide_node(block.cid for block in below))
    exchange = Stored(blocks)
    tracemalloc.start()
    fetched = await fetch_dag(exchange, blocks[-1].cid, limits=ROOMY, idle_timeout_s=1)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (fetched.block_count, fetched.size_bytes) == (len(blocks), size_bytes(blocks))
    assert exchange.read, "some had to wait, and were read again"
    assert len(set(exchange.read)) == len(exchange.read)
    assert peak_bytes < 48 << 20


async def test_links_that_lead_nowhere_new_take_no_memory_and_let_others_have_their_turn() -> None:
    child = leaf(1)
    links = [CID.from_digest(Codec.RAW, HashCode.IDENTITY, n.to_bytes(4)) for n in range(12_000)]
    root = wide_node([*links, *[child.cid] * 8_000])
    exchange = Stored([child, root])
    tracemalloc.start()
    fetched = await fetch_dag(exchange, root.cid, limits=ROOMY, idle_timeout_s=1)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert fetched.block_count == 2
    assert exchange.pause_count >= 20_000 // LINKS_AT_A_TIME
    assert peak_bytes < 1 << 20


async def test_a_fetch_that_is_cut_off_continues_where_it_was() -> None:
    blocks = tree(200)
    async with (
        MemoryNetwork() as network,
        node(network, blocks) as (provider, served, _),
        node(network) as (host, bitswap, store),
    ):

        def cut(block_count: int, _: int) -> None:
            if block_count > 50:
                network.take_down(provider.peer_id)

        with pytest.raises(DagUnavailable) as caught:
            await fetch_dag(
                bitswap,
                blocks[-1].cid,
                limits=ROOMY,
                idle_timeout_s=5,
                peers=[where(provider)],
                on_progress=cut,
            )
        assert caught.value.tried == {provider.peer_id: DISCONNECTED}
        had = len(set(store))
        assert 50 < had < len(blocks)
        network.bring_up(provider.peer_id)
        await fetch(bitswap, blocks[-1].cid, [where(provider)])
        assert len(set(store)) == len(blocks)
        assert served.tally(host.peer_id).blocks_sent == len(blocks) - had


async def test_providers_are_looked_for_when_the_known_peers_fail() -> None:
    blocks = tree(40)
    root = blocks[-1].cid
    async with (
        MemoryNetwork() as network,
        node(network, blocks) as (provider, _, _),
        node(network) as (host, bitswap, _),
    ):
        useless = ScriptedPeer(network, lacks_all)
        routing = Signposts({root: [where(host), where(provider)]})
        await fetch(bitswap, root, [useless.address], routing=routing)
        assert routing.sought == [root]


async def test_a_block_that_the_providers_of_the_root_lack_is_looked_for_by_itself() -> None:
    blocks = tree(40)
    missing, root = blocks[7], blocks[-1].cid
    async with (
        MemoryNetwork() as network,
        node(network, [block for block in blocks if block != missing]) as (most, _, _),
        node(network, [missing]) as (rest, _, _),
        node(network) as (_, bitswap, store),
    ):
        routing = Signposts({root: [where(most)], missing.cid: [where(rest)]})
        await fetch(bitswap, root, routing=routing)
        assert routing.sought == [root, missing.cid]
        assert len(set(store)) == len(blocks)


async def test_who_has_a_larger_dag_is_asked_for_a_part_of_it() -> None:
    blocks = tree(40)
    root, *_, part = reversed(blocks)
    async with (
        MemoryNetwork() as network,
        node(network, blocks) as (provider, _, _),
        node(network) as (_, bitswap, _),
    ):
        routing = Signposts({root.cid: [where(provider)]})
        await fetch_dag(
            bitswap, part.cid, limits=ROOMY, idle_timeout_s=5, routing=routing, within=root.cid
        )
        assert routing.sought == [root.cid]


async def test_a_provider_is_asked_as_soon_as_it_is_found() -> None:
    blocks = tree(40)
    is_closed = asyncio.Event()

    class Endless(Signposts):
        async def find_providers(
            self, cid: CID, *, count_max: int | None = None
        ) -> AsyncIterator[PeerAddress]:
            yield where(provider)
            try:
                await asyncio.get_running_loop().create_future()
            finally:
                is_closed.set()

    async with (
        MemoryNetwork() as network,
        node(network, blocks) as (provider, _, _),
        node(network) as (_, bitswap, _),
    ):
        fetched = await fetch(bitswap, blocks[-1].cid, routing=Endless({}))
        assert fetched.block_count == len(blocks)
        await is_closed.wait()


async def test_leaving_ends_the_search_too() -> None:
    is_looking = asyncio.Event()

    class Endless(Signposts):
        async def find_providers(
            self, cid: CID, *, count_max: int | None = None
        ) -> AsyncIterator[PeerAddress]:
            is_looking.set()
            await asyncio.get_running_loop().create_future()
            yield PeerAddress(network.add_host().peer_id)

    async with MemoryNetwork() as network:
        async with node(network) as (_, bitswap, _):
            fetching = asyncio.ensure_future(fetch(bitswap, leaf(1).cid, routing=Endless({})))
            await is_looking.wait()
        with pytest.raises(DagUnavailable):
            await fetching


async def test_nobody_has_it() -> None:
    root = leaf(1).cid
    async with MemoryNetwork() as network, node(network) as (_, bitswap, _):
        routing = Signposts({})
        with pytest.raises(DagUnavailable, match="no peer was found to ask for it"):
            await fetch(bitswap, root, routing=routing)
        assert routing.sought == [root]


@pytest.mark.parametrize(
    ("limits", "what"),
    [
        (DagLimits(blocks_max=42, bytes_max=1 << 30), "blocks of a DAG"),
        (DagLimits(blocks_max=10_000, bytes_max=30_000), "bytes of a DAG"),
        (DagLimits(blocks_max=10_000, bytes_max=1 << 30, depth_max=1), "depth of a DAG"),
    ],
    ids=["blocks", "bytes", "depth"],
)
async def test_nothing_beyond_the_limits_is_stored(limits: DagLimits, what: str) -> None:
    blocks = tree(40)
    async with (
        MemoryNetwork() as network,
        node(network, blocks) as (provider, _, _),
        node(network) as (_, bitswap, store),
    ):
        with pytest.raises(LimitExceeded, match=what):
            await fetch(bitswap, blocks[-1].cid, [where(provider)], limits=limits)
        stored = [store.get(cid) for cid in store]
        assert len(stored) <= limits.blocks_max
        assert size_bytes(stored) <= limits.bytes_max


async def test_the_limits_are_what_a_dag_may_be_exactly() -> None:
    blocks = tree(40)
    limits = DagLimits(blocks_max=len(blocks), bytes_max=size_bytes(blocks), depth_max=2)
    async with (
        MemoryNetwork() as network,
        node(network, blocks) as (provider, _, _),
        node(network) as (_, bitswap, _),
    ):
        await fetch(bitswap, blocks[-1].cid, [where(provider)], limits=limits)


async def test_a_dag_that_repeats_itself_2_to_the_40_times_is_40_blocks() -> None:
    blocks = [leaf(1)]
    for _ in range(40):
        blocks.append(parent([blocks[-1], blocks[-1]]))
    async with (
        MemoryNetwork() as network,
        node(network, blocks) as (provider, _, _),
        node(network) as (_, bitswap, _),
    ):
        fetched = await fetch(bitswap, blocks[-1].cid, [where(provider)])
        assert fetched.block_count == 41


async def test_a_block_met_again_further_down_counts_once() -> None:
    shared = leaf(1)
    middle = parent([shared])
    root = parent([middle, shared])
    async with (
        MemoryNetwork() as network,
        node(network, [shared, middle, root]) as (provider, _, _),
        node(network) as (_, bitswap, _),
    ):
        fetched = await fetch(bitswap, root.cid, [where(provider)])
        assert fetched.block_count == 3
        assert (await fetch(bitswap, root.cid)).block_count == 3


async def test_blocks_inside_their_cids_are_not_asked_for() -> None:
    inside = CID.from_digest(Codec.RAW, HashCode.IDENTITY, b"here I am")
    root = Block.of(Codec.DAG_PB, PBNode(links=(PBLink(inside, "", 9),)).encode())
    async with (
        MemoryNetwork() as network,
        node(network, [root]) as (provider, _, _),
        node(network) as (_, bitswap, store),
    ):
        assert (await fetch(bitswap, root.cid, [where(provider)])).block_count == 1
        assert set(store) == {root.cid}


async def test_a_block_that_is_not_what_its_codec_says_is_not_stored() -> None:
    broken = Block.of(Codec.DAG_PB, b"\xff")
    async with (
        MemoryNetwork() as network,
        node(network, [broken]) as (provider, _, _),
        node(network) as (_, bitswap, store),
    ):
        with pytest.raises(MalformedBytes):
            await fetch(bitswap, broken.cid, [where(provider)])
        assert list(store) == []


async def test_two_providers_share_the_work() -> None:
    blocks = tree(400)
    async with (
        MemoryNetwork() as network,
        node(network, blocks) as (one, first, _),
        node(network, blocks) as (other, second, _),
        node(network) as (host, bitswap, _),
    ):
        await fetch(bitswap, blocks[-1].cid, [where(one), where(other)])
        sent = [served.tally(host.peer_id).blocks_sent for served in (first, second)]
        assert sum(sent) < 1.1 * len(blocks), "small nodes, and the last leaves, come from both"
        assert min(sent) > len(blocks) // 10


@pytest.mark.parametrize("turns_bad", ["falls silent", "begins to lie"])
async def test_a_provider_that_turns_bad_on_the_way_is_dropped_and_the_rest_carry_on(
    turns_bad: str,
) -> None:
    blocks = tree(400)
    by_cid = {block.cid: block for block in blocks}
    given: list[Block] = []

    async def script(message: Message) -> Message | None:
        asked = [by_cid[it.cid] for it in message.wants if it.want_type is WantType.BLOCK]
        if len(given) > 20:
            return await lies(message) if turns_bad == "begins to lie" else None
        given.extend(asked)
        haves = [it.cid for it in message.wants if it.want_type is WantType.HAVE]
        presences = tuple(Presence(cid, PresenceType.HAVE) for cid in haves)
        return Message(blocks=tuple(asked), presences=presences)

    async with (
        MemoryNetwork() as network,
        node(network, blocks) as (one, first, _),
        node(network, blocks) as (other, second, _),
        node(network) as (host, bitswap, store),
    ):
        bad = ScriptedPeer(network, script)
        peers = [bad.address, where(one), where(other)]
        fetched = await fetch(bitswap, blocks[-1].cid, peers, idle_timeout_s=IDLE_S)
        assert set(store) == set(by_cid)
        assert len(given) > 20, "it was good at first"
        assert set(fetched.dropped) <= {bad.host.peer_id}
        assert all(it.tally(host.peer_id).blocks_sent > 50 for it in (first, second))


async def test_a_chain_of_nodes_passes_a_dag_on() -> None:
    blocks = tree(100)
    async with (
        MemoryNetwork() as network,
        node(network, blocks) as (source, _, _),
        node(network) as (middle, relay, _),
        node(network) as (_, sink, store),
    ):
        await asyncio.gather(
            fetch(relay, blocks[-1].cid, [where(source)]),
            fetch(sink, blocks[-1].cid, [where(middle), where(source)]),
        )
        assert len(set(store)) == len(blocks)


async def test_a_store_that_fails_fails_the_fetch_and_not_the_node() -> None:
    class Full(MemoryBlockstore):
        def put(self, blocks: object) -> None:
            raise OSError("no space left")

    block = leaf(1)
    async with (
        MemoryNetwork() as network,
        node(network, [block]) as (provider, _, _),
        Bitswap(network.add_host(), Full()) as bitswap,
    ):
        with pytest.raises(OSError, match="no space left"):
            await fetch(bitswap, block.cid, [where(provider)])
        got = await bitswap.get(block.cid, [where(provider)], idle_timeout_s=5)
        assert got == block


async def test_a_peer_told_at_a_false_address_is_asked_once_its_true_one_is_told() -> None:
    blocks = tree(3)
    async with (
        MemoryNetwork() as network,
        node(network, blocks) as (provider, _, _),
        node(network) as (_, bitswap, _),
    ):
        nowhere = PeerAddress(provider.peer_id, network.add_host().addresses)
        with bitswap.fetch(idle_timeout_s=30) as fetching:

            async def told() -> AsyncIterator[PeerAddress]:
                yield nowhere
                await until(lambda: provider.peer_id in fetching.dropped)
                yield where(provider)

            fetching.want([blocks[0].cid])
            fetching.seek(told())
            assert await fetching.receive() == [blocks[0]]
            assert fetching.dropped == {}
