"""Closing an epoch: what its block settles, and the header that commits to it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from chain import randomness
from chain.apply import advance_epoch, apply
from chain.block import Header, Receipt, SignedHeader, Verdict
from chain.errors import LedgerError
from chain.keys import SigningKey
from chain.merkle import StateTree, leaf_hash, root_of
from chain.messages import SignedMessage
from chain.policy import Policy
from chain.units import Epoch
from chain.view import Draft, LedgerView, Stored, Transition
from ipfs.record import Record
from proofs.bls import SecretKey


@dataclass(frozen=True, slots=True)
class Settled:
    """What one epoch settles.

    messages:  those that entered the block; `receipts` are theirs, in the same order
    """

    transition: Transition
    messages: tuple[SignedMessage, ...]
    receipts: tuple[Receipt, ...]

    @property
    def changes(self) -> bool:
        """Whether the state is another one after it."""
        return bool(self.transition.writes or self.transition.removes)


def settle(view: LedgerView, offered: Iterable[SignedMessage], *, is_after_gap: bool) -> Settled:
    """Let time pass to the view's epoch, then apply the messages in order.

    offered:       a message that can't be admitted any more is left out: it gets no receipt
    is_after_gap:  the ledger stood still before this epoch
    """
    draft = Draft(view)
    draft.write(advance_epoch(draft, is_after_gap=is_after_gap))
    messages: list[SignedMessage] = []
    receipts: list[Receipt] = []
    for signed in offered:
        try:
            outcome = apply(draft, signed)
        except LedgerError:
            continue
        draft.write(outcome.transition)
        messages.append(signed)
        receipts.append(outcome.receipt)
    return Settled(draft.transition(), tuple(messages), tuple(receipts))


def tree_after(tree: StateTree, transition: Transition) -> StateTree:
    """Return the tree over the state that a transition makes of `tree`'s."""
    records = ((entity.key, Stored(entity=entity).encode()) for entity in transition.writes)
    return tree.changed(records, removes=transition.removes)


def root_over(records: Sequence[Record]) -> bytes:
    """Return the Merkle root over records, in order."""
    return root_of([leaf_hash(record.encode()) for record in records])


def is_after_gap(policy: Policy, parent: Header, timestamp_milliseconds: int) -> bool:
    """Whether the ledger stood still too long for open windows: docs/protocols/ledger.md."""
    gap_milliseconds = timestamp_milliseconds - parent.timestamp_milliseconds
    return gap_milliseconds > policy.void_gap_epochs * policy.epoch_seconds * 1_000


@dataclass(frozen=True, slots=True)
class LedgerKeys:
    """What a ledger signs with: its blocks, and its beacon."""

    signing: SigningKey
    beacon: SecretKey

    def sign_beacon(self, chain_id: str, epoch: Epoch) -> bytes:
        """Return the beacon of an epoch: 96 bytes, the same however often it is asked."""
        return self.beacon.sign(randomness.beacon_message(chain_id, epoch))

    def seal_header(
        self,
        settled: Settled,
        verdicts: tuple[Verdict, ...],
        *,
        chain_id: str,
        parent: SignedHeader | None,
        timestamp_milliseconds: int,
        beacon: bytes,
        state_root: bytes,
    ) -> SignedHeader:
        """Return the signed header over what was settled on top of `parent`."""
        header = Header(
            chain_id=chain_id,
            epoch=Epoch(parent.header.epoch + 1 if parent else 0),
            timestamp_milliseconds=timestamp_milliseconds,
            parent=parent.header.cid if parent else None,
            beacon=beacon,
            message_root=root_over(settled.messages),
            receipt_root=root_over(settled.receipts),
            verdict_root=root_over(verdicts),
            state_root=state_root,
        )
        return SignedHeader.sign(header, self.signing)
