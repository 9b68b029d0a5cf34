"""Directories as they are made: one node with links sorted by name, or shards if it is large."""

from collections.abc import Callable, Iterable

from ipfs.dag_pb import PBLink, PBNode
from ipfs.unixfs.hamt import build_shards
from ipfs.unixfs.header import Header, Metadata, NodeType
from ipfs.unixfs.profiles import DirectorySize, ImportSettings


def build_directory(
    links: Iterable[PBLink],
    metadata: Metadata,
    settings: ImportSettings,
    *,
    add_node: Callable[[Header, tuple[PBLink, ...]], PBLink],
) -> PBLink:
    """Return the nameless link to a directory of these links, sharded where Kubo would.

    add_node:  makes the node of a header and its links, and returns the nameless link to it
    Raises `EntryUnsupported` for names that no number of shards tells apart.
    """
    ordered = tuple(sorted(links, key=lambda link: (link.name or "").encode()))
    header = Header(NodeType.DIRECTORY, metadata=metadata)
    if _size_bytes(header, ordered, settings.directory_size) > settings.directory_bytes_max:
        return build_shards(ordered, metadata, add_node=add_node)
    return add_node(header, ordered)


def _size_bytes(header: Header, links: tuple[PBLink, ...], measure: DirectorySize) -> int:
    match measure:
        case DirectorySize.BLOCK:
            return len(PBNode(links, header.encode()).encode())
        case DirectorySize.LINKS:
            return sum(len((link.name or "").encode()) + len(link.cid.encode()) for link in links)
