"""A provider whose unsealed blocks lie in an object store: a real S3 server on loopback."""

import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from chain.config import ConfigError, load_toml
from cli import exits
from ipfs.bitswap.stream import Bitswap
from ipfs.blockstore import MemoryBlockstore
from ipfs.cid import CID
from ipfs.exchange import DagLimits, DagUnavailable, fetch_dag
from ipfs.host import PeerAddress
from ipfs.object_store import ObjectStoreFailed
from ipfs.p2p.peer_id import Identity
from market.messages import Accept
from provider.blockstores import ObjectStoreMissing, open_blocks
from provider.config import ProviderConfig
from tests.support.provider_town import Town, client_of, town
from tests.support.s3 import BUCKET, s3_server


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ExitStack]:
    """Run the server; it is gone once what this gives is closed."""
    with ExitStack() as running:
        for name, value in running.enter_context(s3_server()).items():
            monkeypatch.setenv(name, value)
        yield running


async def fetched(place: Town, peer: PeerAddress, root: CID, seed: bytes) -> MemoryBlockstore:
    """Return what somebody who has nothing gets of a DAG from one peer."""
    blocks = MemoryBlockstore()
    host = place.network.add_host(Identity.from_seed(seed.ljust(32, b"\0")))
    async with Bitswap(host, blocks) as bitswap:
        limits = DagLimits(blocks_max=9, bytes_max=9_000)
        await fetch_dag(bitswap, root, limits=limits, idle_timeout_s=10, peers=(peer,))
    return blocks


async def test_a_deal_is_fetched_sealed_proven_and_served_out_of_it(
    tmp_path: Path, server: ExitStack
) -> None:
    async with town(tmp_path) as place, client_of(place) as client:
        url = f"s3://{BUCKET}/unsealed"
        place.config = place.config.model_copy(update={"blocks_url": url})
        provider = await place.start()
        root = client.add_dag(b"a" * 300, b"b" * 300)
        proposal = await client.propose(provider, root)
        assert isinstance(await client.negotiate(provider, proposal), Accept)
        await client.reserve(proposal)
        await place.until(
            lambda node: any(deal.windows_proven for deal in node.facts.deals.values())
        )
        held = {cid.multihash for cid in client.blocks}
        assert {cid.multihash for cid in place.stored_blocks()} == held
        assert not (tmp_path / "provider" / "blocks").exists()
        await place.kill()
        peer = client.address_of(await place.start())
        got = await fetched(place, peer, root, b"reader")
        assert {cid.multihash for cid in got} == held

        server.close()
        with pytest.raises(DagUnavailable):
            await fetched(place, peer, root, b"late reader")
        await place.until(
            lambda node: all(deal.windows_proven >= 3 for deal in node.facts.deals.values())
        )


def test_a_store_that_is_not_there_is_said_so_at_the_start(
    tmp_path: Path, server: ExitStack
) -> None:
    config = ProviderConfig(blocks_url="s3://no-such-bucket")
    with pytest.raises(ObjectStoreFailed) as caught, open_blocks(tmp_path, config):
        pass
    assert exits.exit_status(caught.value.code) == exits.NETWORK


def test_what_to_install_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "obstore", None)
    monkeypatch.delitem(sys.modules, "ipfs.object_store")
    config = ProviderConfig(blocks_url="gs://bucket")
    with (
        pytest.raises(
            ObjectStoreMissing, match=r"pip install 'holdfast\[object-store\]'"
        ) as caught,
        open_blocks(tmp_path, config),
    ):
        pass
    assert exits.exit_status(caught.value.code) == exits.USAGE


@pytest.mark.parametrize(
    "url",
    [
        "s3://bucket",
        "s3://bucket/some/prefix",
        "gs://bucket/prefix",
        "abfss://container@account.dfs.core.windows.net/prefix",
    ],
)
def test_a_url_is_taken_as_it_is(url: str) -> None:
    assert ProviderConfig(blocks_url=url).blocks_url == url


@pytest.mark.parametrize(
    "url",
    ["", "bucket", "s3://", "s3:///prefix", "file:///blocks", "abfss://container", "s3://a b"],
)
def test_a_url_of_no_object_store_is_named_with_its_line(url: str, tmp_path: Path) -> None:
    path = tmp_path / "provider.toml"
    path.write_text(f'\nblocks_url = "{url}"\n')
    with pytest.raises(ConfigError, match="s3://bucket/prefix") as caught:
        load_toml(path, ProviderConfig)
    assert (caught.value.key, caught.value.line) == ("blocks_url", 2)
