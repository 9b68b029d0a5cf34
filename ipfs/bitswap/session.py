"""The asking side of one fetch: which peer to ask for which block, and whom next if it fails.

    a want, nobody known to have it --WANT-HAVE to all--> one says HAVE --WANT-BLOCK to it--> block

A peer that said HAVE or sent a block of this session is asked for further blocks directly, and
so is a lone peer. DONT_HAVE moves one want on; silence, a lie or a cut connection drops the peer
and moves on all that it was asked. A slow peer that keeps sending is not silent.

Does no I/O and reads no clock: time is an argument.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Final, NamedTuple

from ipfs.bitswap.messages import PRIORITY_MAX, Message, PresenceType, Want, WantType
from ipfs.block import Block
from ipfs.cid import CID
from ipfs.host import NetworkError
from ipfs.p2p.peer_id import PeerId

REQUESTS_PER_PEER_MAX: Final = 64
"""Blocks asked of one peer at a time: 16 MiB of usual leaves, a second of a fast link."""

PASSED_OVER_MAX: Final = 2 * REQUESTS_PER_PEER_MAX
"""A want goes to the next peer when this one has sent so many later blocks before it."""

DONT_HAVE: Final = "dont-have"
STALLED: Final = "stalled"
"""What `answers` says of peers, besides the codes of their errors."""


class BlockUnavailable(NetworkError):
    """No peer of the session has given the block, and none is left to be asked for it.

    answers: what each peer came to: a code
    """

    code = "block-unavailable"

    def __init__(self, cid: CID, answers: Mapping[PeerId, str]) -> None:
        told = ", ".join(f"{peer_id}: {answer}" for peer_id, answer in answers.items())
        super().__init__(f"nobody gave {cid} ({told or 'there was nobody to ask'})")
        self.cid = cid
        self.answers = dict(answers)


class _Request(NamedTuple):
    """When a peer was asked, and how many blocks it had sent by then."""

    asked_at_s: float
    after_blocks: int


@dataclass(slots=True)
class _Peer:
    """asked: what it owes an answer to, oldest first."""

    heard_at_s: float
    blocks_sent: int = 0
    asked: dict[CID, _Request] = field(default_factory=dict)
    is_promising: bool = False

    def ask(self, cid: CID, now_s: float) -> None:
        # A peer that has not answered whether it has the block owes that answer still.
        self.asked.setdefault(cid, _Request(now_s, self.blocks_sent))

    @property
    def silent_since_s(self) -> float:
        """The moment it began to owe something without saying anything."""
        return max(self.heard_at_s, next(iter(self.asked.values())).asked_at_s)

    @property
    def passed_over(self) -> list[CID]:
        """What it owes while it sends what it was asked for later."""
        due = self.blocks_sent - PASSED_OVER_MAX
        return list(takewhile(lambda cid: self.asked[cid].after_blocks <= due, self.asked))


@dataclass(slots=True)
class _Wanted:
    """One block we want. holder: who was asked for it; the rest: what peers said of it."""

    priority: int
    holder: PeerId | None = None
    contacted: set[PeerId] = field(default_factory=set)
    having: set[PeerId] = field(default_factory=set)
    lacking: dict[PeerId, str] = field(default_factory=dict)


class Session:
    """Wants, the peers that may have them, and what was asked of whom."""

    def __init__(self, *, idle_timeout_s: float) -> None:
        self._idle_timeout_s = idle_timeout_s
        self._peers: dict[PeerId, _Peer] = {}
        self._wanted: dict[CID, _Wanted] = {}
        self._requests: list[tuple[PeerId, Want]] = []
        self._next_priority = PRIORITY_MAX
        self.dropped: dict[PeerId, str] = {}

    def add_peer(self, peer_id: PeerId, now_s: float) -> bool:
        """Ask this peer too; return False for one that is in already, or was dropped."""
        if peer_id in self._peers or peer_id in self.dropped:
            return False
        self._peers[peer_id] = _Peer(heard_at_s=now_s)
        self._dispatch(now_s)
        return True

    def want(self, cids: Iterable[CID], now_s: float) -> None:
        """Want these blocks, the first ones most."""
        for cid in cids:
            if cid not in self._wanted:
                self._wanted[cid] = _Wanted(self._next_priority)
                self._next_priority = max(1, self._next_priority - 1)
        self._dispatch(now_s)

    def abandon(self, cids: Iterable[CID]) -> None:
        """Want these blocks no more."""
        for cid in tuple(cids):
            if wanted := self._wanted.pop(cid, None):
                self._cancel(cid, wanted.contacted)

    def receive(self, peer_id: PeerId, message: Message, now_s: float) -> list[Block]:
        """Take what a peer says; return the blocks in it that we wanted, whoever was asked."""
        peer = self._peers.get(peer_id)
        arrived = []
        for block in message.blocks:
            wanted = self._wanted.pop(block.cid, None)
            if wanted is not None:
                arrived.append(block)
                self._cancel(block.cid, wanted.contacted - {peer_id})
            if peer is not None:
                peer.is_promising = True
                if peer.asked.pop(block.cid, None) is not None:
                    peer.heard_at_s = now_s
                    peer.blocks_sent += 1
        if peer is not None:
            for presence in message.presences:
                self._hear(peer_id, presence.cid, presence.presence_type, now_s)
            for cid in peer.passed_over:
                self._lacks(peer_id, cid, STALLED)
                self._cancel(cid, {peer_id})
        self._dispatch(now_s)
        return arrived

    def drop_peer(self, peer_id: PeerId, reason: str, now_s: float) -> None:
        """Ask this peer no more; what it owes goes to others."""
        self._drop(peer_id, reason)
        self._dispatch(now_s)

    def expire(self, now_s: float) -> None:
        """Drop the peers that owe something and have said nothing for too long."""
        silent = [
            peer_id
            for peer_id, peer in self._peers.items()
            if peer.asked and now_s >= peer.silent_since_s + self._idle_timeout_s
        ]
        for peer_id in silent:
            self._drop(peer_id, STALLED)
        self._dispatch(now_s)

    @property
    def deadline_s(self) -> float | None:
        """When to call `expire` next; None while nobody owes us anything."""
        since_s = (peer.silent_since_s for peer in self._peers.values() if peer.asked)
        earliest_s = min(since_s, default=None)
        return None if earliest_s is None else earliest_s + self._idle_timeout_s

    def take_requests(self) -> list[tuple[PeerId, Want]]:
        """Return what to ask of whom since the last call."""
        requests, self._requests = self._requests, []
        return requests

    def hopeless(self) -> list[CID]:
        """Return the wants that no peer of the session is left to be asked for."""
        return [
            cid
            for cid, wanted in self._wanted.items()
            if all(peer_id in wanted.lacking for peer_id in self._peers)
        ]

    def answers(self, cid: CID) -> dict[PeerId, str]:
        """Return what each peer came to, for a block that is wanted: a code for each."""
        wanted = self._wanted[cid]
        return {**self.dropped, **{peer: wanted.lacking.get(peer, "asked") for peer in self._peers}}

    def _drop(self, peer_id: PeerId, reason: str) -> None:
        peer = self._peers.pop(peer_id, None)
        if peer is None:
            return
        self.dropped[peer_id] = reason
        self._requests += ((peer_id, Want(cid, cancel=True)) for cid in peer.asked)
        for wanted in self._wanted.values():
            if wanted.holder == peer_id:
                wanted.holder = None

    def _hear(self, peer_id: PeerId, cid: CID, presence_type: PresenceType, now_s: float) -> None:
        peer, wanted = self._peers[peer_id], self._wanted.get(cid)
        is_holder = wanted is not None and wanted.holder == peer_id
        if presence_type is PresenceType.HAVE and is_holder:
            # It was asked for the block itself: to promise it again is no answer.
            return
        if peer.asked.pop(cid, None) is not None:
            peer.heard_at_s = now_s
        if presence_type is PresenceType.DONT_HAVE:
            self._lacks(peer_id, cid, DONT_HAVE)
        else:
            peer.is_promising = True
            if wanted is not None:
                wanted.having.add(peer_id)

    def _lacks(self, peer_id: PeerId, cid: CID, answer: str) -> None:
        self._peers[peer_id].asked.pop(cid, None)
        if wanted := self._wanted.get(cid):
            wanted.lacking[peer_id] = answer
            wanted.having.discard(peer_id)
            if wanted.holder == peer_id:
                wanted.holder = None

    def _dispatch(self, now_s: float) -> None:
        """Ask for every want that nobody is being asked for, as far as there is room."""
        for cid, wanted in self._wanted.items():
            if wanted.holder is not None:
                continue
            candidates = [peer for peer in self._peers if peer not in wanted.lacking]
            known = [
                peer
                for peer in candidates
                if peer in wanted.having or self._peers[peer].is_promising or len(candidates) == 1
            ]
            if not known:
                for peer in candidates:
                    if peer not in wanted.contacted:
                        self._ask(peer, cid, wanted, WantType.HAVE, now_s)
                continue
            free = [p for p in known if len(self._peers[p].asked) < REQUESTS_PER_PEER_MAX]
            if free:
                wanted.holder = min(
                    free, key=lambda p: (p not in wanted.having, len(self._peers[p].asked))
                )
                self._ask(wanted.holder, cid, wanted, WantType.BLOCK, now_s)

    def _ask(
        self, peer_id: PeerId, cid: CID, wanted: _Wanted, want_type: WantType, now_s: float
    ) -> None:
        self._peers[peer_id].ask(cid, now_s)
        wanted.contacted.add(peer_id)
        want = Want(cid, wanted.priority, want_type, send_dont_have=True)
        self._requests.append((peer_id, want))

    def _cancel(self, cid: CID, peer_ids: Iterable[PeerId]) -> None:
        for peer_id in peer_ids:
            if peer := self._peers.get(peer_id):
                peer.asked.pop(cid, None)
            self._requests.append((peer_id, Want(cid, cancel=True)))
