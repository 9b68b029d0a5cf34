"""What is behind a CID: names, kinds, sizes, references."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar, Final, assert_never

from client.plumbing.session import Source, require_whole
from ipfs import plan
from ipfs.block import Block
from ipfs.blockstore import BlockNotFound, Blockstore
from ipfs.byte_source import ByteSource
from ipfs.car import CarReader
from ipfs.cid import CID, Codec
from ipfs.dag import inline_block, links_of, walk
from ipfs.pins.pin import Pin
from ipfs.repository import Repository
from ipfs.unixfs.errors import UnsafeEntry
from ipfs.unixfs.node import Directory, Entry, File, Shard, Symlink, read_node
from ipfs.unixfs.tree import entries_of

_BATCH_BYTES: Final = 16 << 20


class Kind(StrEnum):
    """What a block is to people."""

    FILE = "file"
    DIRECTORY = "directory"
    SYMLINK = "symlink"
    UNKNOWN = "unknown"
    """A block of another codec, or one that is not here."""


@dataclass(frozen=True, slots=True)
class Listed:
    """An entry of a folder; `size_bytes` is a file's: of a raw leaf, as the folder has it."""

    name: str
    cid: CID
    kind: Kind
    size_bytes: int | None


@dataclass(frozen=True, slots=True)
class DagStat:
    """A whole DAG in numbers: every block counted once."""

    root: CID
    kind: Kind
    content_bytes: int | None
    block_count: int
    size_bytes: int


class CarIncomplete(Exception):
    """A CAR lacks a block below one of its roots, and it is not here either."""

    code: ClassVar[str] = "car-incomplete"

    def __init__(self, root: CID, missing: CID) -> None:
        super().__init__(
            f"the CAR lacks {missing}, which is below its root {root}: nothing was pinned; "
            "--no-pin-roots takes it as it is"
        )
        self.root = root
        self.missing = missing


async def list_folder(root: CID, source: Source) -> list[Listed]:
    """Return what is in a folder; nothing for a file.

    Its own blocks and the roots of its entries are brought here, but no raw leaf; offline, what is
    not here is unknown. Raises what `read_node`, `entries_of` and `Source.get` do.
    """
    node = read_node(inline_block(root) or await source.get(root))
    if not isinstance(node, Directory | Shard):
        return []
    entries = await plan.fetch(entries_of(node), source.get)
    return [Listed(entry.name, entry.cid, *await _looked_up(entry, source)) for entry in entries]


async def _looked_up(entry: Entry, source: Source) -> tuple[Kind, int | None]:
    if entry.cid.codec == Codec.RAW and not inline_block(entry.cid):
        return Kind.FILE, entry.tsize
    if entry.cid.codec == Codec.DAG_PB:
        with suppress(BlockNotFound):
            await source.get(entry.cid)
    return _described(entry.cid, source.blocks)


def stat_dag(root: CID, blocks: Blockstore) -> DagStat:
    """Count a DAG that is whole here. Raises what `walk` does."""
    sizes = [blocks.size_bytes(cid) for cid in walk(blocks, root)]
    return DagStat(root, *_described(root, blocks), len(sizes), sum(sizes))


def references(root: CID, blocks: Blockstore, *, is_recursive: bool) -> Iterator[CID]:
    """Yield what a block links to, or all that its DAG holds below it, each once.

    Raises what `walk` and `links_of` do.
    """
    if is_recursive:
        whole = walk(blocks, root)
        yield from (cid for cid in whole if cid != root)
    else:
        yield from dict.fromkeys(links_of(inline_block(root) or blocks.get(root)))


def import_car(
    source: ByteSource, repository: Repository, *, pins_roots: bool
) -> tuple[tuple[CID, ...], int]:
    """Put the blocks of a CAR into the store, and pin its roots; return these and how many blocks.

    Raises what `CarReader` does, and `CarIncomplete` if a root is to be pinned whose DAG is not
    whole: what came is there, but pinned is nothing.
    """
    reader = CarReader(source)
    count = 0
    with repository.hold() as blocks:
        for batch in _batches(reader):
            blocks.put(batch)
            count += len(batch)
        if pins_roots:
            for root in reader.roots:
                try:
                    require_whole(blocks, root)
                except BlockNotFound as error:
                    raise CarIncomplete(root, error.cid) from error
            for root in reader.roots:
                repository.pins.add(Pin(root=root))
    return reader.roots, count


def _batches(blocks: CarReader) -> Iterator[list[Block]]:
    batch: list[Block] = []
    batch_bytes = 0
    for block in blocks:
        batch.append(block)
        batch_bytes += len(block.data)
        if batch_bytes >= _BATCH_BYTES:
            yield batch
            batch, batch_bytes = [], 0
    if batch:
        yield batch


def _described(cid: CID, blocks: Blockstore) -> tuple[Kind, int | None]:
    if cid.codec not in {Codec.RAW, Codec.DAG_PB}:
        return Kind.UNKNOWN, None
    try:
        node = read_node(inline_block(cid) or blocks.get(cid))
    except BlockNotFound:
        return Kind.UNKNOWN, None
    except UnsafeEntry:
        return Kind.DIRECTORY, None
    match node:
        case File():
            return Kind.FILE, node.size_bytes
        case Directory() | Shard():
            return Kind.DIRECTORY, None
        case Symlink():
            return Kind.SYMLINK, None
        case _:
            assert_never(node)
