"""Getting a file back, as stories: from whoever has it, every block checked."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from client.prepare import Prepared
from client.registry import registered_peer
from client.retrieving import retrieve
from client.selection import StorageTerms
from client.storing import quote_piece, store_piece
from ipfs.blockstore import MemoryBlockstore
from ipfs.errors import WrongBlock
from ipfs.exchange import DagUnavailable
from ipfs.unixfs.exporter import TargetExists
from tests.support.bitswap import ScriptedPeer, lies
from tests.support.client_town import Client, Gossip, Town, client_of, town
from tests.support.gateway import gateway_over


@asynccontextmanager
async def kept(folder: Path, *, copies: int = 1) -> AsyncIterator[tuple[Town, Prepared]]:
    """Return a town whose providers keep a file; the client who stored it has left."""
    async with town(folder) as place:
        for _ in range(copies):
            await place.provider()
        async with client_of(place) as client:
            prepared = await client.file("to be had again")
            terms = StorageTerms(duration_epochs=160, copies=copies)
            agreed = await place.passing(quote_piece(client.session, prepared, terms))
            await place.passing(
                store_piece(client.session, client.payer, prepared, terms, agreed, lambda _: None)
            )
        place.network.take_down(client.peer.peer_id)
        yield place, prepared


async def got(client: Client, prepared: Prepared, folder: Path) -> tuple[tuple[str, str], ...]:
    """Retrieve the file, compare it, and return which peers were dropped on the way."""
    found = await retrieve(client.session, prepared.root_cid, folder / "out")
    require_whole(folder / "out")
    return found.dropped


def require_whole(path: Path) -> None:
    assert path.read_text() == "to be had again" * 20


async def test_the_ledger_names_who_has_deals_where_the_dht_knows_nothing(tmp_path: Path) -> None:
    async with kept(tmp_path) as (place, prepared), client_of(place, name="fresh") as fresh:
        assert await fresh.session.find_on_dht(prepared.root_cid) == []
        assert await got(fresh, prepared, tmp_path) == ()


async def test_the_dht_leads_to_it_without_the_ledger(tmp_path: Path) -> None:
    async with kept(tmp_path) as (place, prepared), client_of(place, name="fresh") as fresh:
        [provider] = await place.ledger.providers()
        peer = registered_peer(provider)
        assert peer is not None
        await fresh.session.host.connect(peer)
        fresh.line.cut()
        await got(fresh, prepared, tmp_path)


async def test_who_serves_wrong_bytes_is_dropped_and_another_one_serves(tmp_path: Path) -> None:
    async with kept(tmp_path) as (place, prepared), client_of(place, name="fresh") as fresh:
        liar = ScriptedPeer(place.network, lies)
        [provider] = await place.ledger.providers()
        honest = registered_peer(provider)
        assert honest is not None
        session = replace(fresh.session, routing=Gossip(liar.address, honest))
        found = await retrieve(session, prepared.root_cid, tmp_path / "out")
        assert found.dropped == ((str(liar.address.peer_id), WrongBlock.code),)
        require_whole(tmp_path / "out")


async def test_who_is_down_costs_nothing_while_another_copy_lives(tmp_path: Path) -> None:
    async with (
        kept(tmp_path, copies=2) as (place, prepared),
        client_of(place, name="fresh") as fresh,
    ):
        await place.providers[0].kill()
        await got(fresh, prepared, tmp_path)


async def test_an_existing_target_is_found_before_anything_is_fetched(tmp_path: Path) -> None:
    async with town(tmp_path) as place, client_of(place) as client:
        prepared = await client.file("on the disk")
        await client.session.forget(prepared.root_cid)
        with pytest.raises(TargetExists):
            await retrieve(client.session, prepared.root_cid, tmp_path / "file")
        assert (tmp_path / "file").read_text() == "on the disk" * 20


async def test_what_nobody_has_is_said_so(tmp_path: Path) -> None:
    async with town(tmp_path) as place, client_of(place) as client:
        prepared = await client.file("never stored")
        await client.session.forget(prepared.root_cid)
        with pytest.raises(DagUnavailable):
            await retrieve(client.session, prepared.root_cid, tmp_path / "out")
        client.line.cut()
        with pytest.raises(DagUnavailable):
            await retrieve(client.session, prepared.root_cid, tmp_path / "out")
        assert not (tmp_path / "out").exists()


async def test_gateways_in_the_registry_serve_where_bitswap_reaches_nobody(tmp_path: Path) -> None:
    async with town(tmp_path) as place, client_of(place) as client:
        prepared = await client.file("to be had again")
        store = MemoryBlockstore()
        store.put(client.session.blockstore.get(cid) for cid in client.session.blockstore)
        await client.session.forget(prepared.root_cid)
        async with gateway_over(store) as http:
            port = http.base_url.port
            unreachable = await place.feigned(gateway=f"/ip4/127.0.0.1/tcp/{port}/http")
            place.network.take_down(unreachable.host.peer_id)
            assert await got(client, prepared, tmp_path) == ()
