from collections.abc import AsyncIterator

import pytest

from ipfs.errors import MalformedBytes
from ipfs.host import PeerAddress
from ipfs.kad.keyspace import key_of
from ipfs.kad.messages import (
    AddProvider,
    FindNode,
    GetProviders,
    GetValue,
    MessageType,
    Ping,
    PutValue,
    Request,
    Response,
    ValueRecord,
)
from ipfs.kad.parameters import LAN_PROTOCOL_ID, PUBLIC_PROTOCOL_ID
from ipfs.kad.reach import reach_of
from ipfs.kad.records import ProviderRecords
from ipfs.kad.routing_table import RoutingTable
from ipfs.kad.server import KadServer, NotTheProvider
from ipfs.kad.values import StaleValue, ValueRecords
from ipfs.p2p.memory import MemoryHost, MemoryNetwork
from ipfs.p2p.multiaddr import Multiaddr
from ipfs.p2p.peer_id import PeerId
from tests.support.kad import HighestWins, nearest, peer, where

KEY = b"\x12\x20" + b"block".ljust(32)
ADDRESS = Multiaddr.parse("/ip4/10.0.0.1/tcp/4001")
SENDER = peer(1000)


class Server:
    """A server that knows 50 peers, none of which is there."""

    def __init__(self, host: MemoryHost, protocol_id: str = LAN_PROTOCOL_ID) -> None:
        self.host = host
        self.table = RoutingTable(host.peer_id, k=100)
        self.records = ProviderRecords(
            record_seconds=10,
            records_max=100,
            providers_per_key_max=100,
            keys_per_provider_max=100,
        )
        for number in range(50):
            host.add_addresses(PeerAddress(peer(number), (ADDRESS,)))
            self.table.heard(peer(number), now=0)
        self._server = KadServer(
            host,
            table=self.table,
            records=self.records,
            values=ValueRecords(
                HighestWins(), own=host.peer_id, record_seconds=10, records_max=100
            ),
            in_reach=reach_of(protocol_id),
            peers_max=20,
        )

    def answer(self, request: Request, sender: PeerId = SENDER, now: float = 0) -> Response:
        response = self._server.answer(sender, request, now=now)
        assert response is not None
        return response

    def add_provider(self, *providers: PeerAddress, sender: PeerId = SENDER) -> None:
        assert self._server.answer(sender, AddProvider(KEY, providers), now=0) is None


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    async with MemoryNetwork() as network:
        yield Server(network.add_host())


def ids(peers: tuple[PeerAddress, ...]) -> list[PeerId]:
    return [it.peer_id for it in peers]


def test_ping_is_answered_by_ping(server: Server) -> None:
    assert server.answer(Ping()) == Response(MessageType.PING)


@pytest.mark.parametrize("request_", [FindNode(KEY), GetProviders(KEY), GetValue(KEY)])
def test_whatever_is_sought_the_nearest_of_the_table_are_told(
    server: Server, request_: Request
) -> None:
    response = server.answer(request_)
    assert response.message_type is request_.message_type
    assert ids(response.closer_peers) == nearest(key_of(KEY), server.table, 20)
    assert {it.addresses for it in response.closer_peers} == {(ADDRESS,)}


def test_a_peer_is_not_told_of_itself(server: Server) -> None:
    [first, *_] = nearest(key_of(KEY), server.table, 1)
    told = ids(server.answer(FindNode(KEY), sender=first).closer_peers)
    assert told == nearest(key_of(KEY), set(server.table) - {first}, 20)


def test_a_peer_without_address_is_not_told(server: Server) -> None:
    server.table.heard(lost := peer(77), now=0)
    assert lost in server.table
    assert lost not in ids(server.answer(FindNode(lost.multihash)).closer_peers)


def test_we_tell_where_we_live(server: Server) -> None:
    [us, *_] = server.answer(FindNode(server.host.peer_id.multihash)).closer_peers
    assert us == where(server.host)


async def test_a_connected_client_is_told_when_it_is_asked_for() -> None:
    async with MemoryNetwork() as network:
        server, client = Server(network.add_host()), network.add_host()
        await client.connect(where(server.host))
        told = server.answer(FindNode(client.peer_id.multihash)).closer_peers
        assert told[0] == where(client)
        assert len(told) == 20
        assert where(client) not in server.answer(FindNode(KEY)).closer_peers
        itself = server.answer(FindNode(client.peer_id.multihash), sender=client.peer_id)
        assert where(client) not in itself.closer_peers


def test_a_provider_is_told_until_its_record_expires(server: Server) -> None:
    provider = PeerAddress(SENDER, (ADDRESS,))
    server.add_provider(provider)
    assert server.answer(GetProviders(KEY), sender=peer(3)).provider_peers == (provider,)
    assert server.answer(GetProviders(KEY), now=9.9).provider_peers == (provider,)
    assert server.answer(GetProviders(KEY), now=10).provider_peers == ()
    assert server.answer(GetProviders(KEY + b"other")).provider_peers == ()


def test_a_provider_that_told_no_address_is_told_with_those_we_know(server: Server) -> None:
    server.add_provider(PeerAddress(peer(3)), sender=peer(3))
    [told] = server.answer(GetProviders(KEY)).provider_peers
    assert told == PeerAddress(peer(3), (ADDRESS,))


@pytest.mark.parametrize("providers", [(), (peer(2),), (SENDER, peer(2))])
def test_nobody_speaks_for_another_provider(server: Server, providers: tuple[PeerId, ...]) -> None:
    with pytest.raises(NotTheProvider):
        server.add_provider(*map(PeerAddress, providers))
    assert len(server.records) == 0


def test_a_value_is_echoed_when_kept_and_told_until_it_expires(server: Server) -> None:
    record = ValueRecord(b"/n/a", b"1")
    assert server.answer(PutValue(b"/n/a", b"1")) == Response(MessageType.PUT_VALUE, record=record)
    assert server.answer(GetValue(b"/n/a"), now=9.9).record == record
    assert len(server.answer(GetValue(b"/n/a")).closer_peers) == 20
    assert server.answer(GetValue(b"/n/a"), now=10).record is None
    assert server.answer(GetValue(b"/n/b")).record is None


def test_a_value_that_is_not_valid_or_not_the_best_is_refused(server: Server) -> None:
    server.answer(PutValue(b"/n/a", b"2"))
    with pytest.raises(StaleValue):
        server.answer(PutValue(b"/n/a", b"1"))
    with pytest.raises(MalformedBytes):
        server.answer(PutValue(b"/n/a", b"three"))
    assert server.answer(GetValue(b"/n/a")).record == ValueRecord(b"/n/a", b"2")


@pytest.mark.parametrize(
    ("address", "is_told"),
    [
        ("/ip4/127.0.0.1/tcp/1", False),
        ("/ip4/192.168.1.1/tcp/1", False),
        ("/ip4/100.64.0.1/tcp/1", False),
        ("/ip6/::1/tcp/1", False),
        ("/ip6/fe80::1/tcp/1", False),
        ("/ip4/1.1.1.1/tcp/1", True),
        ("/ip6/2606:4700::1111/tcp/1", True),
        ("/dns4/example.org/tcp/1", True),
    ],
)
async def test_in_the_public_dht_only_addresses_that_reach_everybody_are_told(
    address: str, is_told: bool
) -> None:
    async with MemoryNetwork() as network:
        server = Server(network.add_host(), PUBLIC_PROTOCOL_ID)
        lives = PeerAddress(peer(77), (Multiaddr.parse(address),))
        server.host.add_addresses(lives)
        server.table.heard(lives.peer_id, now=0)
        told = server.answer(FindNode(lives.peer_id.multihash)).closer_peers
        assert told == ((lives,) if is_told else ())

        server.add_provider(PeerAddress(SENDER, lives.addresses))
        assert bool(server.answer(GetProviders(KEY)).provider_peers) is is_told
