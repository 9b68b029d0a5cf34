"""DAG-PB, strict both ways: one node has one encoding (ipld.io/specs/codecs/dag-pb)."""

from dataclasses import dataclass
from itertools import pairwise
from typing import Self

from ipfs import protobuf
from ipfs.cid import CID
from ipfs.errors import MalformedBytes

_NODE_DATA = 1
_NODE_LINKS = 2
_LINK_HASH = 1
_LINK_NAME = 2
_LINK_TSIZE = 3


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
        out = protobuf.encode_bytes_field(_LINK_HASH, self.cid.encode())
        if self.name is not None:
            out += protobuf.encode_bytes_field(_LINK_NAME, self.name.encode())
        if self.tsize is not None:
            out += protobuf.encode_varint_field(_LINK_TSIZE, self.tsize)
        return out

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Return the link that the message is. Raises `MalformedBytes`."""
        cid: CID | None = None
        name: str | None = None
        tsize: int | None = None
        for number, _, value in protobuf.fields(data):
            match number:
                case 1:
                    cid = CID.decode(protobuf.expect_bytes(value, "DAG-PB link"))
                case 2:
                    name = _text(protobuf.expect_bytes(value, "DAG-PB link"))
                case 3:
                    tsize = protobuf.expect_int(value, "DAG-PB link")
                case _:
                    raise MalformedBytes("DAG-PB", f"a link has no field {number}")
        if cid is None:
            raise MalformedBytes("DAG-PB", "a link without a CID")
        return cls(cid, name, tsize)


@dataclass(frozen=True, slots=True)
class PBNode:
    """Links, then data. Raises `MalformedBytes` unless the links are sorted by name.

    Links of one name, or of none, keep the order they are given in: it is a file's order.
    """

    links: tuple[PBLink, ...] = ()
    data: bytes | None = None

    def __post_init__(self) -> None:
        names = [(link.name or "").encode() for link in self.links]
        if any(left > right for left, right in pairwise(names)):
            raise MalformedBytes("DAG-PB", "links are not sorted by name")

    def encode(self) -> bytes:
        """Return the one encoding of this node."""
        out = bytearray()
        for link in self.links:
            out += protobuf.encode_bytes_field(_NODE_LINKS, link.encode())
        if self.data is not None:
            out += protobuf.encode_bytes_field(_NODE_DATA, self.data)
        return bytes(out)

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Return the node of these canonical bytes. Raises `MalformedBytes`.

        Encoding again is what refuses repeated or shuffled fields and padded numbers.
        """
        links: list[PBLink] = []
        content: bytes | None = None
        for number, _, value in protobuf.fields(data):
            match number:
                case 1:
                    content = protobuf.expect_bytes(value, "DAG-PB node")
                case 2:
                    links.append(PBLink.decode(protobuf.expect_bytes(value, "DAG-PB node")))
                case _:
                    raise MalformedBytes("DAG-PB", f"a node has no field {number}")
        node = cls(tuple(links), content)
        if node.encode() != data:
            raise MalformedBytes("DAG-PB", "not its canonical encoding")
        return node


def _text(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise MalformedBytes("DAG-PB", "a name is not UTF-8") from None
