"""A provider's blocks over HTTP: what it has, to whom it may, at addresses that it registers."""

from pathlib import Path

import httpx
import pytest

from chain.config import ConfigError, load_toml
from ipfs.bitswap.stream import Bitswap
from ipfs.blockstore import MemoryBlockstore
from ipfs.cid import CID, Codec
from ipfs.http import http_client
from ipfs.p2p.memory import MemoryNetwork
from provider.config import ProviderConfig
from provider.gateway import serving_blocks
from tests.support.bitswap import leaf


async def test_a_provider_serves_what_it_has_and_fetches_nothing() -> None:
    store, kept, denied = MemoryBlockstore(), leaf(1), leaf(2)
    store.put([kept, denied])
    config = ProviderConfig(
        gateway_denied=(str(denied.cid),),
        gateway_announce=("/dns4/blocks.example/tcp/443/tls/http",),
    )
    async with MemoryNetwork() as network, Bitswap(network.add_host(), store) as exchange:
        async with serving_blocks(exchange, ProviderConfig()) as [address]:
            assert address.http_url is not None
            async with http_client(base_url=address.http_url) as http:
                assert (await http.get(f"/ipfs/{kept.cid}?format=raw")).content == kept.data
                missing = CID.of(Codec.RAW, b"not here")
                assert (await http.get(f"/ipfs/{missing}")).status_code == 404
                only = {"Cache-Control": "only-if-cached"}
                assert (await http.get(f"/ipfs/{missing}", headers=only)).status_code == 412
                foreign = {"Host": "evil.example"}
                assert (await http.get(f"/ipfs/{kept.cid}", headers=foreign)).status_code == 403
            port = httpx.URL(address.http_url).port
        behind = config.model_copy(update={"gateway_port": port})
        async with serving_blocks(exchange, behind) as announced:
            assert [str(one) for one in announced] == ["/dns4/blocks.example/tcp/443/tls/http"]
            url = f"http://127.0.0.1:{port}/ipfs"
            named = {"Host": "blocks.example"}
            async with http_client() as http:
                assert (await http.get(f"{url}/{kept.cid}", headers=named)).status_code == 200
                assert (await http.get(f"{url}/{denied.cid}")).status_code == 410


async def test_what_listens_everywhere_is_registered_only_by_announcing() -> None:
    async with (
        MemoryNetwork() as network,
        Bitswap(network.add_host(), MemoryBlockstore()) as exchange,
        serving_blocks(exchange, ProviderConfig(gateway_host="0.0.0.0")) as addresses,
    ):
        assert addresses == ()


@pytest.mark.parametrize(
    "text",
    [
        'gateway_announce = ["/ip4/127.0.0.1/tcp/4001"]',
        'gateway_announce = ["https://example.org"]',
        'gateway_denied = ["no-cid"]',
        'gateway_host = "example.org"',
        "gateway_port = 65536",
    ],
)
def test_settings_that_mean_nothing_are_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "provider.toml"
    path.write_text(text)
    with pytest.raises(ConfigError):
        load_toml(path, ProviderConfig)
