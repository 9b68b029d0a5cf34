"""Plans over folders: what is in one, and what a path leads to, shards or not."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar, Final, assert_never

from ipfs.block import Block
from ipfs.cid import CID
from ipfs.errors import LimitExceeded, MalformedBytes
from ipfs.plan import Plan
from ipfs.unixfs.hamt import levels_max, place_of
from ipfs.unixfs.node import Directory, Entry, Shard, read_node

ENTRIES_MAX: Final = 1 << 20
"""Of one folder, unless the caller says otherwise."""


class NoSuchEntry(LookupError):
    """The path names something that is not there."""

    code: ClassVar[str] = "no-such-entry"

    def __init__(self, path: Sequence[str]) -> None:
        super().__init__(f"no {'/'.join(path)!r} there")
        self.path = tuple(path)


def resolve(root: CID, names: Sequence[str]) -> Plan[CID]:
    """Plan to follow a path through folders, reading of shards only those on the way.

    Raises `NoSuchEntry` with the part of the path that is not there, and as `read_node` does.
    """
    cid = root
    for count, name in enumerate(names, start=1):
        node = read_node((yield cid))
        match node:
            case Directory():
                found = next((entry.cid for entry in node.entries if entry.name == name), None)
            case Shard():
                found = yield from _find(node, name)
            case _:
                found = None
        if found is None:
            raise NoSuchEntry(names[:count])
        cid = found
    return cid


def entries_of(
    folder: Directory | Shard, *, entries_max: int = ENTRIES_MAX
) -> Plan[tuple[Entry, ...]]:
    """Plan to list a folder, in the order of its blocks.

    Raises as `FolderReader` does, and `LimitExceeded`.
    """
    entries: list[Entry] = []
    reader = FolderReader(folder)
    while (found := reader.next()) is not None:
        if isinstance(found, CID):
            reader.receive((yield found))
            continue
        entries.append(found)
        if len(entries) > entries_max:
            raise LimitExceeded("entries of a folder", limit=entries_max, asked=len(entries))
    return tuple(entries)


@dataclass(frozen=True, slots=True)
class _Below:
    """A shard further down, and the bits of the hash that lead there."""

    cid: CID
    way: int


class FolderReader:
    """Gives the entries of a folder in the order of its blocks, and names the shards that it needs.

        while found := reader.next(): an entry, or the CID of a block to receive before the next

    Holds the folder and one shard a level. Raises `LimitExceeded`; `MalformedBytes` for shards that
    are not a sharded directory's: every entry must be where its hash says, so no shard can be
    linked twice to make a bomb.
    """

    def __init__(self, folder: Directory | Shard) -> None:
        self._folder = folder
        self._levels: list[Iterator[Entry | _Below]] = [
            iter(folder.entries)
            if isinstance(folder, Directory)
            else _contents(folder, level=0, way=0)
        ]
        self._way = 0

    def next(self) -> Entry | CID | None:
        """Return the next entry, or the CID of a shard to receive; None at the end."""
        while self._levels:
            found = next(self._levels[-1], None)
            match found:
                case None:
                    self._levels.pop()
                case Entry():
                    return found
                case _Below():
                    self._way = found.way
                    return found.cid
                case _:
                    assert_never(found)
        return None

    def receive(self, block: Block) -> None:
        """Take the shard that was named."""
        assert isinstance(self._folder, Shard), "a plain folder names no shards"
        level = len(self._levels)
        shard = _shard_of(block, self._folder, level)
        self._levels.append(_contents(shard, level=level, way=self._way))


def _find(root: Shard, name: str) -> Plan[CID | None]:
    shard = root
    for level in range(levels_max(root.fanout)):
        index = place_of(name, level=level, fanout=root.fanout) % root.fanout
        bucket = next((bucket for bucket in shard.buckets if bucket.index == index), None)
        if bucket is None or bucket.name:
            return bucket.cid if bucket is not None and bucket.name == name else None
        shard = _shard_of((yield bucket.cid), root, level + 1)
    return None


def _shard_of(block: Block, root: Shard, level: int) -> Shard:
    if level >= levels_max(root.fanout):
        raise LimitExceeded("levels of shards", limit=levels_max(root.fanout), asked=level + 1)
    node = read_node(block)
    if not isinstance(node, Shard) or node.fanout != root.fanout or not node.buckets:
        raise MalformedBytes("HAMT", "no shard of this directory")
    return node


def _contents(shard: Shard, *, level: int, way: int) -> Iterator[Entry | _Below]:
    for bucket in shard.buckets:
        place = way * shard.fanout + bucket.index
        if not bucket.name:
            yield _Below(bucket.cid, place)
        elif place_of(bucket.name, level=level, fanout=shard.fanout) == place:
            yield Entry(bucket.name, bucket.cid, bucket.tsize)
        else:
            raise MalformedBytes("HAMT", f"entry {bucket.name!r} is in the wrong bucket")
