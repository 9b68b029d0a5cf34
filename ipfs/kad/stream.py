"""The DHT node: answers its peers, finds and announces, keeps its table and records fresh."""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from contextlib import aclosing, suppress
from enum import Enum, auto
from random import Random, SystemRandom
from typing import Final

from ipfs.cid import CID
from ipfs.errors import PeerHungUp
from ipfs.framing import FrameReader, encode_frame
from ipfs.host import Host, PeerAddress, Stream
from ipfs.ipns import IpnsValidator
from ipfs.kad.announcements import Announcements
from ipfs.kad.asking import Asker
from ipfs.kad.hearsay import Hearsay
from ipfs.kad.keyspace import key_of, preimage_near
from ipfs.kad.messages import (
    REQUEST_BYTES_MAX,
    AddProvider,
    FindNode,
    GetProviders,
    GetValue,
    Ping,
    PutValue,
    Request,
    decode_request,
)
from ipfs.kad.parameters import DEFAULT_PARAMETERS, LAN_PROTOCOL_ID, KadParameters
from ipfs.kad.reach import reach_of, within
from ipfs.kad.records import ProviderRecords
from ipfs.kad.remote import Walker
from ipfs.kad.routing_table import RoutingTable
from ipfs.kad.server import KadServer
from ipfs.kad.sweep import serves
from ipfs.kad.values import Validator, ValueRecords
from ipfs.p2p.peer_id import PeerId

_READ_BYTES: Final = 64 << 10


class Mode(Enum):
    """Whether a node answers others."""

    SERVER = auto()
    CLIENT = auto()


class Kademlia:
    """A node of one DHT, which its protocol id names; implements `Routing` and `ValueRouting`.

    Answers and learns peers from the moment it is made. `run` keeps it fresh, and belongs in a
    TaskGroup of the caller. `clock` returns seconds and never goes back. `validator` says which
    values are kept and believed; IPNS records if none is given.
    """

    def __init__(
        self,
        host: Host,
        *,
        protocol_id: str = LAN_PROTOCOL_ID,
        mode: Mode = Mode.SERVER,
        parameters: KadParameters = DEFAULT_PARAMETERS,
        validator: Validator | None = None,
        clock: Callable[[], float] = time.monotonic,
        random: Random | None = None,
    ) -> None:
        self._host = host
        self._protocol_id = protocol_id
        self._parameters = parameters
        self._clock = clock
        self._random = random or SystemRandom()
        self._table = RoutingTable(
            host.peer_id,
            k=parameters.k,
            per_network_max=parameters.peers_per_network_max,
            per_network_and_bucket_max=parameters.peers_per_network_and_bucket_max,
        )
        self._records = ProviderRecords(
            record_seconds=parameters.record_seconds,
            records_max=parameters.records_max,
            providers_per_key_max=parameters.providers_per_key_max,
            keys_per_provider_max=parameters.keys_per_provider_max,
        )
        self._values = ValueRecords(
            validator or IpnsValidator(time.time_ns),
            own=host.peer_id,
            record_seconds=parameters.record_seconds,
            records_max=parameters.values_max,
        )
        self._in_reach = reach_of(protocol_id)
        self._walker = Walker(
            host,
            Asker(host, protocol_id, self._in_reach),
            self._table,
            parameters=parameters,
            clock=clock,
        )
        self._server = KadServer(
            host,
            table=self._table,
            records=self._records,
            values=self._values,
            in_reach=self._in_reach,
            peers_max=parameters.k,
        )
        self._bootstrap_peers: tuple[PeerAddress, ...] = ()
        self._announcements = Announcements(republish_seconds=parameters.republish_seconds)
        self._behind: asyncio.Queue[tuple[PutValue, list[PeerAddress]]] = asyncio.Queue(
            parameters.repairs_max
        )
        host.on_identified(self._take_identified)
        for peer_id in host.connected_peers():
            self._take_identified(peer_id, host.peer_protocols(peer_id))
        if mode is Mode.SERVER:
            host.handle(protocol_id, self._serve)

    @property
    def table(self) -> RoutingTable:
        """The peers that lookups start from."""
        return self._table

    async def bootstrap(self, peers: Iterable[PeerAddress]) -> int:
        """Join through peers known by address; return how many servers are in our table now.

        They are remembered, and asked again whenever the table has run empty.
        """
        self._bootstrap_peers = tuple(peers)
        await self._walker.approach(self._host.peer_id.multihash, seeds=self._bootstrap_peers)
        return len(self._table)

    async def provide(self, cid: CID) -> int:
        """Announce that we have this CID, now and from time to time while `run` runs.

        Returns how many peers took the record; with none, `run` soon tries again.
        """
        return await self._announce(cid.multihash)

    def unprovide(self, cid: CID) -> None:
        """Announce this CID no more. Others forget it when its record expires."""
        self._announcements.remove(cid.multihash)
        self._records.forget(cid.multihash, self._host.peer_id)

    async def find_providers(
        self, cid: CID, *, count_max: int | None = None
    ) -> AsyncGenerator[PeerAddress, None]:
        """Yield other peers said to have the CID, as they are found.

        One comes again if it turns out to have more addresses; those whose address nobody told
        come last. Close the iterator to stop early.
        """
        enough = self._parameters.providers_enough if count_max is None else count_max
        found: set[PeerId] = set()
        async with aclosing(self._heard_of(cid.multihash, enough)) as providers:
            async for provider in providers:
                found.add(provider.peer_id)
                yield provider
                if len(found) == count_max:
                    return

    async def _heard_of(self, key: bytes, enough: int) -> AsyncGenerator[PeerAddress, None]:
        hearsay = Hearsay(own=self._host.peer_id, news_per_teller=self._parameters.news_per_teller)
        for provider in hearsay.take(self._records.providers(key, self._clock())):
            yield provider
        lookup = self._walker.lookup(key, beta=self._parameters.k)
        async with aclosing(self._walker.walk(lookup, GetProviders(key))) as answers:
            async for _, response in answers:
                for provider in hearsay.take(map(self._located, response.provider_peers)):
                    yield provider
        for provider in hearsay.rest(enough):
            yield provider

    def _located(self, peer: PeerAddress) -> PeerAddress:
        """Return a peer with where it was before, if whoever told of it did not say."""
        addresses = peer.addresses or self._host.known_addresses(peer.peer_id)
        return PeerAddress(peer.peer_id, addresses)

    async def find_peer(self, peer_id: PeerId) -> PeerAddress | None:
        """Return where the peer lives, or None if nobody close to it knows."""
        if peer_id in self._host.connected_peers():
            return PeerAddress(peer_id, self._host.known_addresses(peer_id))
        lookup = self._walker.lookup(peer_id.multihash, beta=self._parameters.beta)
        async with aclosing(self._walker.walk(lookup, FindNode(peer_id.multihash))) as answers:
            async for _, response in answers:
                for peer in response.closer_peers:
                    if peer.peer_id == peer_id and peer.addresses:
                        return peer
        return None

    async def put_value(self, key: bytes, value: bytes) -> int:
        """Have a value kept by the peers nearest to its key; return how many took it.

        Raises `StaleValue` if we keep a better one, and what the validator raises.
        """
        self._values.put(key, value, self._clock())
        return await self._walker.place(PutValue(key, value), await self._walker.approach(key))

    async def get_value(self, key: bytes) -> bytes | None:
        """Return the best value found under a key, or None; `run` tells it to who was behind."""
        told: dict[PeerId, bytes] = {}
        lookup = self._walker.lookup(key, beta=self._parameters.k)
        async with aclosing(self._walker.walk(lookup, GetValue(key))) as answers:
            async for peer_id, response in answers:
                record = response.record
                if record is None or not self._values.is_valid(key, record.value):
                    continue
                told[peer_id] = record.value
                if len(told) >= self._parameters.value_quorum:
                    break
        best = self._values.best(key, (*self._values.get(key, self._clock()), *told.values()))
        if best is not None:
            nearest = lookup.closest(self._parameters.k)
            behind = [peer for peer in nearest if told.get(peer.peer_id) != best]
            # One of them may be mute: the reader does not wait for it.
            with suppress(asyncio.QueueFull):
                self._behind.put_nowait((PutValue(key, best), behind))
        return best

    async def repair(self) -> None:
        """Wait for a value that some peers were found to lack, and hand it to them."""
        await self._walker.place(*await self._behind.get())

    async def run(self) -> None:
        """Keep the table, the records and our announcements fresh, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._greet_as_they_come())
            tasks.create_task(self._repair_as_they_come())
            while True:
                await self.upkeep()
                is_alone = not len(self._table) or self._announcements.due(self._clock())
                await asyncio.sleep(
                    self._parameters.retry_seconds if is_alone else self._parameters.refresh_seconds
                )

    async def greet(self) -> None:
        """Ask those who say to serve the DHT; who answers is in the table from then on."""
        await self._walker.greet()

    async def upkeep(self) -> None:
        """Do one round of what `run` repeats."""
        now = self._clock()
        self._records.forget_expired(now)
        self._values.forget_expired(now)
        silent = self._table.silent_since(now - self._parameters.refresh_seconds)
        await self._walker.ask_each(silent, Ping())
        own = self._host.peer_id.multihash
        await self._walker.approach(own, seeds=() if len(self._table) else self._bootstrap_peers)
        depth = min(self._table.depth, self._parameters.refresh_prefix_bits_max)
        for prefix_bits in range(depth + 1):
            await self._walker.approach(preimage_near(key_of(own), prefix_bits, self._random))
        await self._sweep()

    async def _greet_as_they_come(self) -> None:
        while await self._walker.has_newcomers.wait():
            await self.greet()

    async def _repair_as_they_come(self) -> None:
        while True:
            await self.repair()

    async def _sweep(self) -> None:
        """Announce what is due, neighbours in the key space together."""
        found_for: bytes | None = None
        keepers: list[PeerAddress] = []
        for key in sorted(self._announcements.due(self._clock()), key=key_of):
            if found_for is None or not serves(keepers, found_for, key, k=self._parameters.k):
                found_for, keepers = key, await self._walker.approach(key)
            await self._announce(key, keepers)

    async def _announce(self, key: bytes, keepers: Sequence[PeerAddress] | None = None) -> int:
        [us] = within(self._in_reach, [PeerAddress(self._host.peer_id, self._host.addresses)])
        self._records.add(key, us, self._clock())
        self._announcements.add(key, self._clock())
        nearest = await self._walker.approach(key) if keepers is None else keepers
        took = await self._walker.place(AddProvider(key, (us,)), nearest)
        if took:
            self._announcements.made(key, self._clock())
        return took

    async def _serve(self, stream: Stream) -> None:
        """Answer one inbound stream, which its peer may use for many requests."""
        reader = FrameReader(frame_bytes_max=REQUEST_BYTES_MAX)
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._parameters.idle_seconds_max) as patience:
                while data := await stream.read(_READ_BYTES):
                    for payload in reader.feed(data):
                        await self._answer(stream, decode_request(payload))
                        patience.reschedule(loop.time() + self._parameters.idle_seconds_max)
        except TimeoutError:
            await stream.reset()
            return
        if not reader.is_between_frames:
            raise PeerHungUp(f"{stream.peer_id} ended the stream within a message")
        await stream.close_write()

    async def _answer(self, stream: Stream, request: Request) -> None:
        answer = self._server.answer(stream.peer_id, request, now=self._clock())
        if answer is not None:
            await stream.write(encode_frame(answer.encode()))
        # A write with room to spare does not wait, and one peer can send thousands of requests.
        await asyncio.sleep(0)

    def _take_identified(self, peer_id: PeerId, protocol_ids: Sequence[str]) -> None:
        self._walker.meet(peer_id, is_server=self._protocol_id in protocol_ids)
