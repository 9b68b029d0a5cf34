"""Turns bytes into a UnixFS DAG as Kubo does: same bytes, same settings, same CID."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, islice
from typing import Final, Protocol

from ipfs.block import Block
from ipfs.byte_source import ByteSource
from ipfs.cid import CID, Codec
from ipfs.dag_pb import PBLink, PBNode
from ipfs.unixfs.directory import build_directory
from ipfs.unixfs.header import NO_METADATA, Header, Metadata, NodeType
from ipfs.unixfs.layout import Layout, parts_of_root
from ipfs.unixfs.profiles import UNIXFS_V1_2025, ImportSettings
from ipfs.unixfs.workers import INLINE, Outcome, Workers

_BATCH_BYTES: Final = 16 << 20
"""Blocks put together: a durable store pays one fsync for them all."""

_BATCH_BLOCKS: Final = 1 << 14

_CHUNKS_UNDER_WAY_MAX: Final = 8

_HANDED_OVER_BYTES_MIN: Final = 32 << 10
"""A smaller chunk is hashed sooner than a worker would be told of it."""


@dataclass(frozen=True, slots=True)
class Imported:
    """The root of an imported file, folder or link.

    tsize:       bytes of all its blocks, repeated ones counted each time, as a link would say
    file_bytes:  bytes of the content: a file's, or all files' in a folder
    """

    cid: CID
    tsize: int
    file_bytes: int


class BlockSink(Protocol):
    """Where the blocks go: any `Blockstore`, or `Forgotten`."""

    def put(self, blocks: Iterable[Block]) -> None:
        """Take the blocks."""


class Forgotten:
    """Keeps no block: an import into it only tells the CID."""

    def put(self, blocks: Iterable[Block]) -> None:
        """Let them go."""


def import_file(
    source: ByteSource,
    store: BlockSink,
    settings: ImportSettings = UNIXFS_V1_2025,
    *,
    on_progress: Callable[[int], None] = lambda _: None,
    workers: Workers = INLINE,
) -> Imported:
    """Import one file; all its blocks are in the store when this returns.

    Holds two batches of blocks and one list of links per level of the tree, never the file.
    on_progress:  called with the bytes read so far
    workers:      hash and put beside the reading
    """
    importer = Importer(store, settings, on_progress=on_progress, workers=workers)
    root = importer.add_file(source)
    importer.flush()
    return root


class Importer:
    """Imports many files and directories into one store, children before parents.

    What it returned is in the store only after `flush`.
    """

    def __init__(
        self,
        store: BlockSink,
        settings: ImportSettings = UNIXFS_V1_2025,
        *,
        on_progress: Callable[[int], None] = lambda _: None,
        workers: Workers = INLINE,
    ) -> None:
        self._store = store
        self._settings = settings
        self._on_progress = on_progress
        self._workers = workers
        self._batch: list[Block] = []
        self._batch_bytes = 0
        self._putting: Outcome[None] | None = None
        self._read_bytes = 0

    def add_file(self, source: ByteSource, metadata: Metadata = NO_METADATA) -> Imported:
        """Import a file, read from where `source` stands to its end."""
        chunks = self._settings.chunker.chunks(source)
        first = list(islice(chunks, 2))
        if len(first) < 2 and self._settings.layout is Layout.BALANCED:
            chunk = b"".join(first)
            self._count(chunk)
            return self._keep(_leaf(self._settings, chunk, metadata), len(chunk))
        parts = parts_of_root(
            self._settings.layout,
            self._leaves(chain(first, chunks)),
            links_max=self._settings.links_per_node_max,
            join=self._add_file_node,
        )
        return self._add_file_node(parts, metadata)

    def add_symlink(self, target: str, metadata: Metadata = NO_METADATA) -> Imported:
        """Import a symbolic link as itself."""
        header = Header(NodeType.SYMLINK, target.encode(), metadata=metadata)
        return _imported(self._add_node(header, ()), 0)

    def add_directory(
        self, entries: Iterable[tuple[str, Imported]], metadata: Metadata = NO_METADATA
    ) -> Imported:
        """Import a directory of what was imported before.

        Raises `EntryUnsupported` for names that no number of shards tells apart.
        """
        children = dict(entries)
        root = build_directory(
            [PBLink(child.cid, name, child.tsize) for name, child in children.items()],
            metadata,
            self._settings,
            add_node=self._add_node,
        )
        return _imported(root, sum(child.file_bytes for child in children.values()))

    def flush(self) -> None:
        """Return when everything is in the store."""
        self._hand_over()
        self._wait_for_put()

    def _leaves(self, chunks: Iterable[bytes]) -> Iterator[Imported]:
        """Yield the leaves in order, a few of them being hashed meanwhile."""
        under_way: deque[tuple[int, Outcome[Block]]] = deque()
        for chunk in chunks:
            self._count(chunk)
            workers = self._workers if len(chunk) >= _HANDED_OVER_BYTES_MIN else INLINE
            under_way.append((len(chunk), workers.submit(_leaf, self._settings, chunk)))
            if len(under_way) == _CHUNKS_UNDER_WAY_MAX:
                file_bytes, leaf = under_way.popleft()
                yield self._keep(leaf.result(), file_bytes)
        for file_bytes, leaf in under_way:
            yield self._keep(leaf.result(), file_bytes)

    def _add_file_node(self, parts: list[Imported], metadata: Metadata = NO_METADATA) -> Imported:
        block_bytes = tuple(part.file_bytes for part in parts)
        header = Header(NodeType.FILE, None, sum(block_bytes), block_bytes, metadata=metadata)
        links = tuple(PBLink(part.cid, "", part.tsize) for part in parts)
        return _imported(self._add_node(header, links), sum(block_bytes))

    def _add_node(self, header: Header, links: tuple[PBLink, ...]) -> PBLink:
        block = _node(self._settings, header, links)
        self._put(block)
        return PBLink(block.cid, None, len(block.data) + sum(link.tsize or 0 for link in links))

    def _keep(self, leaf: Block, file_bytes: int) -> Imported:
        self._put(leaf)
        return Imported(leaf.cid, len(leaf.data), file_bytes)

    def _count(self, chunk: bytes) -> None:
        if chunk:
            self._read_bytes += len(chunk)
            self._on_progress(self._read_bytes)

    def _put(self, block: Block) -> None:
        self._batch.append(block)
        self._batch_bytes += len(block.data)
        if self._batch_bytes >= _BATCH_BYTES or len(self._batch) >= _BATCH_BLOCKS:
            self._hand_over()

    def _hand_over(self) -> None:
        """Let a worker put the batch, once it has put the one before."""
        self._wait_for_put()
        self._putting = self._workers.submit(self._store.put, self._batch)
        self._batch, self._batch_bytes = [], 0

    def _wait_for_put(self) -> None:
        if self._putting is not None:
            self._putting.result()
            self._putting = None


def _imported(link: PBLink, file_bytes: int) -> Imported:
    return Imported(link.cid, link.tsize or 0, file_bytes)


def _leaf(settings: ImportSettings, chunk: bytes, metadata: Metadata = NO_METADATA) -> Block:
    """Return the leaf of a chunk; a file of one chunk is that leaf, with all that is to be said."""
    if settings.raw_leaves and metadata == NO_METADATA:
        return Block.of(Codec.RAW, chunk)
    leaf_type = NodeType.RAW if settings.layout is Layout.TRICKLE else NodeType.FILE
    return _node(settings, Header(leaf_type, chunk or None, len(chunk), metadata=metadata), ())


def _node(settings: ImportSettings, header: Header, links: tuple[PBLink, ...]) -> Block:
    data = PBNode(links, header.encode()).encode()
    return Block.of(Codec.DAG_PB, data, version=settings.cid_version)
