"""Reads files and folders from a disk into a DAG."""

import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

from ipfs.blockstore import Blockstore
from ipfs.unixfs.errors import EntryUnsupported, UnsafeEntry
from ipfs.unixfs.importer import Imported, Importer
from ipfs.unixfs.node import check_name, check_target
from ipfs.unixfs.profiles import UNIXFS_V1_2025, ImportSettings


def import_path(
    path: Path,
    store: Blockstore,
    settings: ImportSettings = UNIXFS_V1_2025,
    *,
    on_progress: Callable[[int], None] = lambda _: None,
) -> Imported:
    """Import a file, or a folder with all that is in it, hidden entries included.

    The CID is Kubo's for `ipfs add -r --hidden`. Symbolic links inside a folder are kept as
    links; one that leaves the folder could not be brought back, and is refused here, before
    anything is paid. All blocks are in the store when this returns.

    on_progress:  called with the bytes read so far
    Raises `EntryUnsupported`, `DirectoryTooLarge`, and `OSError` for what cannot be read.
    """
    importer = Importer(store, settings, on_progress=on_progress)
    root = _add(importer, path, ())
    importer.flush()
    return root


def _add(importer: Importer, path: Path, names: tuple[str, ...]) -> Imported:
    mode = path.lstat().st_mode
    if stat.S_ISREG(mode):
        with path.open("rb", buffering=0) as file:
            return importer.add_file(file)
    if stat.S_ISLNK(mode):
        return importer.add_symlink(_target(path, names))
    if not stat.S_ISDIR(mode):
        raise EntryUnsupported(str(path), "not a file, a folder or a symbolic link")
    children = ((name, _add(importer, path / name, (*names, name))) for name in _names(path))
    return importer.add_directory(str(path), children)


def _names(folder: Path) -> Iterator[str]:
    for name in sorted((child.name for child in folder.iterdir()), key=os.fsencode):
        try:
            check_name(name)
        except UnsafeEntry as error:
            raise EntryUnsupported(str(folder / name), error.reason) from error
        yield name


def _target(link: Path, names: tuple[str, ...]) -> str:
    target = os.readlink(link)  # noqa: PTH115 - Path would tidy the target, and change the CID
    try:
        check_target(target, path=names)
        target.encode()
    except (UnsafeEntry, UnicodeEncodeError) as error:
        raise EntryUnsupported(str(link), str(error)) from error
    return target
