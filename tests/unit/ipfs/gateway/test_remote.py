"""Fetching from strangers' gateways: honest ones, and ones that lie, send without end, or die."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress

import pytest

from ipfs.bitswap.session import DONT_HAVE, BlockUnavailable
from ipfs.bitswap.stream import Bitswap
from ipfs.block import BLOCK_BYTES_MAX, Block
from ipfs.blockstore import MemoryBlockstore
from ipfs.cid import CID
from ipfs.errors import LimitExceeded, MalformedBytes, PeerTooSlow, WrongBlock
from ipfs.exchange import DagLimits, DagUnavailable, FetchedDag, fetch_dag
from ipfs.gateway.remote import GatewayExchange
from ipfs.host import PeerAddress, PeerUnreachable
from ipfs.p2p.memory import MemoryNetwork
from ipfs.p2p.multiaddr import Multiaddr
from ipfs.p2p.peer_id import Identity, PeerId
from tests.support.bitswap import leaf, node, store_of, tree, where
from tests.support.client_town import Gossip
from tests.support.gateway import cids_in, gateway_over

LIMITS = DagLimits(blocks_max=1_000, bytes_max=1 << 24)
HONEST, CROOKED = (Identity.from_seed(bytes([number]) * 32).peer_id for number in (1, 2))


async def fetched(
    store: MemoryBlockstore, root: CID, gateways: dict[PeerId, str], *, idle_timeout_s: float = 60
) -> FetchedDag:
    async with (
        MemoryNetwork() as network,
        Bitswap(network.add_host(), store) as bitswap,
        GatewayExchange(bitswap, gateways) as exchange,
    ):
        return await fetch_dag(exchange, root, limits=LIMITS, idle_timeout_s=idle_timeout_s)


@asynccontextmanager
async def crooked(answer: Callable[[asyncio.StreamWriter], None]) -> AsyncIterator[str]:
    """Run a server that reads a request and answers as it likes."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        answer(writer)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


def lie(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nwrong")


def flood(writer: asyncio.StreamWriter) -> None:
    size = BLOCK_BYTES_MAX * 2
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size + bytes(size))


def redirect(writer: asyncio.StreamWriter) -> None:
    head = b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n"
    writer.write(head)


def hang_up(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\nhalf")
    writer.close()


def trickle(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")

    def one_more() -> None:
        if not writer.is_closing():
            writer.write(b".")
            asyncio.get_running_loop().call_later(0.01, one_more)

    one_more()


def say_nothing(_: asyncio.StreamWriter) -> None:
    """Keep the request."""


async def test_a_dag_comes_whole_and_is_stored() -> None:
    blocks = tree(40)
    store = MemoryBlockstore()
    async with gateway_over(store_of(blocks)) as client:
        found = await fetched(store, blocks[-1].cid, {HONEST: str(client.base_url).rstrip("/")})
    assert found.block_count == len(blocks)
    assert {cid.multihash for cid in store} == {block.cid.multihash for block in blocks}


@pytest.mark.parametrize(
    ("answer", "code", "idle_timeout_s"),
    [
        (lie, WrongBlock.code, 60),
        (flood, LimitExceeded.code, 60),
        (hang_up, PeerUnreachable.code, 60),
        (say_nothing, PeerUnreachable.code, 1),
    ],
)
async def test_a_gateway_that_fails_is_dropped_and_the_next_one_gives_all(
    answer: Callable[[asyncio.StreamWriter], None], code: str, idle_timeout_s: float
) -> None:
    blocks = tree(5)
    async with gateway_over(store_of(blocks)) as client, crooked(answer) as url:
        gateways = {CROOKED: url, HONEST: str(client.base_url).rstrip("/")}
        found = await fetched(
            MemoryBlockstore(), blocks[-1].cid, gateways, idle_timeout_s=idle_timeout_s
        )
    assert found.dropped == {CROOKED: code}
    assert found.block_count == len(blocks)


async def test_a_gateway_that_trickles_is_dropped_like_one_that_is_silent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("ipfs.gateway.remote.BLOCK_SECONDS_MAX", 1)
    blocks = tree(5)
    async with gateway_over(store_of(blocks)) as client, crooked(trickle) as url:
        gateways = {CROOKED: url, HONEST: str(client.base_url).rstrip("/")}
        found = await fetched(MemoryBlockstore(), blocks[-1].cid, gateways)
    assert found.dropped == {CROOKED: PeerTooSlow.code}


async def test_what_no_gateway_has_can_be_asked_for_and_is_said_again() -> None:
    blocks = tree(5)
    missing = blocks[0]
    async with (
        gateway_over(store_of(blocks[1:])) as client,
        MemoryNetwork() as network,
        Bitswap(network.add_host(), MemoryBlockstore()) as bitswap,
        GatewayExchange(bitswap, {HONEST: str(client.base_url).rstrip("/")}) as exchange,
    ):
        with exchange.fetch(idle_timeout_s=60) as fetch:
            fetch.want([missing.cid])
            for _ in range(2):
                with pytest.raises(BlockUnavailable):
                    await fetch.receive()


async def test_a_redirect_leads_nowhere() -> None:
    async with crooked(redirect) as url:
        with pytest.raises(DagUnavailable) as failed:
            await fetched(MemoryBlockstore(), tree(1)[0].cid, {CROOKED: url})
    assert failed.value.tried == {CROOKED: DONT_HAVE}


async def test_what_no_gateway_has_is_said_so() -> None:
    blocks = tree(5)
    async with gateway_over(store_of(blocks[1:])) as client:
        with pytest.raises(DagUnavailable) as failed:
            await fetched(
                MemoryBlockstore(), blocks[-1].cid, {HONEST: str(client.base_url).rstrip("/")}
            )
    assert failed.value.missing == blocks[0].cid
    assert failed.value.tried == {HONEST: DONT_HAVE}


async def test_all_fetches_together_have_no_more_requests_under_way_than_there_is_room_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("ipfs.gateway.remote.REQUESTS_MAX", 3)
    blocks = [leaf(number) for number in range(12)]
    sizes = {str(block.cid): block.data for block in blocks}
    all_who_are_let_in, under_way, most = asyncio.Barrier(3), 0, 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal under_way, most
        with suppress(asyncio.IncompleteReadError):
            while request := (await reader.readuntil(b"\r\n\r\n")).decode():
                under_way += 1
                most = max(most, under_way)
                await all_who_are_let_in.wait()
                under_way -= 1
                data = sizes[request.split("?")[0].removeprefix("GET /ipfs/")]
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(data) + data)
        writer.close()

    async def all_of(exchange: GatewayExchange, wanted: Sequence[Block]) -> None:
        with exchange.fetch(idle_timeout_s=60) as fetch:
            fetch.want(block.cid for block in wanted)
            received: list[Block] = []
            while len(received) < len(wanted):
                received += await fetch.receive()
            assert {block.cid for block in received} == {block.cid for block in wanted}

    async with (
        await asyncio.start_server(serve, "127.0.0.1", 0) as server,
        MemoryNetwork() as network,
        Bitswap(network.add_host(), MemoryBlockstore()) as bitswap,
        GatewayExchange(
            bitswap, {HONEST: f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"}
        ) as exchange,
    ):
        await asyncio.gather(all_of(exchange, blocks[:6]), all_of(exchange, blocks[6:]))
    assert most == 3


async def test_a_visitor_gets_from_other_gateways_what_no_peer_gives() -> None:
    blocks = tree(40)
    root, here = blocks[-1].cid, MemoryBlockstore()
    behind_nat = PeerAddress(HONEST, (Multiaddr.parse("/ip4/192.0.2.1/tcp/4001"),))
    async with (
        gateway_over(store_of(blocks)) as far,
        crooked(lie) as url,
        gateway_over(
            here,
            routing=Gossip(behind_nat),
            gateways={CROOKED: url, HONEST: str(far.base_url).rstrip("/")},
        ) as near,
    ):
        car, only = f"/ipfs/{root}?format=car", {"Cache-Control": "only-if-cached"}
        assert (await near.get(car, headers=only)).status_code == 412
        assert set(cids_in((await near.get(car)).content)) == {block.cid for block in blocks}
        assert (await near.get(car, headers=only)).status_code == 200
    assert not list(here), "visitors can't fill the disk"


async def test_gateways_go_on_where_peers_end() -> None:
    blocks = tree(40)
    root = blocks[-1].cid
    async with (
        MemoryNetwork() as network,
        node(network, blocks[20:]) as (host, _, _),
        gateway_over(store_of(blocks[:20])) as far,
        gateway_over(
            MemoryBlockstore(),
            network=network,
            routing=Gossip(where(host)),
            gateways={HONEST: str(far.base_url).rstrip("/")},
        ) as near,
    ):
        car = (await near.get(f"/ipfs/{root}?format=car")).content
        assert set(cids_in(car)) == {block.cid for block in blocks}


class Lookups(Gossip):
    """A routing that knows of nobody, and what was asked of it."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[CID] = []

    async def find_providers(
        self, cid: CID, *, count_max: int | None = None
    ) -> AsyncIterator[PeerAddress]:
        self.asked.append(cid)
        async for peer in super().find_providers(cid, count_max=count_max):
            yield peer


async def test_gateways_that_would_ask_each_other_for_ever_do_not() -> None:
    missing, routing = leaf(1).cid, Lookups()
    others: dict[PeerId, str] = {}
    async with (
        gateway_over(MemoryBlockstore(), routing=routing, gateways=others) as one,
        gateway_over(
            MemoryBlockstore(),
            routing=routing,
            gateways={HONEST: str(one.base_url).rstrip("/")},
        ) as other,
    ):
        others[CROOKED] = str(other.base_url).rstrip("/")
        answer = await one.get(f"/ipfs/{missing}")
        assert (answer.status_code, answer.json()["code"]) == (502, "unavailable")
    assert routing.asked == [missing], "nobody looked for it but who was asked by a visitor"


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("/ip4/127.0.0.1/tcp/80/http", "http://127.0.0.1:80"),
        ("/ip6/::1/tcp/8080/http", "http://[::1]:8080"),
        ("/dns4/gateway.example/tcp/443/tls/http", "https://gateway.example:443"),
        ("/dns/gateway.example/tcp/443/https", "https://gateway.example:443"),
        ("/ip4/127.0.0.1/tcp/80", None),
        ("/ip4/127.0.0.1/tcp/80/ws", None),
        ("/ip4/127.0.0.1/udp/80/http", None),
    ],
)
def test_a_multiaddr_says_where_a_gateway_is(text: str, url: str | None) -> None:
    address = Multiaddr.parse(text)
    assert address.http_url == url
    assert Multiaddr.parse_bytes(address.encode()) == address
    if url:
        assert address.tcp_endpoint is None, "it is not dialled as a peer"


def test_a_host_that_would_change_the_url_is_no_address() -> None:
    for text in ("/dns4/a@b/tcp/80/http", "/dns4/a%2fb/tcp/80/http", "/dns4/a?b/tcp/1/http"):
        with pytest.raises(MalformedBytes):
            Multiaddr.parse(text)
