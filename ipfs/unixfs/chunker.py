"""Cuts a stream into chunks."""

from collections.abc import Iterator

from ipfs.byte_source import ByteSource, read_up_to


def fixed_chunks(source: ByteSource, chunk_bytes: int) -> Iterator[bytes]:
    """Yield chunks of `chunk_bytes`, the last one shorter; none for an empty source."""
    while chunk := read_up_to(source, chunk_bytes):
        yield chunk
