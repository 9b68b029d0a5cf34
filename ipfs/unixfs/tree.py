"""Plans over folders: what is in one, and what a path leads to, shards or not."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar, Final, assert_never

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

    Raises `LimitExceeded`; `MalformedBytes` for shards that are not a sharded directory's: every
    entry must be where its hash says, so no shard can be linked twice to make a bomb.
    """
    if isinstance(folder, Directory):
        return folder.entries
    entries: list[Entry] = []
    ahead = [_contents(folder, level=0, way=0)]
    while ahead:
        found = next(ahead[-1], None)
        match found:
            case None:
                ahead.pop()
            case Entry():
                entries.append(found)
                if len(entries) > entries_max:
                    raise LimitExceeded(
                        "entries of a folder", limit=entries_max, asked=len(entries)
                    )
            case _Below():
                shard = yield from _shard_at(found.cid, folder, len(ahead))
                ahead.append(_contents(shard, level=len(ahead), way=found.way))
            case _:
                assert_never(found)
    return tuple(entries)


@dataclass(frozen=True, slots=True)
class _Below:
    """A shard further down, and the bits of the hash that lead there."""

    cid: CID
    way: int


def _find(root: Shard, name: str) -> Plan[CID | None]:
    shard = root
    for level in range(levels_max(root.fanout)):
        index = place_of(name, level=level, fanout=root.fanout) % root.fanout
        bucket = next((bucket for bucket in shard.buckets if bucket.index == index), None)
        if bucket is None or bucket.name:
            return bucket.cid if bucket is not None and bucket.name == name else None
        shard = yield from _shard_at(bucket.cid, root, level + 1)
    return None


def _shard_at(cid: CID, root: Shard, level: int) -> Plan[Shard]:
    if level >= levels_max(root.fanout):
        raise LimitExceeded("levels of shards", limit=levels_max(root.fanout), asked=level + 1)
    node = read_node((yield cid))
    if not isinstance(node, Shard) or node.fanout != root.fanout or not node.buckets:
        raise MalformedBytes("HAMT", "no shard of this directory")
    return node


def _contents(shard: Shard, *, level: int, way: int) -> Iterator[Entry | _Below]:
    for bucket in shard.buckets:
        place = way * shard.fanout + bucket.index
        if not bucket.name:
            yield _Below(bucket.cid, place)
        elif place_of(bucket.name, level=level, fanout=shard.fanout) == place:
            yield Entry(bucket.name, bucket.cid)
        else:
            raise MalformedBytes("HAMT", f"entry {bucket.name!r} is in the wrong bucket")
