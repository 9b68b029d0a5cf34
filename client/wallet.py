"""The wallet: one key in one file, for nobody else to read."""

from pathlib import Path

from chain.disk import read_secret, write_secret
from chain.keys import KEY_BYTES, SigningKey
from client.errors import WalletExists, WalletMissing, WalletUnreadable


def create_wallet(path: Path) -> SigningKey:
    """Make a new key and keep it at `path`. Raises `WalletExists`."""
    key = SigningKey.generate()
    try:
        write_secret(path, key.seed)
    except FileExistsError:
        raise WalletExists(path) from None
    return key


def load_wallet(path: Path) -> SigningKey:
    """Return the key at `path`. Raises `WalletMissing`, `WalletUnreadable`, `KeyFileOpen`."""
    seed = read_secret(path)
    if seed is None:
        raise WalletMissing(path)
    if len(seed) != KEY_BYTES:
        raise WalletUnreadable(path)
    return SigningKey(seed)
