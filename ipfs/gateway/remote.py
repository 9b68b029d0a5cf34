"""Blocks from other people's gateways over HTTP, for who can't be reached by Bitswap (NAT)."""

import asyncio
from collections.abc import AsyncIterable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType
from typing import ClassVar, Final, Self

import httpx

from ipfs.bitswap.session import DONT_HAVE, BlockUnavailable
from ipfs.block import BLOCK_BYTES_MAX, Block
from ipfs.cid import CID
from ipfs.errors import LimitExceeded, PeerError, PeerTooSlow
from ipfs.exchange import BlockFetch, Exchange
from ipfs.gateway.formats import MEDIA_TYPES, Format
from ipfs.host import NetworkError, PeerAddress, PeerUnreachable
from ipfs.http import http_client
from ipfs.p2p.peer_id import PeerId

REQUESTS_MAX: Final = 32
"""Under way at a time, of all fetches together."""

REQUESTS_PER_FETCH_MAX: Final = 8
"""The same of one, so that one which meets slow gateways leaves room for others."""

BLOCK_SECONDS_MAX: Final = 120.0
"""For one block, to its last byte, however steadily it trickles: eight of 2 MiB at 140 kB/s."""


class BlockRefused(NetworkError):
    """A gateway does not give this block; it may give others."""

    code: ClassVar[str] = DONT_HAVE


class GatewayExchange:
    """Our store, with gateways around it instead of peers. To be entered.

    gateways:  the URL of each, by the peer who runs it; asked in this order, for what it has: two
               that fetch for others would ask each other for ever. Redirects are not followed,
               and nothing of an answer counts but bytes that match the CID.
    """

    def __init__(self, exchange: Exchange, gateways: Mapping[PeerId, str]) -> None:
        self._exchange = exchange
        self._gateways = gateways
        self._room = asyncio.Semaphore(REQUESTS_MAX)

    async def __aenter__(self) -> Self:
        headers = {
            "Accept": MEDIA_TYPES[Format.RAW],
            "Accept-Encoding": "identity",
            "Cache-Control": "only-if-cached",
        }
        self._http = http_client(connections_max=REQUESTS_MAX, headers=headers)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._http.aclose()

    async def load(self, cids: Iterable[CID]) -> list[Block]:
        """Return those of the blocks that the store has."""
        return await self._exchange.load(cids)

    async def sizes_bytes(self, cids: Iterable[CID]) -> dict[CID, int]:
        """Return the sizes of those of the blocks that the store has; they are not read."""
        return await self._exchange.sizes_bytes(cids)

    async def keep(self, blocks: Iterable[Block]) -> None:
        """Store the blocks, durably."""
        await self._exchange.keep(blocks)

    @contextmanager
    def fetch(
        self,
        peers: Iterable[PeerAddress] = (),  # noqa: ARG002 - the port's; gateways are set already
        *,
        idle_timeout_s: float,
    ) -> Iterator[BlockFetch]:
        """Return a new fetch; only peers whose gateways are known are asked."""
        fetch = _GatewayFetch(self._http, self._gateways, self._room, idle_timeout_s)
        try:
            yield fetch
        finally:
            fetch.abandon()


class _GatewayFetch:
    """One fetch: a request a block, from the first gateway that gives it."""

    def __init__(
        self,
        http: httpx.AsyncClient,
        gateways: Mapping[PeerId, str],
        room_of_all: asyncio.Semaphore,
        idle_timeout_s: float,
    ) -> None:
        self._http = http
        self._gateways = gateways
        self._idle_timeout_s = idle_timeout_s
        self._room_of_all = room_of_all
        self._room = asyncio.Semaphore(REQUESTS_PER_FETCH_MAX)
        self._tasks: set[asyncio.Task[Block]] = set()
        self.dropped: dict[PeerId, str] = {}

    def seek(self, peers: AsyncIterable[PeerAddress]) -> None:
        """Let them be: a peer that the DHT names does not say where its gateway is."""

    def want(
        self,
        cids: Iterable[CID],
        *,
        are_last: bool = False,  # noqa: ARG002 - the port's; no block is asked of two
    ) -> None:
        """Ask for these blocks, the first ones first."""
        self._tasks.update(asyncio.create_task(self._bring(cid)) for cid in cids)

    async def receive(self) -> list[Block]:
        """Return blocks that have arrived, at least one. Raises `BlockUnavailable`."""
        done, _ = await asyncio.wait(self._tasks, return_when=asyncio.FIRST_COMPLETED)
        arrived = {task for task in done if task.exception() is None}
        # What failed stays, to be told again: it remains wanted.
        self._tasks -= arrived
        return [task.result() for task in arrived or done]

    def abandon(self) -> None:
        """Want nothing more."""
        for task in self._tasks:
            task.add_done_callback(_take_outcome)
            task.cancel()

    async def _bring(self, cid: CID) -> Block:
        async with self._room, self._room_of_all:
            refusals: dict[PeerId, str] = {}
            for peer_id, url in self._gateways.items():
                if peer_id in self.dropped:
                    continue
                try:
                    return await self._get(peer_id, url, cid)
                except BlockRefused as error:
                    refusals[peer_id] = error.code
                except (PeerError, NetworkError) as error:
                    self.dropped[peer_id] = error.code
        raise BlockUnavailable(cid, {**self.dropped, **refusals})

    async def _get(self, peer_id: PeerId, url: str, cid: CID) -> Block:
        data = bytearray()
        try:
            async with (
                asyncio.timeout(BLOCK_SECONDS_MAX),
                self._http.stream(
                    "GET", f"{url}/ipfs/{cid}?format=raw", timeout=self._idle_timeout_s
                ) as answer,
            ):
                if answer.status_code != httpx.codes.OK:
                    raise BlockRefused(f"{url} answers {answer.status_code} for {cid}")
                async for piece in answer.aiter_raw():
                    data += piece
                    if len(data) > BLOCK_BYTES_MAX:
                        raise LimitExceeded(
                            "bytes of a block", limit=BLOCK_BYTES_MAX, asked=len(data)
                        )
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise PeerUnreachable(peer_id, {}) from error
        except TimeoutError:
            raise PeerTooSlow("it did not finish a block") from None
        return Block.checked(cid, bytes(data))


def _take_outcome(task: asyncio.Task[Block]) -> None:
    """Let an outcome that nobody waits for any more be no news."""
    if not task.cancelled():
        task.exception()
