"""The client's settings as a command sees them: flag over environment over TOML over default."""

from pathlib import Path
from typing import TYPE_CHECKING

from cli.home import Home
from cli.words import parse_url

if TYPE_CHECKING:
    from client.config import ClientConfig


def client_settings(home: Path | None, ledger_url: str | None) -> "tuple[Path, ClientConfig]":
    """Return the client's folder and settings. Raises `ConfigError`, `Unreadable`."""
    from chain.config import load_toml
    from client.config import ClientConfig

    where = Home.find(home)
    config = load_toml(where.toml("client"), ClientConfig)
    if ledger_url is not None:
        config = config.model_copy(update={"ledger_url": parse_url(ledger_url)})
    return where.folder("client"), config
