"""Segment files at work: one that is appended to, and those that are read."""

import os
import sys
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final, Self

from ipfs.cid import CID
from ipfs.segments.record import Kind, SegmentFile

Record = tuple[Kind, CID, bytes]

_BUFFERS_MAX: Final = 1024
"""What one writev takes (Linux IOV_MAX)."""

_OPEN_FILES_MAX: Final = 128


class SegmentWriter:
    """Appends records to one segment file; `sync` makes them durable."""

    def __init__(self, segment: SegmentFile, fd: int) -> None:
        self.segment = segment
        self._fd = fd
        self.size_bytes = os.fstat(fd).st_size

    @classmethod
    def open(cls, folder: Path, segment: SegmentFile) -> Self:
        """Open a segment, new or not, to append to it; its name is durable when this returns."""
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        fd = os.open(folder / segment.name, flags, 0o666)
        try:
            sync_folder(folder)
            return cls(segment, fd)
        except BaseException:
            os.close(fd)
            raise

    def append(self, records: Iterable[Record]) -> list[int]:
        """Append records; return where the data of each starts."""
        starts: list[int] = []
        buffers: list[bytes] = []
        at = self.size_bytes
        for kind, cid, data in records:
            head = self.segment.head(kind, cid, len(data))
            starts.append(at + len(head))
            at += len(head) + len(data)
            buffers += (head, data)
        for first in range(0, len(buffers), _BUFFERS_MAX):
            self._write(buffers[first : first + _BUFFERS_MAX])
        return starts

    def sync(self) -> None:
        """Return when everything appended is on the disk."""
        os.fdatasync(self._fd)

    def cut(self, size_bytes: int) -> None:
        """Take back what was appended behind `size_bytes`."""
        os.ftruncate(self._fd, size_bytes)
        self.size_bytes = size_bytes

    def close(self) -> None:
        """Close the file."""
        os.close(self._fd)

    def _write(self, buffers: Sequence[bytes]) -> None:
        total = sum(map(len, buffers))
        written = os.writev(self._fd, buffers)
        self.size_bytes += written
        if written < total:
            rest = memoryview(b"".join(buffers))[written:]
            while rest:
                written = os.write(self._fd, rest)
                self.size_bytes += written
                rest = rest[written:]


class SegmentReader:
    """An open segment; closed when the last one who reads from it lets it go."""

    def __init__(self, path: Path) -> None:
        self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)

    def read(self, data_at: int, data_bytes: int) -> bytes:
        """Return these bytes, fewer if the file ends before."""
        return os.pread(self._fd, data_bytes, data_at)

    def read_at_once(self, data_at: int, data_bytes: int) -> bytes | None:
        """Return these bytes if no disk has to be waited for; only Linux knows."""
        if sys.platform != "linux":
            return None
        data = bytearray(data_bytes)
        try:
            read_bytes = os.preadv(self._fd, [data], data_at, os.RWF_NOWAIT)
        except OSError:
            # It would have to wait, or the file system does not know; if the disk is at fault,
            # whoever waits for it is told.
            return None
        return bytes(data) if read_bytes == data_bytes else None

    def __del__(self) -> None:
        if hasattr(self, "_fd"):
            os.close(self._fd)


class OpenSegments:
    """The segments read lately, kept open. The caller lets one thread in at a time."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._open: OrderedDict[int, SegmentReader] = OrderedDict()

    def reader(self, segment: SegmentFile) -> SegmentReader:
        """Return the segment to read from."""
        reader = self._open.get(segment.id)
        if reader is None:
            reader = self._open[segment.id] = SegmentReader(self._folder / segment.name)
            if len(self._open) > _OPEN_FILES_MAX:
                self._open.popitem(last=False)
        self._open.move_to_end(segment.id)
        return reader

    def let_go(self, segment_id: int) -> None:
        """Forget a segment that is gone; who reads from it still can."""
        self._open.pop(segment_id, None)

    def close(self) -> None:
        """Let all go."""
        self._open.clear()


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
