from pathlib import Path

import pytest

from chain.config import ConfigError, LedgerConfig, load_toml
from chain.keys import Address
from chain.units import ATTO_PER_TOKEN, Atto
from tests.support.nodes import key_of

ALICE: Address = key_of("alice").address("thf")


def load(folder: Path, text: str) -> LedgerConfig:
    path = folder / "ledger.toml"
    path.write_text(text)
    return load_toml(path, LedgerConfig)


def test_what_is_not_set_has_its_default(tmp_path: Path) -> None:
    assert load_toml(tmp_path / "absent.toml", LedgerConfig) == LedgerConfig()
    assert load(tmp_path, "port = 0\n") == LedgerConfig(port=0)
    assert LedgerConfig().host == "127.0.0.1", "nobody else is served unless told"


def test_allocations_are_tokens_or_atto(tmp_path: Path) -> None:
    text = f'''
        policy = "laptop"
        [[allocations]]
        address = "{ALICE}"
        amount = "1.5"
        [[allocations]]
        address = "{ALICE}"
        amount = "17 atto"
    '''
    amounts = [allocation.amount for allocation in load(tmp_path, text).allocations]
    assert amounts == [Atto(ATTO_PER_TOKEN * 3 // 2), Atto(17)]


@pytest.mark.parametrize(
    ("text", "line", "key", "reason"),
    [
        ("\nport = 70000\n", 2, "port", "65535"),
        ("prot = 1\n", 1, "prot", "no such setting"),
        ('policy = "laptop"\n[drand]\nurls = ["http://x"]\n', 2, "drand", "whole number of rounds"),
        (f'policy = "main"\n[drand]\npublic_key = "{"01" * 96}"\n', 2, "drand", "quicknet"),
        ('policy = "main"\n[drand]\nurls = []\n', 3, "drand.urls", "at least 1"),
        ('[drand]\nscheme = "pedersen-bls-chained"\n', 1, "drand", "chained"),
        ('policy = "devel"\n', 1, "policy", "'dev', 'laptop' or 'main'"),
        ("port = \n", 1, "", "no TOML"),
        ('host = "a"\nhost = "b"\n', 2, "", "no TOML"),
        (
            f'[[allocations]]\naddress = "{ALICE}"\namount = "1"\n'
            f'[[allocations]] # the second\naddress = "{ALICE[:-1]}"\namount = "1"\n',
            5,
            "allocations.1.address",
            "checksum",
        ),
        (f'\n[[allocations]]\naddress = "{ALICE}"\n', 2, "allocations.0.amount", "is missing"),
        (f'[[allocations]]\naddress = "{ALICE}"\namount = -1\n', 3, "allocations.0.amount", ""),
        (
            f'[[allocations]]\naddress = "{ALICE}"\namount = 5\n',
            3,
            "allocations.0.amount",
            "tokens or atto",
        ),
        (f'[[allocations]]\naddress = "{ALICE}"\namount = 1.5\n', 3, "allocations.0.amount", ""),
        (f'[[allocations]]\naddress = "{ALICE}"\namount = "1e3"\n', 3, "allocations.0.amount", ""),
        (f'[[allocations]]\naddress = "{ALICE}"\namount = nan\n', 3, "allocations.0.amount", ""),
        ("[allocations.x]\ny = 1\n", 1, "allocations", ""),
    ],
)
def test_a_bad_setting_is_named_with_file_line_and_key(
    tmp_path: Path, text: str, line: int, key: str, reason: str
) -> None:
    with pytest.raises(ConfigError) as error:
        load(tmp_path, text)
    assert (error.value.line, error.value.key) == (line, key), str(error.value)
    assert f"{tmp_path / 'ledger.toml'}:{line}: {key}" in str(error.value)
    assert reason in error.value.reason


def test_what_cannot_be_read_is_said_to_be(tmp_path: Path) -> None:
    (tmp_path / "ledger.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="can't be read"):
        load_toml(tmp_path / "ledger.toml", LedgerConfig)
    with pytest.raises(ConfigError, match="can't be read"):
        load_toml(tmp_path, LedgerConfig)
