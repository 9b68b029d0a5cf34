"""The asking side of one fetch: which peer to ask for which block, and whom next if it fails.

    a want, nobody known to have it --WANT-HAVE to all--> one says HAVE --WANT-BLOCK to it--> block

Each peer is asked for what it gives in a second, so that the work is split by measured rate. A
peer with room takes, of the wants that nobody was asked for, the one that the fewest peers have;
who has what is learned from the answers to WANT-HAVE, which all peers are sent for wants that
have to wait. A peer that said HAVE or sent a block of this session may be asked directly even
for what it was not heard of, and so may a lone peer.

Towards the end, a peer with nothing left to do is asked for what the slowest owes, too; whoever
comes second is told to leave it. DONT_HAVE moves one want on; silence, a lie or a cut connection
drops the peer and moves on all that it was asked. A slow peer that keeps sending is not silent.
What strangers promised and did not give is asked of twice as many after each, so that a crowd of
them delays it by the logarithm of its size.

Does no I/O and reads no clock: time is an argument.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Final

from ipfs.bitswap.messages import PRIORITY_MAX, Message, PresenceType, Want, WantType
from ipfs.bitswap.supplier import Supplier
from ipfs.block import Block
from ipfs.cid import CID
from ipfs.host import NetworkError
from ipfs.p2p.peer_id import PeerId

COPIES_MAX: Final = 3
"""How many peers are asked for one block at the end."""

SPARE_REQUESTS_MAX: Final = 4
"""What a peer that has nothing left to do is asked for on top of another."""

COPIES_AFTER_STALLS_MAX: Final = 64
"""How many peers are asked for one block that strangers had promised and not given."""

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


@dataclass(slots=True)
class _Wanted:
    """One block we want. holders: who was asked for it; the rest: what peers said of it.

    stalls:  peers that never gave us anything and did not give this either
    """

    priority: int
    stalls: int = 0
    holders: set[PeerId] = field(default_factory=set)
    contacted: set[PeerId] = field(default_factory=set)
    having: set[PeerId] = field(default_factory=set)
    lacking: dict[PeerId, str] = field(default_factory=dict)


class Session:
    """Wants, the peers that may have them, and what was asked of whom."""

    def __init__(self, *, idle_timeout_s: float) -> None:
        self._idle_timeout_s = idle_timeout_s
        self._peers: dict[PeerId, Supplier] = {}
        self._wanted: dict[CID, _Wanted] = {}
        self._open: dict[CID, _Wanted] = {}
        self._unsurveyed: dict[CID, _Wanted] = {}
        self._doubted: dict[CID, _Wanted] = {}
        self._requests: list[tuple[PeerId, Want]] = []
        self._next_priority = PRIORITY_MAX
        self._is_ending = False
        self.dropped: dict[PeerId, str] = {}

    def add_peer(self, peer_id: PeerId, now_s: float) -> bool:
        """Ask this peer too; return False for one that is in already, or was dropped."""
        if peer_id in self._peers or peer_id in self.dropped:
            return False
        self._peers[peer_id] = Supplier(now_s)
        self._unsurveyed.update(self._open)
        self._dispatch(now_s)
        return True

    def readmit(self, peer_id: PeerId) -> None:
        """Let a peer that was dropped be added again, as one that has said nothing."""
        if self.dropped.pop(peer_id, None) is not None:
            for wanted in self._wanted.values():
                wanted.lacking.pop(peer_id, None)
                wanted.contacted.discard(peer_id)

    def want(self, cids: Iterable[CID], now_s: float, *, are_last: bool = False) -> None:
        """Want these blocks, the first ones most.

        are_last:  nothing more is known to be wanted, so that peers may be asked for what others
                   owe rather than be idle
        """
        self._is_ending = are_last
        for cid in cids:
            if cid not in self._wanted:
                self._wanted[cid] = _Wanted(self._next_priority)
                self._reopen(cid)
                self._next_priority = max(1, self._next_priority - 1)
        self._dispatch(now_s)

    def abandon(self, cids: Iterable[CID]) -> None:
        """Want these blocks no more."""
        for cid in tuple(cids):
            if wanted := self._forget(cid):
                self._cancel(cid, wanted.contacted)

    def receive(self, peer_id: PeerId, message: Message, now_s: float) -> list[Block]:
        """Take what a peer says; return the blocks in it that we wanted, whoever was asked."""
        peer = self._peers.get(peer_id)
        arrived = []
        for block in message.blocks:
            if wanted := self._forget(block.cid):
                arrived.append(block)
                self._cancel(block.cid, wanted.contacted - {peer_id})
            if peer is not None:
                peer.gave(block.cid, now_s)
        if peer is not None:
            if message.pending_bytes:
                peer.queues(now_s)
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
            if (since_s := peer.silent_since_s) is not None
            and now_s >= since_s + self._idle_timeout_s
        ]
        for peer_id in silent:
            self._drop(peer_id, STALLED)
        self._dispatch(now_s)

    @property
    def deadline_s(self) -> float | None:
        """When to call `expire` next; None while nobody owes us anything."""
        since_s = (peer.silent_since_s for peer in self._peers.values())
        earliest_s = min((it for it in since_s if it is not None), default=None)
        return None if earliest_s is None else earliest_s + self._idle_timeout_s

    def take_requests(self) -> list[tuple[PeerId, Want]]:
        """Return what to ask of whom since the last call."""
        requests, self._requests = self._requests, []
        return requests

    def hopeless(self) -> list[CID]:
        """Return the wants that no peer of the session is left to be asked for."""
        return [
            cid
            for cid, wanted in self._open.items()
            if all(peer_id in wanted.lacking for peer_id in self._peers)
        ]

    def answers(self, cid: CID) -> dict[PeerId, str]:
        """Return what each peer came to, for a block that is wanted: a code for each."""
        wanted = self._wanted[cid]
        return {**self.dropped, **{peer: wanted.lacking.get(peer, "asked") for peer in self._peers}}

    # What becomes of wants and peers.

    def _forget(self, cid: CID) -> _Wanted | None:
        self._open.pop(cid, None)
        self._unsurveyed.pop(cid, None)
        self._doubted.pop(cid, None)
        return self._wanted.pop(cid, None)

    def _reopen(self, cid: CID) -> None:
        self._open[cid] = self._unsurveyed[cid] = self._wanted[cid]

    def _drop(self, peer_id: PeerId, reason: str) -> None:
        peer = self._peers.pop(peer_id, None)
        if peer is None:
            return
        self.dropped[peer_id] = reason
        self._requests += ((peer_id, Want(cid, cancel=True)) for cid in peer.owed)
        for cid, wanted in self._wanted.items():
            wanted.having.discard(peer_id)
            if reason == STALLED and peer_id in wanted.holders and not peer.has_given:
                wanted.stalls += 1
                self._doubted[cid] = wanted
            self._release(cid, wanted, peer_id)

    def _hear(self, peer_id: PeerId, cid: CID, presence_type: PresenceType, now_s: float) -> None:
        peer, wanted = self._peers[peer_id], self._wanted.get(cid)
        is_holder = wanted is not None and peer_id in wanted.holders
        if presence_type is PresenceType.HAVE and is_holder:
            # It was asked for the block itself: to promise it again is no answer.
            return
        peer.answered(cid, now_s)
        if presence_type is PresenceType.DONT_HAVE:
            self._lacks(peer_id, cid, DONT_HAVE)
        else:
            peer.is_promising = True
            if wanted is not None:
                wanted.having.add(peer_id)

    def _lacks(self, peer_id: PeerId, cid: CID, answer: str) -> None:
        self._peers[peer_id].release(cid)
        if wanted := self._wanted.get(cid):
            wanted.lacking[peer_id] = answer
            wanted.having.discard(peer_id)
            self._release(cid, wanted, peer_id)

    def _release(self, cid: CID, wanted: _Wanted, peer_id: PeerId) -> None:
        if peer_id in wanted.holders:
            wanted.holders.discard(peer_id)
            if not wanted.holders:
                self._reopen(cid)

    # Whom to ask for what.

    def _dispatch(self, now_s: float) -> None:
        """Ask for every want that nobody is being asked for, as far as there is room."""
        free = {peer_id: peer.room(now_s) for peer_id, peer in self._peers.items()}
        while self._open and (free := {it: room for it, room in free.items() if room > 0}):
            peer_id = min(free, key=lambda it: self._peers[it].seconds_owed(now_s))
            cid = self._next_for(peer_id)
            free[peer_id] -= 1
            if cid is None:
                del free[peer_id]
            else:
                self._ask_block(peer_id, cid, now_s)
        self._survey(now_s)
        for cid, wanted in self._doubted.items():
            self._hedge(cid, wanted, now_s)
        if self._is_ending and not self._open:
            for peer_id, peer in self._peers.items():
                if peer.is_idle:
                    spare = islice(self._spare_for(peer_id, now_s), SPARE_REQUESTS_MAX)
                    for cid in dict.fromkeys(spare):
                        self._ask_block(peer_id, cid, now_s)

    def _hedge(self, cid: CID, wanted: _Wanted, now_s: float) -> None:
        """Ask more than one, as the promises of strangers were broken."""
        copies_max = min(1 << wanted.stalls, COPIES_AFTER_STALLS_MAX)
        for peer_id, peer in self._peers.items():
            if len(wanted.holders) >= copies_max:
                return
            may_ask = peer_id not in wanted.holders and self._may_ask(peer_id, wanted)
            if may_ask and peer.room(now_s):
                self._ask_block(peer_id, cid, now_s)

    def _next_for(self, peer_id: PeerId) -> CID | None:
        """Return the open want to ask this peer for: the rarest that it has, else the first."""
        if len(self._peers) == 1:
            may_ask = (cid for cid, it in self._open.items() if peer_id not in it.lacking)
            return next(may_ask, None)
        best: tuple[bool, int, int] | None = None
        best_cid = None
        for cid, wanted in self._open.items():
            if not self._may_ask(peer_id, wanted):
                continue
            rank = (peer_id not in wanted.having, len(wanted.having), -wanted.priority)
            if best is None or rank < best:
                best, best_cid = rank, cid
        return best_cid

    def _may_ask(self, peer_id: PeerId, wanted: _Wanted) -> bool:
        """Whether a peer may be asked for a block without being asked first if it has it."""
        return peer_id not in wanted.lacking and (
            self._peers[peer_id].is_promising or self._is_last_hope(wanted)
        )

    def _is_last_hope(self, wanted: _Wanted) -> bool:
        return sum(peer_id not in wanted.lacking for peer_id in self._peers) == 1

    def _survey(self, now_s: float) -> None:
        """Ask all who has the wants that have to wait."""
        for cid, wanted in self._unsurveyed.items():
            if cid not in self._open or self._is_last_hope(wanted):
                continue
            for peer_id in self._peers:
                if peer_id not in wanted.contacted:
                    self._ask(peer_id, cid, WantType.HAVE, now_s)
        self._unsurveyed.clear()

    def _spare_for(self, peer_id: PeerId, now_s: float) -> Iterator[CID]:
        """Yield what others owe and this peer may have, from what will take longest."""
        slowest = sorted(
            self._peers, key=lambda it: self._peers[it].seconds_owed(now_s), reverse=True
        )
        for holder in slowest:
            for cid in self._peers[holder].blocks_owed:
                wanted = self._wanted.get(cid)
                if (
                    wanted is not None
                    and len(wanted.holders) < COPIES_MAX
                    and peer_id not in wanted.holders
                    and self._may_ask(peer_id, wanted)
                ):
                    yield cid

    def _ask_block(self, peer_id: PeerId, cid: CID, now_s: float) -> None:
        self._open.pop(cid, None)
        self._wanted[cid].holders.add(peer_id)
        self._ask(peer_id, cid, WantType.BLOCK, now_s)

    def _ask(self, peer_id: PeerId, cid: CID, want_type: WantType, now_s: float) -> None:
        wanted = self._wanted[cid]
        self._peers[peer_id].ask(cid, want_type, now_s)
        wanted.contacted.add(peer_id)
        self._requests.append((peer_id, Want(cid, wanted.priority, want_type, send_dont_have=True)))

    def _cancel(self, cid: CID, peer_ids: Iterable[PeerId]) -> None:
        for peer_id in peer_ids:
            if peer := self._peers.get(peer_id):
                peer.release(cid)
            self._requests.append((peer_id, Want(cid, cancel=True)))
