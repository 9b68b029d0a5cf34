"""Cuts a stream into chunks: at fixed sizes, or where the content itself says so."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ipfs.byte_source import ByteSource, read_up_to

_WINDOW_BYTES: Final = 32
"""A byte older than this has been shifted out of the 32-bit fingerprint."""

_GEAR: Final[NDArray[np.uint32]] = np.frombuffer(
    hashlib.shake_256(b"holdfast gear chunker").digest(256 * 4), "<u4"
).astype(np.uint32)
"""A random number for each byte value; anybody can make the table again."""


@dataclass(frozen=True, slots=True)
class FixedSize:
    """Chunks of `chunk_bytes`, the last one shorter: Kubo's `size-N`."""

    chunk_bytes: int

    @property
    def chunk_bytes_max(self) -> int:
        """Return the size of the largest chunk there can be."""
        return self.chunk_bytes

    def chunks(self, source: ByteSource) -> Iterator[bytes]:
        """Yield the chunks; none for an empty source."""
        while chunk := read_up_to(source, self.chunk_bytes):
            yield chunk

    def __str__(self) -> str:
        return f"size-{self.chunk_bytes}"


@dataclass(frozen=True, slots=True)
class Gear:
    """Content-defined chunks, so that an insertion changes only the chunks around it.

    Our own, no other program makes these CIDs: a chunk has a quarter of the average at least and
    four times the average at most, and ends at the first byte between where the fingerprint of
    the last 32 bytes begins with enough zero bits, log2 of three quarters of the average (Xia et
    al., FastCDC, USENIX ATC 2016, without its normalisation). Raises `ValueError`.
    """

    average_bytes: int

    def __post_init__(self) -> None:
        if self.average_bytes < 4 * _WINDOW_BYTES:
            raise ValueError(f"chunks of {self.average_bytes} bytes are shorter than the window")

    @property
    def chunk_bytes_max(self) -> int:
        """Return the size of the largest chunk there can be."""
        return 4 * self.average_bytes

    def chunks(self, source: ByteSource) -> Iterator[bytes]:
        """Yield the chunks; none for an empty source."""
        ahead = b""
        while ahead := ahead + read_up_to(source, self.chunk_bytes_max - len(ahead)):
            for length in self._lengths(ahead):
                yield ahead[:length]
                ahead = ahead[length:]

    def _lengths(self, ahead: bytes) -> Iterator[int]:
        """Yield the lengths of the chunks that begin in the bytes at hand, at least of one."""
        zero_bits = (self.average_bytes * 3 // 4).bit_length() - 1
        cuts = np.flatnonzero(fingerprints(ahead) < np.uint32(1 << 32 - zero_bits)) + 1
        start = 0
        while True:
            at = np.searchsorted(cuts, start + self.average_bytes // 4)
            if at == len(cuts):
                break
            end = int(cuts[at])
            yield end - start
            start = end
        if start == 0:
            yield len(ahead)

    def __str__(self) -> str:
        return f"gear-{self.average_bytes}"


Chunker = FixedSize | Gear


def chunker_named(text: str) -> Chunker:
    """Return the chunker that `size-N` or `gear-N` names. Raises `ValueError`."""
    kind, _, number = text.partition("-")
    if kind in {"size", "gear"} and number.isascii() and number.isdecimal() and len(number) < 10:
        return FixedSize(int(number)) if kind == "size" else Gear(int(number))
    raise ValueError(f"chunker {text!r} is neither size-N nor gear-N")


def fingerprints(data: bytes) -> NDArray[np.uint32]:
    """Return the gear fingerprint after each byte: h = 2h + table[byte], in 32 bits.

    Doubling windows sum it without a loop over the bytes: twice the width is the narrower sum,
    and the one before it shifted.
    """
    sums = _GEAR[np.frombuffer(data, np.uint8)]
    width = 1
    while width < _WINDOW_BYTES:
        wider = sums.copy()
        wider[width:] += sums[:-width] << np.uint32(width)
        sums = wider
        width *= 2
    return sums
