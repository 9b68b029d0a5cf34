"""What a scrub finds: where a segment is damaged, and whether the index agrees with it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ipfs.cid import CID
from ipfs.segments.record import Found, Gap, Kind


@dataclass(frozen=True, slots=True)
class Entry:
    """What the index says of one block record; `cid` and `checksum` are None for a dead one."""

    multihash: bytes
    data_bytes: int
    cid: CID | None
    checksum: bytes | None

    @property
    def is_dead(self) -> bool:
        """Whether the block is deleted, or written anew elsewhere."""
        return self.cid is None


@dataclass(frozen=True, slots=True)
class Damage:
    """Bytes of a segment that are not what was written."""

    segment: int
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class SegmentReport:
    """What reading one segment as a whole came to; dead blocks are read, but not counted."""

    read_bytes: int
    block_count: int
    damage: tuple[Damage, ...]
    agrees_with_index: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ScrubReport:
    """What reading all segments came to.

    block_count:      those that are stored; what is dead was read with them
    damage:           what was not as it was written; those segments have been rewritten without it
    lost:             blocks that had to be given up; fetch or put them again
    index_was_wrong:  the index, now or when the store was opened; it has been made anew
    """

    read_bytes: int
    block_count: int
    damage: tuple[Damage, ...]
    lost: tuple[CID, ...]
    index_was_wrong: bool

    @property
    def is_clean(self) -> bool:
        """Whether every bit was as it was written."""
        return not self.damage and not self.index_was_wrong


def compare(
    segment: int, scanned: Iterable[Found | Gap], index: Mapping[int, Entry], *, indexed_bytes: int
) -> SegmentReport:
    """Hold what was read of a segment, up to `indexed_bytes`, against what the index says of it.

    index:  by where a record's data starts
    """
    unmet = dict(index)
    damage: list[Damage] = []
    agrees = True
    block_count = 0
    end = 0
    for each in scanned:
        end = each.end
        if isinstance(each, Gap):
            damage.append(Damage(segment, each.start, each.end))
            for data_at in [at for at in unmet if each.start <= at < each.end]:
                del unmet[data_at]
        elif each.kind is Kind.BLOCK:
            entry = unmet.pop(each.data_at, None)
            block_count += entry is None or not entry.is_dead
            agrees &= _is_told(each, entry)
            if not each.data_matches:
                damage.append(Damage(segment, each.data_at, each.end))
    return SegmentReport(
        end, block_count, tuple(damage), agrees and not unmet and end == indexed_bytes
    )


def _is_told(found: Found, entry: Entry | None) -> bool:
    return (
        entry is not None
        and (entry.multihash, entry.data_bytes) == (found.cid.multihash, found.data_bytes)
        and entry.cid in {None, found.cid}
        and (entry.checksum in {None, found.checksum} or not found.data_matches)
    )
