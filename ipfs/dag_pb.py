"""DAG-PB, strict both ways: one node has one encoding (ipld.io/specs/codecs/dag-pb)."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final, Self

from ipfs import protobuf
from ipfs.cid import CID
from ipfs.errors import LimitExceeded, MalformedBytes

LINKS_MAX: Final = 1 << 16
"""Of one node: a block holds fewer with digests of 32 bytes, and many times more with none."""

_DATA_KEY: Final = bytes((1 << 3 | protobuf.BYTES,))
_LINK_KEY: Final = bytes((2 << 3 | protobuf.BYTES,))
_HASH_KEY: Final = bytes((1 << 3 | protobuf.BYTES,))
_NAME_KEY: Final = bytes((2 << 3 | protobuf.BYTES,))
_TSIZE_KEY: Final = bytes((3 << 3 | protobuf.VARINT,))


@dataclass(frozen=True, slots=True)
class PBLink:
    """An edge of the DAG.

    tsize:  bytes of all blocks under the link, repeated ones counted each time; a hint
    None means that the field is absent, which is a different encoding from "" or 0.
    """

    cid: CID
    name: str | None = None
    tsize: int | None = None

    def encode(self) -> bytes:
        """Return the link as a protobuf message."""
        out = protobuf.encode_bytes_field(1, self.cid.encode())
        if self.name is not None:
            out += protobuf.encode_bytes_field(2, self.name.encode())
        if self.tsize is not None:
            out += protobuf.encode_varint_field(3, self.tsize)
        return out

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Return the link that the message is, in its one encoding. Raises `MalformedBytes`."""
        name: str | None = None
        tsize: int | None = None
        if data[:1] != _HASH_KEY:
            raise MalformedBytes("DAG-PB", "a link without a CID")
        cid, at = protobuf.take_bytes(data, 1)
        if data[at : at + 1] == _NAME_KEY:
            text, at = protobuf.take_bytes(data, at + 1)
            name = _text(text)
        if data[at : at + 1] == _TSIZE_KEY:
            tsize, at = protobuf.take_uint64(data, at + 1)
        if at != len(data):
            raise MalformedBytes("DAG-PB", "not the canonical encoding of a link")
        return cls(CID.decode(cid), name, tsize)


@dataclass(frozen=True, slots=True)
class PBNode:
    """Links, then data. Raises `MalformedBytes` unless the links are sorted by name.

    Links of one name, or of none, keep the order they are given in: it is a file's order.
    """

    links: tuple[PBLink, ...] = ()
    data: bytes | None = None

    def __post_init__(self) -> None:
        for _ in _in_order(self.links):
            pass

    def encode(self) -> bytes:
        """Return the one encoding of this node."""
        out = bytearray()
        for link in self.links:
            out += protobuf.encode_bytes_field(2, link.encode())
        if self.data is not None:
            out += protobuf.encode_bytes_field(1, self.data)
        return bytes(out)

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Return the node of these canonical bytes: links, then data.

        Raises `MalformedBytes`, `LimitExceeded`.
        """
        reader = _NodeReader(data)
        return cls(tuple(reader.links()), reader.content)


def read_links(data: bytes) -> Iterator[PBLink]:
    """Yield the links of a node, each read when its turn comes, so that no more than one is held.

    Raises as `PBNode.decode` does, at the place that is wrong.
    """
    return _in_order(_NodeReader(data).links())


class _NodeReader:
    """Walks the bytes of a node once."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.content: bytes | None = None
        """What follows the links, known after the last of them."""

    def links(self) -> Iterator[PBLink]:
        """Yield the links as they are; after the last, read the rest."""
        data, at, count = self._data, 0, 0
        while data[at : at + 1] == _LINK_KEY:
            if count == LINKS_MAX:
                raise LimitExceeded("links of a node", limit=LINKS_MAX, asked=LINKS_MAX + 1)
            link, at = protobuf.take_bytes(data, at + 1)
            yield PBLink.decode(link)
            count += 1
        if data[at : at + 1] == _DATA_KEY:
            self.content, at = protobuf.take_bytes(data, at + 1)
        if at != len(data):
            raise MalformedBytes("DAG-PB", "not the canonical encoding of a node")


def _in_order(links: Iterable[PBLink]) -> Iterator[PBLink]:
    """Yield the links. Raises `MalformedBytes` at one whose name belongs before the last one's."""
    last = ""
    for link in links:
        name = link.name or ""
        # Code points are in the order of their UTF-8.
        if name < last:
            raise MalformedBytes("DAG-PB", "links are not sorted by name")
        last = name
        yield link


def _text(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise MalformedBytes("DAG-PB", "a name is not UTF-8") from None
