"""The answering side: from what peers want and what the store holds, what to tell whom next.

    receive(peer, message) -> CIDs --(the store is asked)--> locate(peer, sizes)
    take(peer) -> Answer --(the blocks are read)--> a message to the peer

Does no I/O: sizes come in, names of blocks go out. What is taken counts as answered.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from ipfs.bitswap.messages import (
    PENDING_BYTES_MAX,
    Message,
    Presence,
    PresenceType,
    Want,
    WantType,
)
from ipfs.bitswap.wantlist import Wantlist
from ipfs.cid import CID
from ipfs.p2p.peer_id import PeerId

ANSWER_BYTES_MAX: Final = 1024 * 1024
"""Block bytes of one answer, and so what one peer can make us hold: one answer is out at a time."""

INLINE_BYTES_MAX: Final = 1024
"""A block so small is sent when only a HAVE was asked: it saves a round trip (boxo does so too)."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What to tell one peer next: blocks to read from the store, most urgent first, and presences.

    pending_bytes:  what is ready for the peer beyond this answer
    """

    blocks: tuple[Want, ...]
    presences: tuple[Presence, ...]
    pending_bytes: int


@dataclass(slots=True)
class _Peer:
    """One peer's wants; `located` and `absent` name only CIDs among them."""

    wants: Wantlist = field(default_factory=Wantlist)
    located: dict[CID, int] = field(default_factory=dict)
    absent: dict[CID, None] = field(default_factory=dict)

    def sends_block(self, want: Want) -> bool:
        return want.want_type is WantType.BLOCK or self.located[want.cid] <= INLINE_BYTES_MAX


class Engine:
    """Answers every want of a present block once, and an absent one when the block has come."""

    def __init__(self) -> None:
        self._peers: dict[PeerId, _Peer] = {}
        self._wanting: dict[CID, set[PeerId]] = {}

    def receive(self, peer_id: PeerId, message: Message) -> tuple[CID, ...]:
        """Take the wantlist of a message; return the CIDs to `locate` now."""
        if not message.wants and not message.full:
            return ()
        peer = self._peers.setdefault(peer_id, _Peer())
        asked, ended = peer.wants.update(message)
        self._end(peer_id, peer, ended)
        for want in asked:
            self._wanting.setdefault(want.cid, set()).add(peer_id)
        return tuple(want.cid for want in asked)

    def locate(self, peer_id: PeerId, sizes: Mapping[CID, int | None]) -> None:
        """Take the sizes of blocks that a peer asked for, None for one that the store lacks."""
        peer = self._peers.get(peer_id)
        if peer is None:
            return
        for cid, size_bytes in sizes.items():
            want = peer.wants.get(cid)
            if want is None or cid in peer.located:
                continue
            if size_bytes is not None:
                peer.located[cid] = size_bytes
            elif want.send_dont_have:
                peer.absent[cid] = None

    def add(self, sizes: Mapping[CID, int]) -> set[PeerId]:
        """Take what the store has just received; return the peers that it concerns."""
        concerned = set()
        for cid, size_bytes in sizes.items():
            for peer_id in self._wanting.get(cid, ()):
                peer = self._peers[peer_id]
                peer.located[cid] = size_bytes
                peer.absent.pop(cid, None)
                concerned.add(peer_id)
        return concerned

    def take(self, peer_id: PeerId) -> Answer | None:
        """Return what to tell the peer next, or None if there is nothing to tell.

        Blocks up to `ANSWER_BYTES_MAX`, though always one, by priority.
        """
        peer = self._peers.get(peer_id)
        if peer is None or not (peer.located or peer.absent):
            return None
        presences = [Presence(cid, PresenceType.DONT_HAVE) for cid in peer.absent]
        peer.absent.clear()
        located = [want for cid in peer.located if (want := peer.wants.get(cid))]
        located.sort(key=lambda want: -want.priority)
        blocks: list[Want] = []
        room_bytes = ANSWER_BYTES_MAX
        for want in located:
            size_bytes = peer.located[want.cid]
            if not peer.sends_block(want):
                presences.append(Presence(want.cid, PresenceType.HAVE))
            elif size_bytes <= room_bytes or not blocks:
                blocks.append(want)
                room_bytes -= size_bytes
            else:
                continue
            peer.wants.remove(want.cid)
            self._end(peer_id, peer, (want.cid,))
        pending_bytes = min(sum(peer.located.values()), PENDING_BYTES_MAX)
        return Answer(tuple(blocks), tuple(presences), pending_bytes)

    def forget(self, peer_id: PeerId) -> None:
        """Free all that is held for a peer."""
        if peer := self._peers.pop(peer_id, None):
            self._end(peer_id, peer, peer.wants)

    def wants_of(self, peer_id: PeerId) -> tuple[CID, ...]:
        """Return what a peer waits for."""
        peer = self._peers.get(peer_id)
        return tuple(peer.wants) if peer else ()

    @property
    def peer_count(self) -> int:
        """How many peers anything is held for."""
        return len(self._peers)

    def _end(self, peer_id: PeerId, peer: _Peer, cids: Iterable[CID]) -> None:
        for cid in cids:
            peer.located.pop(cid, None)
            peer.absent.pop(cid, None)
            if wanting := self._wanting.get(cid):
                wanting.discard(peer_id)
                if not wanting:
                    del self._wanting[cid]
