"""Says to a peer what there is to say: words at once, blocks as upload allows."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass, field
from random import Random, SystemRandom
from typing import Final

from ipfs.bitswap.choking import REGULAR_SLOTS, Choker, no_priority
from ipfs.bitswap.connection import Link
from ipfs.bitswap.engine import ANSWER_BYTES_MAX, Answer, Engine
from ipfs.bitswap.messages import Message, Presence, PresenceType
from ipfs.bitswap.pace import Pace
from ipfs.block import Block
from ipfs.cid import CID
from ipfs.p2p.peer_id import PeerId

TURN_SECONDS: Final = 0.25
"""What one answer may take of a limited upload, so that unchoked peers are served side by side."""

QUEUED_SECONDS: Final = 5.0
"""How often a peer that has to wait is told what is queued for it: silence would mean stalled."""

Load = Callable[[Iterable[CID]], Awaitable[list[Block]]]
"""Returns those of the blocks that are stored."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadLimit:
    """How much is uploaded, and to whom first, where a node's upload is scarce.

    bytes_per_second:  of blocks, to all peers together
    regular_slots:     peers that are served at a time for what they gave; one more is drawn
    priority_of:       0 for most peers; more for a deal's client, or one that pays
    """

    bytes_per_second: float
    regular_slots: int = REGULAR_SLOTS
    priority_of: Callable[[PeerId], int] = no_priority
    random: Random = field(default_factory=SystemRandom)


class Upload:
    """Whose turn it is to be sent blocks, and when; without a limit, everybody's at once."""

    def __init__(self, limit: UploadLimit | None) -> None:
        self._choker: Choker | None = None
        self._pace: Pace | None = None
        self.answer_bytes_max = ANSWER_BYTES_MAX
        self._waiting: dict[PeerId, asyncio.Event] = {}
        if limit is not None:
            self._choker = Choker(
                random=limit.random,
                regular_slots=limit.regular_slots,
                priority_of=limit.priority_of,
            )
            turn_bytes = int(limit.bytes_per_second * TURN_SECONDS)
            self._pace = Pace(per_second=limit.bytes_per_second, burst=turn_bytes)
            self.answer_bytes_max = min(ANSWER_BYTES_MAX, turn_bytes)

    @contextlib.contextmanager
    def queued(self, peer_id: PeerId) -> Iterator[None]:
        """Let a peer be one of those that wait for blocks."""
        is_its_turn = self._waiting[peer_id] = asyncio.Event()
        self._decide()
        try:
            yield
        finally:
            # A peer that has come back may be queued anew before its old place is left.
            if self._waiting.get(peer_id) is is_its_turn:
                del self._waiting[peer_id]
            self._decide()

    async def turn(self, peer_id: PeerId) -> bool:
        """Return True when a queued peer is unchoked, False if it is not within a while."""
        if self._choker is not None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(QUEUED_SECONDS):
                    await self._waiting[peer_id].wait()
            return self._waiting[peer_id].is_set()
        return True

    async def pace(self, size_bytes: int) -> None:
        """Return when the line is free for so much."""
        if self._pace is not None:
            await asyncio.sleep(self._pace.spend(size_bytes, _now_s()))

    def received(self, peer_id: PeerId, size_bytes: int) -> None:
        """Take note of bytes that we wanted and a peer gave."""
        if self._choker is not None and size_bytes:
            self._choker.received(peer_id, size_bytes, _now_s())

    def forget(self, peer_id: PeerId) -> None:
        """Free all that is held for a peer."""
        if self._choker is not None:
            self._choker.forget(peer_id)

    async def run(self) -> None:
        """Decide anew whenever it is time; runs until cancelled, or as long as there is a limit."""
        while self._choker is not None:
            self._decide()
            await asyncio.sleep(max(0.0, self._choker.next_decision_s - _now_s()))

    def _decide(self) -> None:
        if self._choker is None:
            return
        unchoked = self._choker.decide(_now_s(), self._waiting)
        for peer_id, is_its_turn in self._waiting.items():
            if peer_id in unchoked:
                is_its_turn.set()
            else:
                is_its_turn.clear()


async def say_words(link: Link, engine: Engine) -> None:
    """Tell a peer what we want and who has what, until cancelled. Raises like `Lane.send`."""
    while True:
        await link.has_words.wait()
        link.has_words.clear()
        while (presences := engine.take_presences(link.peer_id)) or link.requests.has_unsent:
            await link.send_words(presences)


async def send_blocks(link: Link, engine: Engine, load: Load, upload: Upload) -> None:
    """Send a peer the blocks that it asked for, until cancelled. Raises like `Lane.send`."""
    while True:
        await link.has_blocks.wait()
        link.has_blocks.clear()
        if not engine.has_blocks(link.peer_id):
            continue
        with upload.queued(link.peer_id):
            while engine.has_blocks(link.peer_id):
                if not await upload.turn(link.peer_id):
                    pending_bytes = engine.pending_bytes(link.peer_id)
                    await link.send_blocks(Message(pending_bytes=pending_bytes))
                    continue
                answer = engine.take_blocks(link.peer_id, bytes_max=upload.answer_bytes_max)
                if answer is not None:
                    await upload.pace(answer.size_bytes)
                    await link.send_blocks(await _message(answer, load))


async def _message(answer: Answer, load: Load) -> Message:
    blocks = await load(want.cid for want in answer.blocks)
    present = {block.cid for block in blocks}
    gone = (
        Presence(want.cid, PresenceType.DONT_HAVE)
        for want in answer.blocks
        if want.send_dont_have and want.cid not in present
    )
    return Message(blocks=tuple(blocks), presences=tuple(gone), pending_bytes=answer.pending_bytes)


def _now_s() -> float:
    return asyncio.get_running_loop().time()
