"""The composition root: settings, keys, locks, enrolment, and the API to look at."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from chain.config import ConfigError, load_toml
from chain.disk import FolderLocked, KeyFileOpen, locked
from chain.http import serving
from chain.policy import DEV, LAPTOP, MAIN
from chain.units import ATTO_PER_TOKEN
from ipfs.http import http_client
from market.messages import Accept
from proofs.parameters import ProofType
from provider.api import create_app
from provider.config import ProviderConfig
from provider.daemon import DealClients, run_provider, upload_limit
from provider.enrolment import OwnerUnfunded
from provider.keys import KeyLost, ProviderExists, ProviderMissing, create_keys, load_keys
from tests.support.provider_town import client_of, town


def test_every_setting_has_a_default_that_the_networks_take() -> None:
    config = ProviderConfig()
    kinds = [config.sector_kind(policy) for policy in (DEV, LAPTOP, MAIN)]
    assert kinds == [ProofType.SDR_8MIB, ProofType.SDR_512MIB, ProofType.SDR_512MIB]
    terms = config.terms(DEV)
    assert terms.piece_size_bytes_max == 8 << 20
    assert terms.duration_epochs_max == DEV.deal_periods_max * DEV.proving_period_epochs


def test_settings_are_read_in_words_people_use(tmp_path: Path) -> None:
    path = tmp_path / "provider.toml"
    path.write_text('price_atto_per_gib_epoch = "0.5"\nproof_type = "sdr-sha256-2KiB"\n')
    config = load_toml(path, ProviderConfig)
    assert config.price_atto_per_gib_epoch == ATTO_PER_TOKEN // 2
    assert config.sector_kind(DEV) is ProofType.SDR_2KIB


@pytest.mark.parametrize(
    ("text", "key", "line"),
    [
        ("capacity_bytes = 0", "capacity_bytes", 1),
        ('\nledger_url = "ftp://there"', "ledger_url", 2),
        ('proof_type = "best"', "proof_type", 1),
        ("colour = 1", "colour", 1),
        ("api_port = 70000", "api_port", 1),
        ('listen = ["/ip4/127.0.0.1/tcp/0", "/ip4/300.0.0.1/tcp/0"]', "listen.1", 1),
        ('\nannounce = ["example.org:4001"]', "announce.0", 2),
        ('bootstrap = ["/ip4/127.0.0.1/tcp/4001"]', "bootstrap.0", 1),
    ],
)
def test_a_wrong_setting_is_named_with_its_line(
    tmp_path: Path, text: str, key: str, line: int
) -> None:
    path = tmp_path / "provider.toml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_toml(path, ProviderConfig)
    assert (caught.value.key, caught.value.line) == (key, line)


def test_settings_do_not_change_underway() -> None:
    with pytest.raises(ValidationError):
        ProviderConfig().api_port = 1


def test_keys_are_made_once_and_for_nobody_else(tmp_path: Path) -> None:
    made = create_keys(tmp_path)
    found = load_keys(tmp_path)
    assert found.owner.seed == made.owner.seed
    assert found.worker.seed == made.worker.seed
    assert found.peer.peer_id == made.peer.peer_id
    with pytest.raises(ProviderExists):
        create_keys(tmp_path)
    (tmp_path / "worker.key").chmod(0o644)
    with pytest.raises(KeyFileOpen):
        load_keys(tmp_path)


def cut_short(folder: Path) -> None:
    (folder / "owner.key").write_bytes(b"short")


@pytest.mark.parametrize("damage", [cut_short, lambda folder: (folder / "peer.key").unlink()])
def test_a_lost_key_is_said_not_replaced(tmp_path: Path, damage: Callable[[Path], Any]) -> None:
    create_keys(tmp_path)
    damage(tmp_path)
    with pytest.raises(KeyLost):
        load_keys(tmp_path)


async def test_a_second_daemon_on_the_same_folder_is_refused(tmp_path: Path) -> None:
    create_keys(tmp_path)
    with locked(tmp_path), pytest.raises(FolderLocked):
        await run_provider(tmp_path, ProviderConfig(), on_ready=lambda _: None)


async def test_a_folder_without_keys_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ProviderMissing):
        await run_provider(tmp_path, ProviderConfig(), on_ready=lambda _: None)


async def test_an_owner_without_money_is_told_how_much_is_needed(tmp_path: Path) -> None:
    async with town(tmp_path) as place:
        place.config = place.config.model_copy(update={"draws_faucet": False})
        with pytest.raises(OwnerUnfunded) as caught:
            await place.start()
        assert caught.value.needed_atto == 2 * DEV.message_fee_atto


async def test_a_provider_that_moved_says_so_under_its_old_number(tmp_path: Path) -> None:
    async with town(tmp_path) as place:
        first = await place.start()
        await place.kill()
        place.network.add_host()
        second = await place.start()
        assert second.id == first.id
        assert second.addresses != first.addresses
        assert second.peer_id == first.peer_id


def test_upload_is_not_limited_unless_that_is_set() -> None:
    assert upload_limit(ProviderConfig(), DealClients()) is None
    limit = upload_limit(ProviderConfig(upload_bytes_per_second=9_000), DealClients())
    assert limit is not None
    assert limit.bytes_per_second == 9_000


async def test_where_upload_is_limited_the_clients_of_open_deals_come_first(
    tmp_path: Path,
) -> None:
    clients = DealClients()
    async with town(tmp_path) as place, client_of(place) as client:
        assert clients.priority_of(client.host.peer_id) == 0, "nothing is known yet"
        provider = await place.start()
        clients.node = place.node
        assert clients.priority_of(client.host.peer_id) == 0
        proposal = await client.propose(provider, client.add_dag(b"first"))
        assert isinstance(await client.negotiate(provider, proposal), Accept)
        await place.until(lambda node: bool(node.facts.promises))
        assert clients.priority_of(client.host.peer_id) == 1
        assert clients.priority_of(place.network.add_host().peer_id) == 0


async def test_the_api_shows_the_provider_its_deals_and_sectors(tmp_path: Path) -> None:
    async with town(tmp_path) as place, client_of(place) as client:
        provider = await place.start()
        proposal = await client.propose(provider, client.add_dag(b"seen"))
        assert isinstance(await client.negotiate(provider, proposal), Accept)
        assert place.node is not None
        async with (
            serving(create_app(place.node), host="127.0.0.1", port=0) as url,
            http_client(base_url=url) as http,
        ):
            await place.until(lambda node: bool(node.facts.promises))
            status = (await http.get("/v1/status")).json()
            assert status["provider_id"] == provider.id
            assert status["deals"] == {"awaits-escrow": 1}
            [deal] = (await http.get("/v1/deals")).json()
            assert deal["status"]["proposal_cid"] == str(proposal.cid)
            assert deal["next"]["until_epoch"] > status["head_epoch"]
            assert (await http.get("/v1/sectors")).json() == []
            foreign = await http.get("/v1/status", headers={"Host": "evil.example"})
            assert foreign.status_code == 403
            assert (await http.get("/v1/nothing")).status_code == 404
            assert (await http.post("/v1/status")).status_code == 405
            document = (await http.get("/schema/openapi.json")).json()
            assert "/v1/status" in document["paths"]
