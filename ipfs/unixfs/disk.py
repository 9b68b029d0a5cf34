"""Reads files and folders from a disk into a DAG."""

import os
import stat
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Final

from ipfs.byte_source import ByteSource
from ipfs.dag import DEPTH_MAX
from ipfs.unixfs.errors import EntryUnsupported, UnsafeEntry
from ipfs.unixfs.header import Metadata
from ipfs.unixfs.importer import BlockSink, Imported, Importer, import_file
from ipfs.unixfs.node import check_name, check_target
from ipfs.unixfs.profiles import UNIXFS_V1_2025, ImportSettings

_THREADS: Final = 3
"""Two to hash and one to put; the caller's own reads."""

_FOLDERS_MAX: Final = DEPTH_MAX - 28
"""Inside each other: who reads stops at `DEPTH_MAX`, and large files and shards have levels too."""

_AWAY: Final = "move it out of the folder"


def import_path(
    path: Path,
    store: BlockSink,
    settings: ImportSettings = UNIXFS_V1_2025,
    *,
    on_progress: Callable[[int], None] = lambda _: None,
) -> Imported:
    """Import a file, or a folder with all that is in it, hidden entries included.

    The CID is Kubo's for `ipfs add -r --hidden`. Symbolic links inside a folder are kept as
    links; one that leaves the folder could not be brought back, and is refused here, before
    anything is paid. All blocks are in the store when this returns.

    on_progress:  called with the bytes read so far
    Raises `EntryUnsupported`, and `OSError` for what cannot be read.
    """
    with ThreadPoolExecutor(_THREADS) as workers:
        importer = Importer(store, settings, on_progress=on_progress, workers=workers)
        root = _add(importer, path, (), settings)
        importer.flush()
    return root


def import_stream(
    source: ByteSource,
    store: BlockSink,
    settings: ImportSettings = UNIXFS_V1_2025,
    *,
    on_progress: Callable[[int], None] = lambda _: None,
) -> Imported:
    """Import one file from a stream, as `import_path` does: a pipe, standard input."""
    with ThreadPoolExecutor(_THREADS) as workers:
        return import_file(source, store, settings, on_progress=on_progress, workers=workers)


def _add(
    importer: Importer, path: Path, names: tuple[str, ...], settings: ImportSettings
) -> Imported:
    status = path.lstat()
    metadata = Metadata(
        mode=stat.S_IMODE(status.st_mode) if settings.keep_mode else None,
        mtime_ns=status.st_mtime_ns if settings.keep_mtime else None,
    )
    if stat.S_ISREG(status.st_mode):
        with path.open("rb", buffering=0) as file:
            return importer.add_file(file, metadata)
    if stat.S_ISLNK(status.st_mode):
        return importer.add_symlink(_target(path, names), replace(metadata, mode=None))
    if not stat.S_ISDIR(status.st_mode):
        raise EntryUnsupported(str(path), f"neither file, folder nor symbolic link: {_AWAY}")
    if len(names) >= _FOLDERS_MAX:
        raise EntryUnsupported(str(path), f"more than {_FOLDERS_MAX} folders inside each other")
    children = (
        (name, _add(importer, path / name, (*names, name), settings)) for name in _names(path)
    )
    return importer.add_directory(children, metadata)


def _names(folder: Path) -> Iterator[str]:
    for name in sorted((child.name for child in folder.iterdir()), key=os.fsencode):
        try:
            name.encode()
            check_name(name)
        except UnicodeEncodeError as error:
            raise EntryUnsupported(
                str(folder / name), "a name that is not UTF-8: rename it"
            ) from error
        except UnsafeEntry as error:
            raise EntryUnsupported(str(folder / name), f"{error.reason}: rename it") from error
        yield name


def _target(link: Path, names: tuple[str, ...]) -> str:
    target = os.readlink(link)  # noqa: PTH115 - Path would tidy the target, and change the CID
    try:
        target.encode()
        check_target(target, path=names)
    except UnicodeEncodeError as error:
        raise EntryUnsupported(str(link), f"a link to what is not UTF-8: {_AWAY}") from error
    except UnsafeEntry as error:
        advice = f": {_AWAY}" if names else ""
        raise EntryUnsupported(str(link), error.reason + advice) from error
    return target
