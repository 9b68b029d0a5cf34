"""A TCP proxy inside the test that cuts, delays and loses what goes through it."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from random import Random

from ipfs.p2p.multiaddr import Multiaddr, TcpEndpoint


@dataclass(frozen=True, slots=True)
class Fate:
    """What becomes of one connection.

    bytes_max:    it is cut once so much has gone through; None lets it live
    piece_bytes:  what is passed on at a time
    delay_s:      how long each piece takes, each way
    lost_share:   of the pieces; a lost one takes `again_s` longer, as TCP says it again
    """

    bytes_max: int | None = None
    piece_bytes: int = 1 << 16
    delay_s: float = 0.0
    lost_share: float = 0.0
    again_s: float = 0.0


class Proxy:
    """Passes connections on to one address; each has the fate that is its turn."""

    def __init__(self, target: TcpEndpoint, fates: Iterable[Fate]) -> None:
        self._target = target
        self._fates = itertools.cycle(fates)
        self._writers: set[asyncio.StreamWriter] = set()
        self._random = Random(0)
        self._is_whole = asyncio.Event()
        self._is_whole.set()
        self.connections_count = 0
        self.cut_count = 0
        self.lost_count = 0
        self.parted_count = 0

    def part(self) -> None:
        """Let nothing through; nobody is told, as when a cable is pulled."""
        self._is_whole.clear()
        self.parted_count += 1

    def heal(self) -> None:
        """Let everything through again, what was held up first."""
        self._is_whole.set()

    async def pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections_count += 1
        fate = next(self._fates)
        far_reader, far_writer = await asyncio.open_connection(*self._target)
        ends = {writer, far_writer}
        self._writers |= ends
        budget = _Left(fate.bytes_max)
        try:
            with suppress(ConnectionError):
                await asyncio.gather(
                    self._carry(reader, far_writer, fate, budget),
                    self._carry(far_reader, writer, fate, budget),
                )
        finally:
            self._writers -= ends
            for end in ends:
                end.transport.abort()

    def cut_all(self) -> None:
        """Break every connection."""
        for writer in tuple(self._writers):
            self.cut_count += 1
            writer.transport.abort()

    async def _carry(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        fate: Fate,
        budget: "_Left",
    ) -> None:
        while data := await reader.read(fate.piece_bytes):
            if not budget.take(len(data)):
                self.cut_count += 1
                raise ConnectionResetError
            is_lost = self._random.random() < fate.lost_share
            self.lost_count += is_lost
            if delay_s := fate.delay_s + is_lost * fate.again_s:
                await _pass(delay_s)
            await self._is_whole.wait()
            writer.write(data)
            await writer.drain()
        writer.write_eof()


class _Left:
    def __init__(self, bytes_max: int | None) -> None:
        self._bytes = bytes_max

    def take(self, count: int) -> bool:
        if self._bytes is None:
            return True
        self._bytes -= count
        return self._bytes >= 0


async def _pass(seconds: float) -> None:
    """Let so much time go by; the delay is what the proxy is for."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await asyncio.Event().wait()


@asynccontextmanager
async def proxy_to(address: Multiaddr, *fates: Fate) -> AsyncIterator[tuple[Multiaddr, Proxy]]:
    """Run a proxy to a TCP address; yield where it is reached."""
    assert address.tcp_endpoint is not None
    proxy = Proxy(address.tcp_endpoint, fates)
    server = await asyncio.start_server(proxy.pass_on, "127.0.0.1", 0)
    try:
        yield Multiaddr.tcp(TcpEndpoint(*server.sockets[0].getsockname())), proxy
    finally:
        server.close()
        proxy.cut_all()
