"""What a DHT server answers: pure, from the table, the records and the addresses that it knows."""

from collections.abc import Iterable, Iterator
from typing import assert_never

from ipfs.errors import PeerError
from ipfs.host import Host, PeerAddress
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
from ipfs.kad.reach import InReach, networks_of
from ipfs.kad.records import ProviderRecords
from ipfs.kad.routing_table import RoutingTable
from ipfs.kad.values import ValueRecords
from ipfs.p2p.peer_id import PeerId


class NotTheProvider(PeerError):
    """A peer announced that somebody else has a block; only they can say so."""

    code = "not-the-provider"


class KadServer:
    """Answers requests, one response each, and none to ADD_PROVIDER."""

    def __init__(
        self,
        host: Host,
        *,
        table: RoutingTable,
        records: ProviderRecords,
        values: ValueRecords,
        in_reach: InReach,
        peers_max: int,
    ) -> None:
        self._host = host
        self._table = table
        self._records = records
        self._values = values
        self._in_reach = in_reach
        self._peers_max = peers_max

    def answer(self, sender: PeerId, request: Request, *, now: float) -> Response | None:
        """Return the response to send, if any. Raises `NotTheProvider`, `StaleValue`, and
        what the validator of values raises.
        """
        match request:
            case Ping():
                return Response(MessageType.PING)
            case FindNode(key):
                peers = [*self._target(key, sender), *self._closer(key, sender)]
                return Response(MessageType.FIND_NODE, tuple(peers[: self._peers_max]))
            case GetValue(key):
                kept = [ValueRecord(key, value) for value in self._values.get(key, now)]
                closer = tuple(self._closer(key, sender))
                return Response(MessageType.GET_VALUE, closer, record=kept[0] if kept else None)
            case GetProviders(key):
                providers = self._located(self._records.providers(key, now))
                return Response(
                    MessageType.GET_PROVIDERS, tuple(self._closer(key, sender)), tuple(providers)
                )
            case AddProvider(key, providers):
                self._add_provider(key, sender, providers, now)
                return None
            case PutValue(key, value):
                self._values.put(key, value, now)
                return Response(MessageType.PUT_VALUE, record=ValueRecord(key, value))
            case _:
                assert_never(request)

    def _add_provider(
        self, key: bytes, sender: PeerId, providers: tuple[PeerAddress, ...], now: float
    ) -> None:
        if {provider.peer_id for provider in providers} != {sender}:
            raise NotTheProvider(f"{sender} announced for {len(providers)} providers, not itself")
        networks = networks_of(self._host.remote_addresses(sender))
        self._records.add(key, providers[0], now, networks=networks)

    def _target(self, key: bytes, sender: PeerId) -> Iterator[PeerAddress]:
        """Yield the peer that was asked for by name: a client is in nobody's table."""
        known = {self._host.peer_id, *self._host.connected_peers()} - {sender, *self._table}
        yield from self._located(PeerAddress(peer) for peer in known if peer.multihash == key)

    def _closer(self, key: bytes, sender: PeerId) -> Iterator[PeerAddress]:
        nearest = self._table.closest(key_of(key), self._peers_max + 1)
        others = [PeerAddress(peer) for peer in nearest if peer != sender][: self._peers_max]
        yield from self._located(others)

    def _located(self, peers: Iterable[PeerAddress]) -> Iterator[PeerAddress]:
        """Yield the peers with where they live; nobody can use the others."""
        for peer in peers:
            is_us = peer.peer_id == self._host.peer_id
            known = self._host.addresses if is_us else self._host.known_addresses(peer.peer_id)
            if addresses := tuple(filter(self._in_reach, peer.addresses or known)):
                yield PeerAddress(peer.peer_id, addresses)
