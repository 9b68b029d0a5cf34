"""One store at a time may have a folder open."""

import fcntl
import os
from pathlib import Path
from typing import ClassVar


class StoreLocked(Exception):
    """Another process, or another store in this one, has the folder open."""

    code: ClassVar[str] = "store-locked"

    def __init__(self, folder: Path) -> None:
        super().__init__(f"the block store {folder} is in use by another process")
        self.folder = folder


def lock(folder: Path) -> int:
    """Return a descriptor that holds the folder until it is closed. Raises `StoreLocked`."""
    lock_fd = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock_fd)
        raise StoreLocked(folder) from None
    return lock_fd
