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


class KeyMissing(Exception):
    """A key file is not there, or holds no key: the folder was not made by `init`, or lost it."""

    code = "key-missing"

    def __init__(self, path: Path) -> None:
        super().__init__(f"{path} holds no key; `holdfast provider init` makes a provider's keys")
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
    if any((folder / name).exists() for name in (OWNER_NAME, WORKER_NAME, PEER_NAME)):
        raise ProviderExists(folder)
    keys = ProviderKeys(SigningKey.generate(), SigningKey.generate(), Identity.generate())
    write_secret(folder / OWNER_NAME, keys.owner.seed)
    write_secret(folder / WORKER_NAME, keys.worker.seed)
    write_secret(folder / PEER_NAME, keys.peer.seed)
    return keys


def load_keys(folder: Path) -> ProviderKeys:
    """Return the folder's keys. Raises `KeyMissing`, `KeyFileOpen`."""
    return ProviderKeys(
        SigningKey(_seed(folder / OWNER_NAME)),
        SigningKey(_seed(folder / WORKER_NAME)),
        Identity.from_seed(_seed(folder / PEER_NAME)),
    )


def _seed(path: Path) -> bytes:
    seed = read_secret(path)
    if seed is None or len(seed) != KEY_BYTES:
        raise KeyMissing(path)
    return seed
