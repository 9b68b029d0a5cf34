"""A session over real sockets: the right ledger, one at a time, whoever else is registered."""

from pathlib import Path

import pytest

from chain.disk import FolderLocked
from chain.ledger import LedgerForeign, LedgerUnreachable
from chain.messages import RegisterProvider
from client.config import ClientConfig
from client.errors import WalletMissing
from client.session import open_client, open_ledger, open_payer
from client.wallet import create_wallet
from ipfs.p2p.peer_id import Identity
from ipfs.pins.pin import Pin
from tests.support.nodes import SteppedLedger


async def test_a_ledger_of_another_network_is_refused_though_its_addresses_look_alike(
    config: ClientConfig,
) -> None:
    laptop = config.model_copy(update={"network": "laptop"})
    assert laptop.address_prefix == config.address_prefix
    with pytest.raises(LedgerForeign, match=r"client\.toml"):
        async with open_ledger(laptop):
            raise AssertionError("it must not open")


async def test_a_ledger_that_is_down_is_told(tmp_path: Path) -> None:
    nowhere = ClientConfig(ledger_url="http://127.0.0.1:9")
    with pytest.raises(LedgerUnreachable, match="is it running"):
        async with open_client(tmp_path / "client", nowhere):
            raise AssertionError("it must not open")


async def test_one_client_a_folder(config: ClientConfig, tmp_path: Path) -> None:
    folder = tmp_path / "client"
    async with open_client(folder, config):
        with pytest.raises(FolderLocked):
            async with open_client(folder, config):
                raise AssertionError("it must not open")
    async with open_client(folder, config) as again:
        with pytest.raises(WalletMissing):
            open_payer(folder, config, again.ledger)
        key = create_wallet(folder / "wallet.key")
        payer = open_payer(folder, config, again.ledger)
        assert payer.address == payer.sender.address == key.address("thf")


async def test_dead_and_absurd_registrations_keep_nobody_out(
    on: SteppedLedger, config: ClientConfig, tmp_path: Path
) -> None:
    await on.funds("somebody")
    dead = str(Identity.generate().peer_id)
    for peer_id, address in ((dead, "/ip4/127.0.0.1/tcp/9"), ("\x00", "nowhere")):
        entry = RegisterProvider(
            worker=on.address("somebody"), peer_id=peer_id, addresses=(address,)
        )
        await on.does("somebody", entry)
    async with open_client(tmp_path / "client", config) as session:
        assert len(await session.ledger.providers()) == 2
        assert (await session.head()).header.epoch == on.epoch


async def test_what_is_pinned_by_hand_outlives_what_the_market_is_done_with(
    config: ClientConfig, tmp_path: Path
) -> None:
    for name in ("pinned", "loose"):
        (tmp_path / name).write_text(name)
    async with open_client(tmp_path / "client", config) as session:
        pinned, loose = [
            (await session.prepare(tmp_path / name, lambda _: None)).root_cid
            for name in ("pinned", "loose")
        ]
        session.repository.pin(Pin(root=pinned, reason="mine"))
        for root in (pinned, loose):
            await session.forget(root)
        assert session.blockstore.has(pinned)
        assert not session.blockstore.has(loose)

        session.blockstore.delete([pinned])
        await session.prepare(tmp_path / "loose", lambda _: None)
        await session.forget(loose)
        assert session.blockstore.has(loose), "while a pin is broken, nothing is dropped"
