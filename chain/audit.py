"""Replaying a ledger from its genesis: everything it ever said is found again, or it lied."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Protocol

from chain.accounts import genesis_transition
from chain.block import Genesis, LedgerBlock, Receipt, SignedHeader, Verdict
from chain.closing import Settled, is_after_gap, root_over, settle, tree_after
from chain.errors import LedgerError, ProofUnverified
from chain.invariants import violations, violations_of
from chain.merkle import StateTree
from chain.randomness import drawn_from
from chain.sqlite import DatabaseDamaged
from chain.store import LedgerStore, database_url
from chain.units import Epoch
from chain.verdicts import Answers, Question, holds
from chain.view import Entity, Judge, MemoryLedger, Statement, Transition
from ipfs.cid import CID
from ipfs.errors import PeerError
from proofs.errors import ProofRejected


class History(Protocol):
    """What a ledger has kept."""

    def genesis(self) -> Genesis | None:
        """Return where the chain began, None if it has not."""

    def head(self) -> SignedHeader:
        """Return the newest block's header."""

    def header(self, epoch: Epoch) -> SignedHeader:
        """Return an epoch's header. Raises `NotFound`."""

    def block(self, epoch: Epoch) -> LedgerBlock:
        """Return an epoch's block. Raises `NotFound`."""

    def receipt(self, message_id: CID) -> Receipt | None:
        """Return a message's receipt, None if it is in no block."""

    def receipt_count(self) -> int:
        """Return how many receipts there are."""

    def proof(self, cid: CID) -> bytes | None:
        """Return a proof's bytes, None if they are not kept."""

    def proofs(self) -> Iterator[tuple[CID, Epoch]]:
        """Yield the proofs whose bytes are kept, and until when."""

    def entities(self) -> Iterator[Entity]:
        """Yield the state after the newest block, in the order of the keys."""

    def damages(self) -> Iterator[str]:
        """Yield what of this is no ledger, whatever happened in it.

        Raises `DatabaseDamaged`, `PeerError`.
        """


class AuditFailed(Exception):
    """The ledger's history is not what its rules make of it."""

    code = "audit-failed"

    def __init__(self, epoch: Epoch, what: str) -> None:
        super().__init__(f"epoch {epoch}: {what}")
        self.epoch = epoch
        self.what = what


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditReport:
    """A history that holds.

    verdicts_checked:  on proofs whose bytes are still kept, verified again
    verdicts_trusted:  on proofs whose bytes are gone: the ledger's word
    """

    blocks: int
    messages: int
    verdicts_checked: int
    verdicts_trusted: int
    minted_atto: int
    state_root: bytes


def audit(history: History) -> AuditReport:
    """Replay everything and return what was found. Raises `AuditFailed` at the first difference."""
    epoch = Epoch(0)
    try:
        for damage in history.damages():
            raise AuditFailed(epoch, f"the store is damaged: {damage}")
        genesis = history.genesis()
        if genesis is None:
            raise AuditFailed(epoch, "there is no genesis")
        replay = _Replay(history, genesis)
        for number in range(history.head().header.epoch + 1):
            epoch = Epoch(number)
            replay.advance(epoch)
        return replay.finish(epoch)
    except (PeerError, LedgerError, DatabaseDamaged) as error:
        raise AuditFailed(epoch, f"the store can't be read: {error}") from error


def audit_folder(folder: Path, *, configured_url: str | None = None) -> AuditReport:
    """Audit the ledger of a node's data folder; it may be running.

    configured_url:  the `database_url` of its settings; None: SQLite in the folder

    Raises `AuditFailed`, `OtherSchema`.
    """
    store = LedgerStore(database_url(folder, configured_url))
    try:
        if not store.has_tables():
            raise AuditFailed(Epoch(0), f"there is no ledger at {store}")
        with store.reading() as history:
            report = audit(history)
    except DatabaseDamaged as error:
        raise AuditFailed(Epoch(0), str(error)) from error
    finally:
        store.close()
    if not store.is_as_closed():
        raise AuditFailed(
            Epoch(report.blocks - 1),
            f"{store} has changed since it was closed, where nothing is read: its disk decays",
        )
    return report


class _Testimony(Judge):
    """Answers as one block's verdicts say, checked where the bytes are still kept."""

    def __init__(self, history: History) -> None:
        self.checked_count = 0
        self.trusted_count = 0
        self._history = history
        self._epoch = Epoch(0)
        self._said: dict[tuple[bytes, CID], bool] = {}
        self._answers = Answers(self._answer)

    def hear(self, epoch: Epoch, verdicts: tuple[Verdict, ...]) -> None:
        """Take what a block says of its proofs."""
        self._epoch = epoch
        self._said = {(said.statement_digest, said.proof_cid): said.is_valid for said in verdicts}
        self._answers = Answers(self._answer)

    @property
    def verdicts(self) -> tuple[Verdict, ...]:
        """Return the answers given since, in the order in which they were asked."""
        return self._answers.verdicts

    def __call__(self, statement: Statement, proof_cid: CID) -> bool:
        """Whether the proof under this CID holds for the statement."""
        return self._answers(statement, proof_cid)

    def _answer(self, question: Question) -> bool:
        said = self._said.get((question.statement_digest, question.proof_cid))
        if said is None:
            raise ProofUnverified
        proof = self._history.proof(question.proof_cid)
        if proof is None:
            self.trusted_count += 1
            return said
        self.checked_count += 1
        if not question.proof_cid.matches(proof):
            raise AuditFailed(self._epoch, f"the bytes kept as {question.proof_cid} are others")
        if holds(question.statement, proof) != said:
            raise AuditFailed(
                self._epoch, f"the verdict on the proof {question.proof_cid} is wrong"
            )
        return said


class _Replay:
    def __init__(self, history: History, genesis: Genesis) -> None:
        self._history = history
        self._genesis = genesis
        self._parent: SignedHeader | None = None
        self._testimony = _Testimony(history)
        self._message_count = 0
        self._proofs_kept: dict[CID, Epoch] = {}
        self._tree = StateTree({})
        self._state_root = b""
        self._ledger = MemoryLedger(
            policy=genesis.policy,
            chain_id=genesis.chain_id,
            ledger=genesis.ledger_address,
            judge=self._testimony,
        )

    def advance(self, epoch: Epoch) -> None:
        """Replay one block. Raises `AuditFailed`."""
        block = self._history.block(epoch)
        _require(self._history.header(epoch) == block.signed_header, epoch, "two headers are kept")
        self._check_header(block.signed_header, epoch)
        self._testimony.hear(epoch, block.verdicts)
        self._ledger.at(epoch, drawn_from(block.header.beacon))
        settled = self._settle(block)
        _require(settled.messages == block.messages, epoch, "a message could not have entered")
        _require(settled.receipts == block.receipts, epoch, "a receipt says something else")
        _require(
            self._testimony.verdicts == block.verdicts, epoch, "a verdict that nobody asked for"
        )
        for receipt in block.receipts:
            kept = self._history.receipt(receipt.message_id)
            _require(kept == receipt, epoch, f"another receipt of {receipt.message_id} is kept")
        if settled.changes:
            self._change(settled.transition, epoch)
        header = block.header
        for root, what in (
            (root_over(block.messages) == header.message_root, "message root"),
            (root_over(block.receipts) == header.receipt_root, "receipt root"),
            (root_over(block.verdicts) == header.verdict_root, "verdict root"),
            (self._state_root == header.state_root, "state root"),
        ):
            _require(root, epoch, f"the {what} is of something else")
        self._message_count += len(block.messages)
        self._keep_proofs(block)
        self._parent = block.signed_header

    def finish(self, epoch: Epoch) -> AuditReport:
        """Compare the state that is kept with the one that was replayed. Raises `AuditFailed`."""
        for broken in violations(self._ledger):
            raise AuditFailed(epoch, broken)
        replayed = self._ledger.scan("")
        for kept, expected in zip_longest(self._history.entities(), replayed):
            name = (expected or kept).key
            _require(kept == expected, epoch, f"the state keeps another {name}")
        _require(
            self._history.receipt_count() == self._message_count, epoch, "receipts of no message"
        )
        _require(dict(self._history.proofs()) == self._proofs_kept, epoch, "other proofs are kept")
        return AuditReport(
            blocks=epoch + 1,
            messages=self._message_count,
            verdicts_checked=self._testimony.checked_count,
            verdicts_trusted=self._testimony.trusted_count,
            minted_atto=self._ledger.counters().minted_atto,
            state_root=self._state_root,
        )

    def _check_header(self, signed: SignedHeader, epoch: Epoch) -> None:
        header, genesis, parent = signed.header, self._genesis, self._parent
        earliest = genesis.earliest_milliseconds(parent.header if parent else None)
        _require(header.chain_id == genesis.chain_id, epoch, "of another chain")
        _require(header.epoch == epoch, epoch, f"the block kept here is of epoch {header.epoch}")
        _require(
            header.parent == (parent.header.cid if parent else None), epoch, "has another parent"
        )
        _require(header.timestamp_milliseconds >= earliest, epoch, "is older than its parent")
        _require(signed.is_signed_by(genesis.ledger_address), epoch, "the ledger did not sign it")
        try:
            genesis.verify_beacon(header)
        except ProofRejected as error:
            raise AuditFailed(epoch, f"the beacon is another: {error.reason}") from error

    def _settle(self, block: LedgerBlock) -> Settled:
        if self._parent is None:
            return Settled(genesis_transition(self._genesis), (), ())
        timestamp = block.header.timestamp_milliseconds
        gap = is_after_gap(self._genesis.policy, self._parent.header, timestamp)
        return settle(self._ledger, block.messages, is_after_gap=gap)

    def _keep_proofs(self, block: LedgerBlock) -> None:
        policy, epoch = self._genesis.policy, block.header.epoch
        until = Epoch(epoch + policy.proofs_kept_periods * policy.proving_period_epochs)
        self._proofs_kept |= {verdict.proof_cid: until for verdict in block.verdicts}
        self._proofs_kept = {
            cid: until for cid, until in self._proofs_kept.items() if until >= epoch
        }

    def _change(self, transition: Transition, epoch: Epoch) -> None:
        for broken in violations_of(self._ledger, transition):
            raise AuditFailed(epoch, broken)
        self._ledger.write(transition)
        self._tree = tree_after(self._tree, transition)
        self._state_root = self._tree.root()


def _require(is_so: bool, epoch: Epoch, what: str) -> None:
    if not is_so:
        raise AuditFailed(epoch, what)
