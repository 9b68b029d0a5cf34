"""Length-prefixed frames: a varint, then that many bytes; bounded before anything is allocated."""

from collections import deque
from collections.abc import Iterator
from typing import Final

from ipfs import varint
from ipfs.errors import LimitExceeded

GATHERED_BYTES: Final = 4096
"""Smaller pieces are put together as they come: each that is held costs some 200 bytes more."""


def encode_frame(payload: bytes) -> bytes:
    """Return the payload behind its length."""
    return varint.encode(len(payload)) + payload


class FrameReader:
    """Cuts a stream of bytes into frames, however the bytes arrive; what is large is copied once.

    Holds what was fed and not yet taken. Raises `LimitExceeded` on a length over `frame_bytes_max`,
    `MalformedBytes` on a length that is no varint.
    """

    def __init__(self, *, frame_bytes_max: int) -> None:
        self._frame_bytes_max = frame_bytes_max
        self._pieces: deque[memoryview] = deque()
        self._awaited_bytes = 1
        self.held_bytes = 0
        """How much was fed and not taken."""

    @property
    def is_between_frames(self) -> bool:
        """Whether the stream may end here without cutting a frame."""
        return not self.held_bytes

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Take bytes as they came; yield every frame that is complete.

        What is not asked for stays, and comes first after the next call.
        """
        self.held_bytes += len(data)
        if self._pieces and len(self._pieces[-1]) + len(data) < GATHERED_BYTES:
            data = bytes(self._pieces.pop()) + data
        self._pieces.append(memoryview(data))
        return iter(self._next_frame, None)

    def _next_frame(self) -> bytes | None:
        if self.held_bytes < self._awaited_bytes:
            return None
        prefix = self._first(varint.VARINT_BYTES_MAX)
        if len(prefix) < varint.VARINT_BYTES_MAX and all(byte & 0x80 for byte in prefix):
            return None
        length, start = varint.decode(prefix)
        if length > self._frame_bytes_max:
            raise LimitExceeded("frame bytes", limit=self._frame_bytes_max, asked=length)
        self._awaited_bytes = start + length
        if self.held_bytes < self._awaited_bytes:
            return None
        self._awaited_bytes = 1
        self._take(start)
        return self._take(length)

    def _first(self, size_bytes: int) -> bytes:
        """Return the first bytes held, which stay."""
        first = b""
        for piece in self._pieces:
            first += piece[: size_bytes - len(first)]
            if len(first) == size_bytes:
                break
        return first

    def _take(self, size_bytes: int) -> bytes:
        """Return the first bytes held, which are held no more."""
        self.held_bytes -= size_bytes
        taken: list[memoryview] = []
        while size_bytes:
            piece = self._pieces.popleft()
            if len(piece) > size_bytes:
                self._pieces.appendleft(piece[size_bytes:])
                piece = piece[:size_bytes]
            taken.append(piece)
            size_bytes -= len(piece)
        return b"".join(taken)
