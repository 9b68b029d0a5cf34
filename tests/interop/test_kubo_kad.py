"""Kubo and we find what the other provides, each through what the other was told."""

import asyncio
import io
import os
import time
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from ipfs.bitswap.stream import Bitswap
from ipfs.blockstore import MemoryBlockstore
from ipfs.cid import CID
from ipfs.errors import PeerError
from ipfs.exchange import DagLimits, fetch_dag
from ipfs.framing import encode_frame
from ipfs.host import PeerAddress
from ipfs.ipns import routing_key
from ipfs.kad.asking import Asker
from ipfs.kad.messages import GetProviders, PutValue, decode_response, encode_request
from ipfs.kad.parameters import LAN_PROTOCOL_ID
from ipfs.kad.stream import Kademlia, Mode
from ipfs.naming import publish, resolve
from ipfs.p2p.multiaddr import Multiaddr
from ipfs.p2p.peer_id import Identity, PeerId
from ipfs.p2p.swarm import Swarm
from ipfs.unixfs.importer import import_file
from ipfs.unixfs.ranges import read_range
from tests.support.kad import CAT, open_to, providers_of, read_frames, where
from tests.support.kubo import Kubo, running_kubo

LOOPBACK = Multiaddr.parse("/ip4/127.0.0.1/tcp/0")


def where_kubo(kubo: Kubo) -> PeerAddress:
    return PeerAddress(PeerId.parse(kubo.peer_id), tuple(map(Multiaddr.parse, kubo.addresses)))


async def swarm(stack: AsyncExitStack) -> Swarm:
    return await stack.enter_async_context(Swarm(Identity.generate(), listen=[LOOPBACK]))


async def test_kubo_keeps_our_record_and_tells_it(tmp_path: Path) -> None:
    async with running_kubo(tmp_path) as kubo, AsyncExitStack() as stack:
        provider, asker = await swarm(stack), await swarm(stack)
        # A client answers nobody, so whatever the asker learns, Kubo told it.
        ours = Kademlia(provider, mode=Mode.CLIENT)
        assert await ours.bootstrap([where_kubo(kubo)]) == 1
        assert await ours.provide(CAT) == 1

        others = Kademlia(asker, mode=Mode.CLIENT)
        assert await others.bootstrap([where_kubo(kubo)]) == 1
        assert await providers_of(others) == [where(provider)]
        assert await others.find_peer(provider.peer_id) == where(provider)


async def test_kubo_keeps_our_name_and_tells_it_to_another(tmp_path: Path) -> None:
    async with running_kubo(tmp_path) as kubo, AsyncExitStack() as stack:
        owner, reader = Identity.generate(), await swarm(stack)
        ours = Kademlia(await swarm(stack), mode=Mode.CLIENT)
        others = Kademlia(reader, mode=Mode.CLIENT)
        for node in (ours, others):
            assert await node.bootstrap([where_kubo(kubo)]) == 1
        path = f"/ipfs/{CAT}"
        first = await publish(ours, owner, path, now_ns=time.time_ns())
        assert await resolve(others, owner.peer_id, now_ns=time.time_ns()) == first

        newer = await publish(others, owner, path + "/tail", now_ns=time.time_ns())
        assert newer.sequence == 1
        assert await resolve(ours, owner.peer_id, now_ns=time.time_ns()) == newer
        # Kubo echoes what it took, and refuses a record that is not its owner's.
        forged = first.encode()[:-1] + bytes([first.encode()[-1] ^ 1])
        put = PutValue(routing_key(owner.peer_id), forged)
        with pytest.raises(PeerError):
            await Asker(reader, LAN_PROTOCOL_ID, lambda _: True).ask(where_kubo(kubo), put)


async def told_providers(server: Swarm, asker: Swarm, cid: CID) -> tuple[PeerAddress, ...]:
    """Return what one server alone says."""
    stream = await open_to(server, asker)
    await stream.write(encode_frame(encode_request(GetProviders(cid.multihash))))
    await stream.close_write()
    [frame] = await read_frames(stream)
    return decode_response(frame, GetProviders(cid.multihash)).provider_peers


async def test_we_keep_kubos_record_and_tell_it(tmp_path: Path) -> None:
    async with running_kubo(tmp_path) as kubo, AsyncExitStack() as stack:
        server, asker = await swarm(stack), await swarm(stack)
        Kademlia(server)
        await kubo.connect(str(where(server).addresses[0].with_peer_id(server.peer_id)))

        (tmp_path / "cat").write_bytes(b"cat")
        cid = CID.parse(await kubo.add_file(tmp_path / "cat"))
        async with asyncio.timeout(120):
            # Kubo announces some time after it has answered, and tells nobody when.
            while not (told := await told_providers(server, asker, cid)):
                continue
        assert told == (where_kubo(kubo),)


async def test_kubo_finds_through_us_a_peer_that_only_we_know(tmp_path: Path) -> None:
    async with running_kubo(tmp_path) as kubo, AsyncExitStack() as stack:
        server, hidden = await swarm(stack), await swarm(stack)
        node = Kademlia(server)
        await hidden.connect(where(server))
        assert await node.bootstrap([where_kubo(kubo)]) == 1
        async with asyncio.timeout(120):
            # Kubo asks us once it has identified us, and tells nobody when.
            while not (found := await kubo.find_peer(str(hidden.peer_id))):
                continue
        assert found == [str(address) for address in hidden.addresses]


async def test_kubo_and_we_find_and_fetch_from_each_other_by_the_dht_alone(tmp_path: Path) -> None:
    """Both know a third only; what either announces there leads the other to it."""
    ours, theirs = os.urandom(600_000), os.urandom(700_000)
    (tmp_path / "theirs").write_bytes(theirs)
    async with AsyncExitStack() as stack:
        third, provider, seeker = [await swarm(stack) for _ in range(3)]
        Kademlia(third)
        # Clients are in nobody's table, and join before Kubo comes: no lookup introduces them.
        providing, seeking = [Kademlia(host, mode=Mode.CLIENT) for host in (provider, seeker)]
        for node in (providing, seeking):
            assert await node.bootstrap([where(third)]) == 1
        full, empty = MemoryBlockstore(), MemoryBlockstore()
        await stack.enter_async_context(Bitswap(provider, full))
        fetching = await stack.enter_async_context(Bitswap(seeker, empty))
        our_root = import_file(io.BytesIO(ours), full).cid
        assert await providing.provide(our_root) == 1

        kubo = await stack.enter_async_context(running_kubo(tmp_path))
        await kubo.connect(str(where(third).addresses[0].with_peer_id(third.peer_id)))
        assert await kubo.peers() == [str(third.peer_id)]
        await kubo.download(str(our_root), tmp_path / "out")
        assert (tmp_path / "out").read_bytes() == ours
        assert str(provider.peer_id) in await kubo.peers()

        their_root = CID.parse(await kubo.add_file(tmp_path / "theirs"))
        asker = await swarm(stack)
        async with asyncio.timeout(120):
            while not await told_providers(third, asker, their_root):
                continue
        assert seeker.connected_peers() == (third.peer_id,)
        limits = DagLimits(blocks_max=100, bytes_max=2_000_000)
        await fetch_dag(fetching, their_root, limits=limits, idle_timeout_s=60, routing=seeking)
        assert b"".join(read_range(empty, their_root)) == theirs
        assert PeerId.parse(kubo.peer_id) in seeker.connected_peers()
