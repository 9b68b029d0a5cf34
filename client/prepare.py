"""From a path to a piece: import, CAR, CommP."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from ipfs.blockstore import Blockstore
from ipfs.car import car_of, car_size_bytes
from ipfs.cid import CID
from ipfs.piece_cid import piece_cid_v2
from ipfs.unixfs.disk import import_path
from ipfs.unixfs.profiles import ImportSettings
from proofs.piece import CommPHasher


@dataclass(frozen=True, slots=True)
class Prepared:
    """A file or folder as a provider will keep it; its blocks are in the store."""

    root_cid: CID
    content_bytes: int
    car_bytes: int
    """The piece's payload: all blocks, with their CIDs."""

    piece_cid: CID
    piece_size_bytes: int
    """Padded: what the price is reckoned by."""


def prepare(
    path: Path,
    store: Blockstore,
    settings: ImportSettings,
    *,
    on_progress: Callable[[int], None] = lambda _: None,
) -> Prepared:
    """Import the path into the store and commit to its CAR.

    on_progress:  called with the bytes read so far
    Raises what `import_path` raises.
    """
    imported = import_path(path, store, settings, on_progress=on_progress)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        hasher = CommPHasher(pool)
        for chunk in car_of(store, imported.cid):
            hasher.update(chunk)
        commitment = hasher.finish()
    return Prepared(
        root_cid=imported.cid,
        content_bytes=imported.file_bytes,
        car_bytes=car_size_bytes(store, imported.cid),
        piece_cid=piece_cid_v2(
            commitment.root, height=commitment.height, padding_bytes=commitment.padding_bytes
        ),
        piece_size_bytes=commitment.padded_size_bytes,
    )
