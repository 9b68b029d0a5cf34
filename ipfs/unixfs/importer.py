"""Turns bytes into a UnixFS DAG as Kubo does: same bytes, same settings, same CID."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final

from ipfs.block import Block
from ipfs.blockstore import Blockstore
from ipfs.byte_source import ByteSource
from ipfs.cid import CID, Codec
from ipfs.dag_pb import PBLink, PBNode
from ipfs.unixfs.chunker import fixed_chunks
from ipfs.unixfs.directory import directory_node
from ipfs.unixfs.node import Header, NodeType
from ipfs.unixfs.profiles import UNIXFS_V1_2025, ImportSettings

_BATCH_BYTES: Final = 16 << 20
"""Blocks put together: a durable store pays one fsync for them all."""


@dataclass(frozen=True, slots=True)
class Imported:
    """The root of an imported file, folder or link.

    tsize:       bytes of all its blocks, repeated ones counted each time, as a link would say
    file_bytes:  bytes of the content: a file's, or all files' in a folder
    """

    cid: CID
    tsize: int
    file_bytes: int


def import_file(
    source: ByteSource,
    store: Blockstore,
    settings: ImportSettings = UNIXFS_V1_2025,
    *,
    on_progress: Callable[[int], None] = lambda _: None,
) -> Imported:
    """Import one file; all its blocks are in the store when this returns.

    Holds one batch of blocks and one list of links per level of the tree, never the file.
    on_progress:  called with the bytes read so far
    """
    importer = Importer(store, settings, on_progress=on_progress)
    root = importer.add_file(source)
    importer.flush()
    return root


class Importer:
    """Imports many files and directories into one store, children before parents.

    What it returned is in the store only after `flush`.
    """

    def __init__(
        self,
        store: Blockstore,
        settings: ImportSettings = UNIXFS_V1_2025,
        *,
        on_progress: Callable[[int], None] = lambda _: None,
    ) -> None:
        self._store = store
        self._settings = settings
        self._on_progress = on_progress
        self._batch: list[Block] = []
        self._batch_bytes = 0
        self._read_bytes = 0

    def add_file(self, source: ByteSource) -> Imported:
        """Import a file, read from where `source` stands to its end."""
        tree = _BalancedTree(self._settings.links_per_node_max, self._add_file_node)
        for chunk in fixed_chunks(source, self._settings.chunk_bytes):
            tree.add(self._add_leaf(chunk))
            self._read_bytes += len(chunk)
            self._on_progress(self._read_bytes)
        return tree.root() or self._add_leaf(b"")

    def add_symlink(self, target: str) -> Imported:
        """Import a symbolic link as itself."""
        header = Header(NodeType.SYMLINK, target.encode())
        return self._add_node(PBNode(data=header.encode()), file_bytes=0)

    def add_directory(self, path: str, entries: Iterable[tuple[str, Imported]]) -> Imported:
        """Import a directory of what was imported before.

        path:  for error messages only
        Raises `DirectoryTooLarge`.
        """
        children = dict(entries)
        node = directory_node(
            path,
            (PBLink(child.cid, name, child.tsize) for name, child in children.items()),
            self._settings,
        )
        return self._add_node(node, file_bytes=sum(child.file_bytes for child in children.values()))

    def flush(self) -> None:
        """Put what is still held into the store."""
        self._store.put(self._batch)
        self._batch = []
        self._batch_bytes = 0

    def _add_leaf(self, chunk: bytes) -> Imported:
        if self._settings.raw_leaves:
            self._put(block := Block.of(Codec.RAW, chunk))
            return Imported(block.cid, len(chunk), len(chunk))
        header = Header(NodeType.FILE, chunk or None, len(chunk))
        return self._add_node(PBNode(data=header.encode()), file_bytes=len(chunk))

    def _add_file_node(self, parts: list[Imported]) -> Imported:
        block_bytes = tuple(part.file_bytes for part in parts)
        header = Header(NodeType.FILE, None, sum(block_bytes), block_bytes)
        links = tuple(PBLink(part.cid, "", part.tsize) for part in parts)
        return self._add_node(PBNode(links, header.encode()), file_bytes=sum(block_bytes))

    def _add_node(self, node: PBNode, *, file_bytes: int) -> Imported:
        block = Block.of(Codec.DAG_PB, node.encode(), version=self._settings.cid_version)
        self._put(block)
        below = sum(link.tsize or 0 for link in node.links)
        return Imported(block.cid, len(block.data) + below, file_bytes)

    def _put(self, block: Block) -> None:
        self._batch.append(block)
        self._batch_bytes += len(block.data)
        if self._batch_bytes >= _BATCH_BYTES:
            self.flush()


@dataclass(slots=True)
class _BalancedTree:
    """Builds the balanced layout as leaves arrive: all leaves equally deep, nodes filled in order.

    _levels[h] holds the finished subtrees of height h that have no parent yet, fewer than
    `links_max` of them.
    """

    links_max: int
    join: Callable[[list[Imported]], Imported]
    _levels: list[list[Imported]] = field(default_factory=list)

    def add(self, subtree: Imported, height: int = 0) -> None:
        if height == len(self._levels):
            self._levels.append([])
        level = self._levels[height]
        level.append(subtree)
        if len(level) == self.links_max:
            self._levels[height] = []
            self.add(self.join(level), height + 1)

    def root(self) -> Imported | None:
        """Join what is left, lowest first; None if nothing was ever added."""
        height = 0
        while height < len(self._levels):
            level, self._levels[height] = self._levels[height], []
            is_top = height == len(self._levels) - 1
            if is_top and len(level) == 1:
                return level[0]
            if level:
                self.add(self.join(level), height + 1)
            height += 1
        return None
