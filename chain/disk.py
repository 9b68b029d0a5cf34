"""What a process keeps in its data folder besides tables: its lock and its secret keys."""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from ipfs.file_lock import LockHeld, take

LOCK_NAME: Final = "lock"
KEY_MODE: Final = 0o600


class FolderLocked(LockHeld):
    """Another process works in this folder; two would spend the same money or number twice."""

    code = "folder-locked"


class KeyFileOpen(Exception):
    """A key file that others may read is not used: it may be theirs already."""

    code = "key-file-open"

    def __init__(self, path: Path) -> None:
        super().__init__(f"{path} can be read by others; run: chmod 600 {path}")
        self.path = path


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the folder, made if absent, for this process alone. Raises `FolderLocked`.

    The lock goes with the process, however it ends: no stale lock is ever left.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = take(folder / LOCK_NAME, FolderLocked)
    try:
        yield
    finally:
        os.close(descriptor)


def read_secret(path: Path) -> bytes | None:
    """Return a secret file's bytes, None if there is no file. Raises `KeyFileOpen`."""
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return None
    if stat.S_IMODE(mode) & 0o077:
        raise KeyFileOpen(path)
    return path.read_bytes()


def write_secret(path: Path, data: bytes) -> None:
    """Write a secret file, whole or not at all, for nobody else to read; never over another."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.{os.getpid()}.new")
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, KEY_MODE)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    try:
        os.link(draft, path)
    finally:
        draft.unlink()
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
