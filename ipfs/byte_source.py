"""The port to bytes that are read once, front to back."""

from typing import Protocol


class ByteSource(Protocol):
    """Anything that can be read: an open file, a pipe, `io.BytesIO`."""

    def read(self, size: int, /) -> bytes:
        """Return up to `size` bytes, b"" at the end."""


def read_up_to(source: ByteSource, count: int) -> bytes:
    """Return `count` bytes, fewer only at the end; pipes and raw files give less at a time."""
    chunk = source.read(count)
    if len(chunk) == count or not chunk:
        return chunk
    pieces = [chunk]
    missing = count - len(chunk)
    while missing and (piece := source.read(missing)):
        pieces.append(piece)
        missing -= len(piece)
    return b"".join(pieces)
