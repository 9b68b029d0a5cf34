"""Kubo and one of ours that nobody can dial: blocks go both ways over the connection it opened."""

import io
import random
from pathlib import Path

from ipfs.bitswap.stream import Bitswap
from ipfs.blockstore import MemoryBlockstore
from ipfs.cid import CID
from ipfs.exchange import DagLimits, fetch_dag
from ipfs.host import PeerAddress
from ipfs.p2p.multiaddr import Multiaddr
from ipfs.p2p.peer_id import Identity, PeerId
from ipfs.p2p.swarm import Swarm
from ipfs.unixfs.importer import import_file
from tests.support.kubo import WEBSOCKET, running_kubo

LIMITS = DagLimits(blocks_max=100, bytes_max=2_000_000)


async def test_kubo_and_a_node_that_listens_nowhere_exchange_files_over_websocket(
    tmp_path: Path,
) -> None:
    ours, theirs = (random.Random(seed).randbytes(1_000_000) for seed in (4, 5))
    (tmp_path / "theirs").write_bytes(theirs)
    store = MemoryBlockstore()
    async with (
        running_kubo(tmp_path, listen=WEBSOCKET) as kubo,
        Swarm(Identity.generate()) as host,
        Bitswap(host, store) as bitswap,
    ):
        assert host.addresses == ()
        where = tuple(map(Multiaddr.parse, kubo.addresses))
        peer = PeerAddress(PeerId.parse(kubo.peer_id), where)
        await host.connect(peer)
        root = import_file(io.BytesIO(ours), store).cid
        await kubo.download(str(root), tmp_path / "out")
        assert (tmp_path / "out").read_bytes() == ours

        root = CID.parse(await kubo.add_file(tmp_path / "theirs"))
        fetched = await fetch_dag(bitswap, root, limits=LIMITS, idle_timeout_s=60, peers=[peer])
        assert (fetched.block_count, fetched.dropped) == (5, {})
