"""Plain directories: one DAG-PB node, links sorted by name."""

from collections.abc import Iterable

from ipfs.dag_pb import PBLink, PBNode
from ipfs.unixfs.errors import DirectoryTooLarge
from ipfs.unixfs.node import Header, NodeType
from ipfs.unixfs.profiles import DirectorySize, ImportSettings


def directory_node(path: str, links: Iterable[PBLink], settings: ImportSettings) -> PBNode:
    """Return the node of a directory, its links sorted by the bytes of their names.

    path:  for the error message only
    Raises `DirectoryTooLarge` where Kubo would shard.
    """
    ordered = tuple(sorted(links, key=lambda link: (link.name or "").encode()))
    node = PBNode(ordered, Header(NodeType.DIRECTORY).encode())
    size_bytes = _size_bytes(node, settings.directory_size)
    if size_bytes > settings.directory_bytes_max:
        raise DirectoryTooLarge(
            path, size_bytes=size_bytes, size_bytes_max=settings.directory_bytes_max
        )
    return node


def _size_bytes(node: PBNode, measure: DirectorySize) -> int:
    match measure:
        case DirectorySize.BLOCK:
            return len(node.encode())
        case DirectorySize.LINKS:
            return sum(
                len((link.name or "").encode()) + len(link.cid.encode()) for link in node.links
            )
