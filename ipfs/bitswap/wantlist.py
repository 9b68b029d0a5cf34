"""What one side wants of the other: theirs, which we answer, and ours, which we send."""

from collections.abc import Iterable, Iterator
from typing import Final

from ipfs.bitswap.messages import Message, Want, WantType
from ipfs.cid import CID

WANTS_PER_PEER_MAX: Final = 1024
"""What is remembered of one peer's wishes (boxo `bitswap/server`, MaxQueuedWantlistEntries)."""

SETTLED_MAX: Final = 1024
"""How many wants are remembered after they ended: their blocks may be under way."""


class Wantlist:
    """What a peer wants of us; at most `WANTS_PER_PEER_MAX` wants, later ones are not kept."""

    def __init__(self) -> None:
        self._wants: dict[CID, Want] = {}

    def update(self, message: Message) -> tuple[list[Want], list[CID]]:
        """Take the wantlist of a message; return the wants that it asks, and the CIDs it ends.

        A want asked again counts as asked; of a block and a HAVE for it, the block is kept.
        """
        ended: dict[CID, None] = dict.fromkeys(self._wants) if message.full else {}
        asked: dict[CID, Want] = {}
        if message.full:
            self._wants.clear()
        for want in message.wants:
            if want.cancel:
                self._wants.pop(want.cid, None)
                asked.pop(want.cid, None)
                ended[want.cid] = None
            elif want.cid in self._wants or len(self._wants) < WANTS_PER_PEER_MAX:
                ended.pop(want.cid, None)
                kept = self._wants.get(want.cid, want)
                self._wants[want.cid] = asked[want.cid] = min(want, kept, key=_by_want_type)
        return list(asked.values()), list(ended)

    def remove(self, cid: CID) -> None:
        """End a want, because it was answered."""
        del self._wants[cid]

    def get(self, cid: CID) -> Want | None:
        """Return the want for a block, if there is one."""
        return self._wants.get(cid)

    def __iter__(self) -> Iterator[CID]:
        return iter(self._wants)

    def __len__(self) -> int:
        return len(self._wants)


class Requests:
    """What we want of a peer: each want on the wire once, however many sessions share it."""

    def __init__(self) -> None:
        self._askers: dict[CID, set[object]] = {}
        self._standing: dict[CID, Want] = {}
        self._settled: dict[CID, None] = {}
        self._unsent: dict[CID, Want] = {}

    def ask(self, want: Want, asker: object) -> None:
        """Take a session's want, or the cancellation of one; say it with the next message."""
        askers = self._askers.setdefault(want.cid, set())
        if not want.cancel:
            askers.add(asker)
            for wants in (self._standing, self._unsent):
                known = wants.get(want.cid)
                if known is None or known.cancel or known.want_type is not WantType.BLOCK:
                    wants[want.cid] = want
            return
        askers.discard(asker)
        if not askers:
            self._end(want.cid)
            self._unsent[want.cid] = want

    def take_unsent(self) -> tuple[Want, ...]:
        """Return what to tell the peer now."""
        wants = tuple(self._unsent.values())
        self._unsent.clear()
        return wants

    def take_all(self) -> tuple[Want, ...]:
        """Return all we want, for a peer that may not have heard what was said before."""
        self._unsent.clear()
        return tuple(self._standing.values())

    @property
    def has_unsent(self) -> bool:
        """Whether there is anything to tell the peer."""
        return bool(self._unsent)

    def awaits(self, cid: CID) -> bool:
        """Whether the peer was asked for a block that has not come from it."""
        return cid in self._askers

    def arrived(self, cids: Iterable[CID]) -> list[CID]:
        """Take the blocks that the peer sent; return those that were never asked of it."""
        unasked = []
        for cid in cids:
            if cid in self._askers:
                self._end(cid)
                self._unsent.pop(cid, None)
            elif cid not in self._settled:
                unasked.append(cid)
        return unasked

    def _end(self, cid: CID) -> None:
        del self._askers[cid]
        self._standing.pop(cid, None)
        self._settle(cid)

    def _settle(self, cid: CID) -> None:
        self._settled[cid] = None
        if len(self._settled) > SETTLED_MAX:
            del self._settled[next(iter(self._settled))]


def _by_want_type(want: Want) -> int:
    return want.want_type
