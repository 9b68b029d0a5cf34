"""A gateway over real HTTP, for tests."""

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from io import BytesIO
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from chain.http import serving
from ipfs.bitswap.stream import Bitswap
from ipfs.blockstore import Blockstore
from ipfs.car import CarReader
from ipfs.cid import CID
from ipfs.gateway.api import REQUESTS_MAX, create_app
from ipfs.gateway.gateway import Gateway
from ipfs.gateway.remote import GatewayExchange
from ipfs.gateway.supply import Supply
from ipfs.http import http_client
from ipfs.p2p.memory import MemoryNetwork
from ipfs.p2p.peer_id import PeerId
from ipfs.routing import Routing, ValueRouting
from ipfs.unixfs.disk import import_path
from ipfs.unixfs.profiles import UNIXFS_V1_2025, ImportSettings
from tests.support.vectors import foreign_path

NOW_NS = 1_700_000_000 * 10**9


def add_folder(
    store: Blockstore,
    files: dict[str, bytes],
    folder: Path,
    settings: ImportSettings = UNIXFS_V1_2025,
) -> CID:
    """Store a folder of these files, by their paths; return its CID."""
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return import_path(folder, store, settings).cid


def add_fixture(store: Blockstore, car: str) -> CID:
    """Store the blocks of a foreign CAR; return its first root. Skips the test without it."""
    with foreign_path(f"car/{car}.car").open("rb") as source:
        reader = CarReader(source)
        store.put(reader)
    return reader.roots[0]


@asynccontextmanager
async def gateway_over(
    store: Blockstore,
    *,
    routing: Routing | None = None,
    network: MemoryNetwork | None = None,
    names: ValueRouting | None = None,
    denied: Collection[bytes] = (),
    gateways: Mapping[PeerId, str] | None = None,
    requests_max: int = REQUESTS_MAX,
) -> AsyncIterator[httpx.AsyncClient]:
    """Serve a store over HTTP; gives a client that follows no redirect."""
    async with (
        MemoryNetwork() as lonely,
        Bitswap((network or lonely).add_host(), store) as bitswap,
        GatewayExchange(bitswap, {} if gateways is None else gateways) as others,
    ):
        last_resort = None if gateways is None else others
        supply = Supply(bitswap, routing=routing, gateways=last_resort, idle_timeout_s=1)
        gateway = Gateway(supply, names=names, denied=denied, now_ns=lambda: NOW_NS)
        app = create_app(gateway, requests_max=requests_max)
        async with (
            serving(app, host="127.0.0.1", port=0) as url,
            http_client(base_url=url, timeout=30) as client,
        ):
            yield client


async def raw_status(client: httpx.AsyncClient, target: bytes) -> int:
    """Return the status of a GET whose target no well-behaved client would send."""
    url = urlsplit(str(client.base_url))
    reader, writer = await asyncio.open_connection(url.hostname, url.port)
    writer.write(b"GET " + target + b" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    line = await reader.readline()
    writer.close()
    return int(line.split()[1])


def cids_in(car: bytes) -> list[CID]:
    """Return the CIDs of a CAR's blocks, in order, each block checked."""
    return [block.cid for block in CarReader(BytesIO(car))]
