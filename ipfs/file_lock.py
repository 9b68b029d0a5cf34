"""A lock file has one holder at a time, whose process id the others can read."""

import fcntl
import os
from contextlib import suppress
from pathlib import Path
from typing import ClassVar

_PID_BYTES_MAX = 20


class LockHeld(Exception):
    """Another process, or another part of this one, has the folder of the lock file.

    holder_pid:  None where it could not write that down
    """

    code: ClassVar[str] = "locked"

    def __init__(self, folder: Path, holder_pid: int | None) -> None:
        super().__init__(
            f"{folder} is in use by another process"
            if holder_pid is None
            else f"{folder} is in use by process {holder_pid}: wait until it has ended, "
            f"or end it (kill {holder_pid})"
        )
        self.folder = folder
        self.holder_pid = holder_pid


def take(path: Path, refusal: type[LockHeld] = LockHeld) -> int:
    """Return a descriptor that holds the lock until it is closed, however the process ends.

    refusal:  what is raised if somebody else holds it
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.pread(descriptor, _PID_BYTES_MAX, 0)
        os.close(descriptor)
        raise refusal(path.parent, int(holder) if holder.isdigit() else None) from None
    # A full disk may have no room for it, and must not keep anybody from deleting.
    with suppress(OSError):
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, str(os.getpid()).encode(), 0)
    return descriptor
