"""The answering side: from what peers want and what the store holds, what to tell whom next.

    receive(peer, message) -> CIDs --(the store is asked)--> locate(peer, sizes)
    take_presences(peer) -> who has what     take_blocks(peer) -> Answer --(they are read)--> blocks

Does no I/O: sizes come in, names of blocks go out. What is taken counts as answered. Presences
are taken apart from blocks, so that a word never waits for a megabyte.
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
    """What to send one peer next: blocks to read from the store, most urgent first.

    size_bytes:     of the blocks
    pending_bytes:  what is ready for the peer beyond this answer
    """

    blocks: tuple[Want, ...]
    size_bytes: int
    pending_bytes: int


@dataclass(slots=True)
class _Peer:
    """One peer's wants, and those of them that can be answered now: by a block, or by a word."""

    wants: Wantlist = field(default_factory=Wantlist)
    ready: dict[CID, int] = field(default_factory=dict)
    told: dict[CID, PresenceType] = field(default_factory=dict)

    def found(self, want: Want, size_bytes: int) -> None:
        if want.want_type is WantType.BLOCK or size_bytes <= INLINE_BYTES_MAX:
            self.told.pop(want.cid, None)
            self.ready[want.cid] = size_bytes
        else:
            self.told[want.cid] = PresenceType.HAVE

    def missed(self, want: Want) -> None:
        is_found = want.cid in self.ready or self.told.get(want.cid) is PresenceType.HAVE
        if want.send_dont_have and not is_found:
            self.told[want.cid] = PresenceType.DONT_HAVE


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
            # What was about to be said is no answer to a want that is located anew.
            peer.told.pop(want.cid, None)
            self._wanting.setdefault(want.cid, set()).add(peer_id)
        return tuple(want.cid for want in asked)

    def locate(self, peer_id: PeerId, sizes: Mapping[CID, int | None]) -> None:
        """Take the sizes of blocks that a peer asked for, None for one that the store lacks."""
        peer = self._peers.get(peer_id)
        if peer is None:
            return
        for cid, size_bytes in sizes.items():
            want = peer.wants.get(cid)
            if want is None:
                continue
            if size_bytes is None:
                peer.missed(want)
            else:
                peer.found(want, size_bytes)

    def add(self, sizes: Mapping[CID, int]) -> set[PeerId]:
        """Take what the store has just received; return the peers that it concerns."""
        concerned = set()
        for cid, size_bytes in sizes.items():
            for peer_id in self._wanting.get(cid, ()):
                peer = self._peers[peer_id]
                want = peer.wants.get(cid)
                assert want is not None, "whoever is wanting has the want"
                peer.found(want, size_bytes)
                concerned.add(peer_id)
        return concerned

    def take_presences(self, peer_id: PeerId) -> tuple[Presence, ...]:
        """Return what to tell the peer of who has what."""
        peer = self._peers.get(peer_id)
        if peer is None:
            return ()
        presences = tuple(Presence(cid, told) for cid, told in peer.told.items())
        peer.told.clear()
        for presence in presences:
            if presence.presence_type is PresenceType.HAVE:
                self._answered(peer_id, peer, presence.cid)
        return presences

    def take_blocks(self, peer_id: PeerId, *, bytes_max: int = ANSWER_BYTES_MAX) -> Answer | None:
        """Return the blocks to send next, by priority, or None if there are none to send.

        Up to `bytes_max`, though always one.
        """
        peer = self._peers.get(peer_id)
        if peer is None or not peer.ready:
            return None
        wants = [want for cid in peer.ready if (want := peer.wants.get(cid))]
        wants.sort(key=lambda want: -want.priority)
        blocks: list[Want] = []
        taken_bytes = 0
        for want in wants:
            size_bytes = peer.ready[want.cid]
            if not blocks or taken_bytes + size_bytes <= bytes_max:
                blocks.append(want)
                taken_bytes += size_bytes
                self._answered(peer_id, peer, want.cid)
        return Answer(tuple(blocks), taken_bytes, self.pending_bytes(peer_id))

    def has_blocks(self, peer_id: PeerId) -> bool:
        """Whether there are blocks to send to a peer."""
        peer = self._peers.get(peer_id)
        return peer is not None and bool(peer.ready)

    def pending_bytes(self, peer_id: PeerId) -> int:
        """Return the size of the blocks that there are to send to a peer."""
        peer = self._peers.get(peer_id)
        return min(sum(peer.ready.values()), PENDING_BYTES_MAX) if peer else 0

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

    def _answered(self, peer_id: PeerId, peer: _Peer, cid: CID) -> None:
        peer.wants.remove(cid)
        self._end(peer_id, peer, (cid,))

    def _end(self, peer_id: PeerId, peer: _Peer, cids: Iterable[CID]) -> None:
        for cid in cids:
            peer.ready.pop(cid, None)
            peer.told.pop(cid, None)
            if wanting := self._wanting.get(cid):
                wanting.discard(peer_id)
                if not wanting:
                    del self._wanting[cid]
