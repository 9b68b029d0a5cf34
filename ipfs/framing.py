"""Length-prefixed frames: a varint, then that many bytes; bounded before anything is allocated."""

from collections.abc import Iterator

from ipfs import varint
from ipfs.errors import LimitExceeded


def encode_frame(payload: bytes) -> bytes:
    """Return the payload behind its length."""
    return varint.encode(len(payload)) + payload


class FrameReader:
    """Cuts a stream of bytes into frames, however the bytes arrive.

    Holds what was fed and not yet taken. Raises `LimitExceeded` on a length over `frame_bytes_max`,
    `MalformedBytes` on a length that is no varint.
    """

    def __init__(self, *, frame_bytes_max: int) -> None:
        self._frame_bytes_max = frame_bytes_max
        self._buffer = bytearray()

    @property
    def is_between_frames(self) -> bool:
        """Whether the stream may end here without cutting a frame."""
        return not self._buffer

    @property
    def held_bytes(self) -> int:
        """How much was fed and not taken."""
        return len(self._buffer)

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Take bytes as they came; yield every frame that is complete.

        What is not asked for stays, and comes first after the next call.
        """
        self._buffer += data
        return iter(self._next_frame, None)

    def _next_frame(self) -> bytes | None:
        prefix = bytes(self._buffer[: varint.VARINT_BYTES_MAX])
        if len(prefix) < varint.VARINT_BYTES_MAX and all(byte & 0x80 for byte in prefix):
            return None
        length, start = varint.decode(prefix)
        if length > self._frame_bytes_max:
            raise LimitExceeded("frame bytes", limit=self._frame_bytes_max, asked=length)
        if len(self._buffer) - start < length:
            return None
        with memoryview(self._buffer) as view:
            payload = bytes(view[start : start + length])
        del self._buffer[: start + length]
        return payload
