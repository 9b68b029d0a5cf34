"""A provider's three keys, each in a file that nobody else may read."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from chain.disk import read_secret, write_secret
from chain.keys import KEY_BYTES, SigningKey
from ipfs.p2p.peer_id import Identity

OWNER_NAME: Final = "owner.key"
WORKER_NAME: Final = "worker.key"
PEER_NAME: Final = "peer.key"


class ProviderMissing(Exception):
    """There are no keys where a provider's should be."""

    code = "provider-missing"

    def __init__(self, folder: Path) -> None:
        super().__init__(f"no provider in {folder}; make one: holdfast provider init")
        self.folder = folder


class KeyLost(Exception):
    """One of a provider's keys is not there any more, or cut short."""

    code = "key-lost"

    def __init__(self, path: Path) -> None:
        super().__init__(f"{path} holds no key; restore it from your copy")
        self.path = path


class ProviderExists(Exception):
    """The folder holds a provider's keys already; they are never written over."""

    code = "provider-exists"

    def __init__(self, folder: Path) -> None:
        super().__init__(
            f"{folder} is a provider's folder already; its settings are in provider.toml: edit that"
        )
        self.folder = folder


@dataclass(frozen=True, slots=True)
class ProviderKeys:
    """owner: the money; worker: proofs and promises; peer: the network."""

    owner: SigningKey
    worker: SigningKey
    peer: Identity


def create_keys(folder: Path) -> ProviderKeys:
    """Make a provider's keys. Raises `ProviderExists`."""
    if _has_keys(folder):
        raise ProviderExists(folder)
    keys = ProviderKeys(SigningKey.generate(), SigningKey.generate(), Identity.generate())
    write_secret(folder / OWNER_NAME, keys.owner.seed)
    write_secret(folder / WORKER_NAME, keys.worker.seed)
    write_secret(folder / PEER_NAME, keys.peer.seed)
    return keys


def load_keys(folder: Path) -> ProviderKeys:
    """Return the folder's keys. Raises `ProviderMissing`, `KeyLost`, `KeyFileOpen`."""
    require_provider(folder)
    return ProviderKeys(
        SigningKey(_seed(folder / OWNER_NAME)),
        SigningKey(_seed(folder / WORKER_NAME)),
        Identity.from_seed(_seed(folder / PEER_NAME)),
    )


def require_provider(folder: Path) -> None:
    """Check that a folder is a provider's. Raises `ProviderMissing`."""
    if not _has_keys(folder):
        raise ProviderMissing(folder)


def _has_keys(folder: Path) -> bool:
    return any((folder / name).exists() for name in (OWNER_NAME, WORKER_NAME, PEER_NAME))


def _seed(path: Path) -> bytes:
    seed = read_secret(path)
    if seed is None or len(seed) != KEY_BYTES:
        raise KeyLost(path)
    return seed
