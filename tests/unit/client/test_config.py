"""The client's settings: what is wrong is told with file, line and key before anything starts."""

from pathlib import Path

import pytest

from chain.config import ConfigError, load_toml
from client.config import ClientConfig
from ipfs.p2p.peer_id import Identity

PEER = Identity.from_seed(bytes(32)).peer_id


@pytest.mark.parametrize(
    ("text", "key", "line", "reason"),
    [
        ('\nlisten = ["/ip4/127.0.0.1/tcp/0", "127.0.0.1:0"]', "listen.1", 2, "no address"),
        (f'listen = ["/dns4/{"x" * 5_000}/tcp/1"]', "listen.0", 1, "no address"),
        ('bootstrap = ["/ip4/127.0.0.1/tcp/1"]', "bootstrap.0", 1, "names no peer"),
        (f'bootstrap = ["/p2p/{PEER}"]', "bootstrap.0", 1, "where the peer is reached"),
        ('bootstrap = ["/ip4/127.0.0.1/tcp/1/p2p/me"]', "bootstrap.0", 1, "no peer's address"),
        ("find_seconds = 0", "find_seconds", 1, "greater than 0"),
        ('network = "mian"', "network", 1, "'main'"),
        ("colour = 1", "colour", 1, "no such setting"),
    ],
)
def test_a_wrong_setting_is_named(
    tmp_path: Path, text: str, key: str, line: int, reason: str
) -> None:
    path = tmp_path / "client.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=reason) as caught:
        load_toml(path, ClientConfig)
    assert (caught.value.path, caught.value.key, caught.value.line) == (path, key, line)


def test_addresses_are_taken_as_they_are_written(tmp_path: Path) -> None:
    path = tmp_path / "client.toml"
    peer = f"/ip4/127.0.0.1/tcp/4001/p2p/{PEER}"
    path.write_text(f'listen = []\nbootstrap = ["{peer}"]\n')
    config = load_toml(path, ClientConfig)
    assert (config.listen, config.bootstrap) == ((), (peer,))
