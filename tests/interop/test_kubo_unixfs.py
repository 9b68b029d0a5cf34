"""Kubo reads every kind of DAG that we make, and we read the folders that it makes."""

import io
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from ipfs.bitswap.stream import Bitswap
from ipfs.blockstore import MemoryBlockstore
from ipfs.cid import CID
from ipfs.exchange import DagLimits, fetch_dag
from ipfs.host import PeerAddress
from ipfs.p2p.multiaddr import Multiaddr
from ipfs.p2p.peer_id import Identity, PeerId
from ipfs.p2p.swarm import Swarm
from ipfs.unixfs.chunker import FixedSize, Gear
from ipfs.unixfs.disk import import_path
from ipfs.unixfs.exporter import export
from ipfs.unixfs.importer import import_file
from ipfs.unixfs.layout import Layout
from ipfs.unixfs.profiles import UNIXFS_V0_2015, ImportSettings
from tests.support.kubo import running_kubo

LOOPBACK = Multiaddr.parse("/ip4/127.0.0.1/tcp/0")
FILE = random.Random(3).randbytes(300_000)

SHAPES = {
    "trickle": ImportSettings(
        layout=Layout.TRICKLE, chunker=FixedSize(1 << 10), links_per_node_max=4
    ),
    "trickle, dag-pb leaves": replace(
        UNIXFS_V0_2015, layout=Layout.TRICKLE, chunker=FixedSize(1 << 12), links_per_node_max=8
    ),
    "content-defined chunks": ImportSettings(chunker=Gear(1 << 13)),
    "deep": ImportSettings(chunker=FixedSize(1 << 10), links_per_node_max=2),
}


@asynccontextmanager
async def our_node() -> AsyncIterator[tuple[Swarm, Bitswap, MemoryBlockstore]]:
    store = MemoryBlockstore()
    async with (
        Swarm(Identity.generate(), listen=[LOOPBACK]) as host,
        Bitswap(host, store) as bitswap,
    ):
        yield host, bitswap, store


def make_tree(folder: Path) -> None:
    (folder / "sub").mkdir(parents=True)
    for index in range(300):
        (folder / f"entry-{index:03}").write_text(str(index))
    (folder / "sub" / "é あ").write_bytes(FILE[:5000])


def contents(folder: Path) -> dict[str, bytes | str | None]:
    found: dict[str, bytes | str | None] = {}
    for path in folder.rglob("*"):
        name = str(path.relative_to(folder))
        if path.is_symlink():
            found[name] = str(path.readlink())
        else:
            found[name] = None if path.is_dir() else path.read_bytes()
    return found


async def test_kubo_reads_files_of_every_shape(tmp_path: Path) -> None:
    async with running_kubo(tmp_path) as kubo, our_node() as (host, _, store):
        await kubo.connect(str(host.addresses[0].with_peer_id(host.peer_id)))
        for name, settings in SHAPES.items():
            root = import_file(io.BytesIO(FILE), store, settings).cid
            await kubo.download(str(root), tmp_path / name)
            assert (tmp_path / name).read_bytes() == FILE, name


@pytest.mark.parametrize("threshold", [0, 256 << 10], ids=["sharded", "plain"])
async def test_kubo_reads_a_folder_of_ours(threshold: int, tmp_path: Path) -> None:
    make_tree(tmp_path / "tree")
    settings = ImportSettings(directory_bytes_max=threshold, keep_mode=True, keep_mtime=True)
    async with running_kubo(tmp_path) as kubo, our_node() as (host, _, store):
        root = import_path(tmp_path / "tree", store, settings).cid
        await kubo.connect(str(host.addresses[0].with_peer_id(host.peer_id)))
        await kubo.download(str(root), tmp_path / "out")
        assert contents(tmp_path / "out") == contents(tmp_path / "tree")


async def test_we_read_a_folder_of_kubos(tmp_path: Path) -> None:
    make_tree(tmp_path / "tree")
    # Not in the tests above: the library's download writes a link as a file of its target.
    (tmp_path / "tree" / "link").symlink_to("sub")
    async with running_kubo(tmp_path) as kubo, our_node() as (_, bitswap, store):
        root = CID.parse(await kubo.add_file(tmp_path / "tree"))
        where = PeerAddress(PeerId.parse(kubo.peer_id), tuple(map(Multiaddr.parse, kubo.addresses)))
        limits = DagLimits(blocks_max=1_000, bytes_max=2_000_000)
        await fetch_dag(bitswap, root, limits=limits, idle_timeout_s=60, peers=[where])
        export(store, root, tmp_path / "out")
        assert contents(tmp_path / "out") == contents(tmp_path / "tree")
        assert import_path(tmp_path / "tree", store, UNIXFS_V0_2015).cid == root
