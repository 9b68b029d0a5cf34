"""Messages that are admitted but in no block yet: in each sender's order, good proofs first."""

from collections import Counter, OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, takewhile
from typing import Final

from chain.errors import LedgerError, WrongNonce
from chain.keys import Address
from chain.messages import SignedMessage, item_count, spoken_for
from chain.units import Epoch
from ipfs.block import Block
from ipfs.cid import CID

MESSAGES_MAX: Final = 4_096
"""In each lane."""

MESSAGES_OF_SENDER_MAX: Final = 64
PROOF_BYTES_MAX: Final = 256 * 1024 * 1024
"""In each lane; the last message may pass it."""

PROOF_BYTES_OF_PROVIDER_MAX: Final = 64 * 1024 * 1024
"""In the lane of proofs; the last message may pass it."""

BLOCK_ITEMS_MAX: Final = 512
"""Of the ordinary lane, in one block, or of one message that has more: each takes milliseconds."""

COMPANY_ITEMS_MAX: Final = 64
"""What a sender said before its proof goes with it if it has no more items; proofs all go in."""


class MempoolFull(LedgerError):
    """More messages are waiting than are kept; send it again later."""

    code = "mempool-full"


@dataclass(frozen=True, slots=True)
class Pending:
    """A message and the proofs that came with it.

    is_urgent:  one of its proofs is waited for, and holds: it travels in the lane of proofs, which
                nobody can fill who has nothing to prove
    """

    signed: SignedMessage
    proofs: tuple[Block, ...] = ()
    is_urgent: bool = False

    @property
    def proof_bytes(self) -> int:
        """Return how long its proofs are together."""
        return sum(len(proof.data) for proof in self.proofs)

    @property
    def item_count(self) -> int:
        """Return how much there is to settle in it."""
        return item_count(self.signed.message.body)


@dataclass(slots=True)
class Mempool:
    """Every sender's messages, nonces without a gap, oldest first.

    Knows no balances: whether a message may come in at all was decided before.
    """

    _pending: OrderedDict[CID, Pending] = field(default_factory=OrderedDict)

    def __contains__(self, message_id: CID) -> bool:
        return message_id in self._pending

    def __iter__(self) -> Iterator[Pending]:
        return iter(self._pending.values())

    def next_nonce(self, sender: Address, account_nonce: int) -> int:
        """Return the nonce that the sender's next message must carry."""
        return max([account_nonce, *(p.signed.message.nonce + 1 for p in self.of(sender))])

    def add(self, pending: Pending, *, account_nonce: int) -> None:
        """Put a message behind its sender's others; the same again changes nothing.

        Raises `WrongNonce` on a gap or a used nonce, `MempoolFull`.
        """
        signed = pending.signed
        if signed.id in self._pending:
            return
        expected = self.next_nonce(signed.message.sender, account_nonce)
        if signed.message.nonce != expected:
            raise WrongNonce(expected=expected, found=signed.message.nonce)
        lane = [other for other in self if other.is_urgent == pending.is_urgent]
        of_sender = sum(1 for _ in self.of(signed.message.sender))
        if len(lane) >= MESSAGES_MAX or of_sender >= MESSAGES_OF_SENDER_MAX:
            raise MempoolFull("too many messages are waiting; send it again later")
        if pending.proofs and sum(other.proof_bytes for other in lane) >= PROOF_BYTES_MAX:
            raise MempoolFull("too many proofs are waiting; send it again later")
        provider_id = spoken_for(signed.message.body)
        of_provider = (p for p in lane if spoken_for(p.signed.message.body) == provider_id)
        if pending.is_urgent and (
            sum(other.proof_bytes for other in of_provider) >= PROOF_BYTES_OF_PROVIDER_MAX
        ):
            raise MempoolFull("too many proofs of this provider are waiting; send it again later")
        self._pending[signed.id] = pending

    def next_block(self) -> tuple[Pending, ...]:
        """Return what the next block takes: urgent ones, and of the rest what has least before it.

        A sender's messages before its proof go with it, for nonces leave no gap; a proof behind
        too many of them waits with them.
        """
        last_proof: dict[Address, int] = {}
        company: Counter[Address] = Counter()
        for pending in self:
            message = pending.signed.message
            if not pending.is_urgent:
                company[message.sender] += pending.item_count
            elif company[message.sender] <= COMPANY_ITEMS_MAX:
                last_proof[message.sender] = message.nonce
        urgent: list[Pending] = []
        rest: list[tuple[int, Pending]] = []
        waiting: Counter[Address] = Counter()
        for pending in self:
            message = pending.signed.message
            if message.nonce <= last_proof.get(message.sender, -1):
                urgent.append(pending)
            else:
                waiting[message.sender] += pending.item_count
                rest.append((waiting[message.sender], pending))
        # So a sender with much to say holds up itself.
        rest.sort(key=lambda queued: queued[0])
        return (*urgent, *_that_fit([pending for _, pending in rest]))

    def settle(self, nonces: dict[Address, int], *, epoch: Epoch) -> tuple[SignedMessage, ...]:
        """Forget what is in a block now, and what can't come into any; return the latter.

        nonces:  of the accounts of everyone who has messages here, after the block
        epoch:   the next block's
        """
        dropped: list[SignedMessage] = []
        expected = dict(nonces)
        for message_id, pending in list(self._pending.items()):
            message = pending.signed.message
            if message.nonce == expected[message.sender] and message.expires_epoch >= epoch:
                expected[message.sender] += 1
                continue
            del self._pending[message_id]
            if message.nonce >= nonces[message.sender]:
                dropped.append(pending.signed)
        return tuple(dropped)

    def of(self, sender: Address) -> Iterator[Pending]:
        """Yield a sender's messages, in the order of their nonces."""
        return (pending for pending in self if pending.signed.message.sender == sender)


def _that_fit(messages: Sequence[Pending]) -> Sequence[Pending]:
    """Return the first messages, as many as a block takes; one at least, if there is one."""
    totals = accumulate(pending.item_count for pending in messages)
    count = sum(1 for _ in takewhile(lambda total: total <= BLOCK_ITEMS_MAX, totals))
    return messages[: max(1, count)]
