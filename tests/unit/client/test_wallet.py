"""The wallet: made once, read back, refused where others could have it."""

from pathlib import Path

import pytest

from chain.disk import KeyFileOpen
from client.errors import WalletExists, WalletMissing, WalletUnreadable
from client.wallet import create_wallet, load_wallet


def test_what_was_made_is_read_back_and_is_nobody_elses(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "wallet.key"
    made = create_wallet(path)
    assert load_wallet(path).address("thf") == made.address("thf")
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_wallet_is_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "wallet.key"
    made = create_wallet(path)
    with pytest.raises(WalletExists, match="left as it is"):
        create_wallet(path)
    assert load_wallet(path).address("thf") == made.address("thf")
    assert list(tmp_path.iterdir()) == [path], "no second key lies around"


def test_a_missing_wallet_says_which_command_makes_one(tmp_path: Path) -> None:
    with pytest.raises(WalletMissing, match="holdfast wallet new"):
        load_wallet(tmp_path / "wallet.key")


def test_a_key_that_others_can_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "wallet.key"
    create_wallet(path)
    path.chmod(0o640)
    with pytest.raises(KeyFileOpen, match="chmod 600"):
        load_wallet(path)


def test_a_cut_key_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "wallet.key"
    create_wallet(path)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(WalletUnreadable):
        load_wallet(path)
