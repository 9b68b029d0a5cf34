"""Where a provider's unsealed blocks lie: in its folder, or in an object store."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ipfs.blockstore import Blockstore
from ipfs.disk import DiskBlockstore
from provider.config import ProviderConfig


class ObjectStoreMissing(Exception):
    """The settings name an object store, and what speaks to one is not installed."""

    code = "object-store-missing"

    def __init__(self, url: str) -> None:
        super().__init__(
            f"blocks_url = {url!r} needs an extra part: pip install 'holdfast[object-store]'"
        )
        self.url = url


@contextmanager
def open_blocks(folder: Path, config: ProviderConfig) -> Iterator[Blockstore]:
    """Open the block store that the settings name.

    Raises `StoreLocked`; `ObjectStoreMissing`, `ObjectStoreFailed` if it can't be reached now.
    """
    if config.blocks_url is None:
        with DiskBlockstore(folder / "blocks") as disk:
            yield disk
        return
    try:
        from ipfs.object_store import ObjectBlockstore
    except ModuleNotFoundError as error:
        raise ObjectStoreMissing(config.blocks_url) from error
    with ObjectBlockstore.at(config.blocks_url) as objects:
        objects.require_reachable()
        yield objects
