"""The ledger node: admits messages, closes one block an epoch, answers what it is asked."""

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Final, TypeVar
from weakref import WeakValueDictionary

from chain.account import Account
from chain.apply import admit, apply, charge
from chain.beacon import DrandBeacon
from chain.block import Genesis, LedgerBlock, Receipt, SignedHeader
from chain.closing import LedgerKeys, is_after_gap, settle, tree_after
from chain.config import DrandSettings, LedgerConfig
from chain.disk import locked
from chain.drand import DrandClient
from chain.errors import Expired, LedgerError, NotFound, ProofUnverified
from chain.genesis import open_chain
from chain.http import serving
from chain.invariants import violations_of
from chain.keys import Address
from chain.mempool import Mempool, Pending
from chain.messages import Message, SignedMessage
from chain.policy import POLICIES
from chain.pulse import DrandPulses, OwnPulses, Pulse, Pulses
from chain.randomness import drawn_from
from chain.sql_ledger import SqlLedger
from chain.sqlite import DatabaseDamaged, DatabaseFull
from chain.store import LedgerStore, database_url
from chain.submission import Submission
from chain.units import Epoch
from chain.verdicts import Answers, Question, holds
from chain.view import Draft, Judge, LedgerView
from ipfs.block import Block
from ipfs.cid import CID
from proofs.porep import PorepStatement

VERDICTS_KNOWN_MAX: Final = 65_536
DROPPED_KNOWN_MAX: Final = 65_536

Answer = TypeVar("Answer")
Key = TypeVar("Key")
Value = TypeVar("Value")
log = logging.getLogger(__name__)


def wall_clock_milliseconds() -> int:
    """Return the time as blocks are stamped with it."""
    return time.time_ns() // 1_000_000


def _unasked(question: Question) -> bool:
    raise AssertionError(f"reading the state judges no proof: {question}")


_NO_JUDGE: Final = Answers(_unasked)


class LedgerNode:
    """A ledger in this process: admits messages and closes the epochs (`LocalLedger` asks it).

    store:   holds a chain that has begun; `DatabaseDamaged` if its state is another
    pulses:  its time and randomness, as the genesis says; None: by its own clock and key
    clock:   milliseconds since 1970

    The event loop owns what is waiting; one thread at a time writes. What was committed is all
    there is after a crash: a message that was only admitted is sent again by its sender.
    """

    def __init__(
        self,
        store: LedgerStore,
        keys: LedgerKeys,
        *,
        pulses: Pulses | None = None,
        clock: Callable[[], int] = wall_clock_milliseconds,
    ) -> None:
        self._store = store
        self._keys = keys
        with store.reading() as ledger:
            genesis = ledger.genesis()
            assert genesis is not None, "a node is made on a chain that has begun"
            self._genesis = genesis
            self._head = ledger.head()
            self._tree = ledger.state_tree()
        if self._tree.root() != self._head.header.state_root:
            raise DatabaseDamaged(str(store), "its state is not what its newest block signs")
        self._pulses = pulses or OwnPulses(genesis, keys, clock)
        self._mempool = Mempool()
        self._known: OrderedDict[Question, bool] = OrderedDict()
        self._dropped: OrderedDict[CID, SignedMessage] = OrderedDict()
        self._writer = ThreadPoolExecutor(max_workers=1, thread_name_prefix="blocks")
        # Apart: an answer to an open window never waits for a proof of replication.
        self._window_verifier = ThreadPoolExecutor(max_workers=1, thread_name_prefix="windows")
        self._replication_verifier = ThreadPoolExecutor(max_workers=1, thread_name_prefix="porep")
        self._turns = WeakValueDictionary[tuple[Address, str], asyncio.Lock]()
        self._admitting = asyncio.Lock()
        self._news = asyncio.Event()
        self._full: DatabaseFull | None = None

    @property
    def genesis(self) -> Genesis:
        """Return where the chain began."""
        return self._genesis

    @property
    def head(self) -> SignedHeader:
        """Return the newest block's header."""
        return self._head

    async def run(self) -> None:
        """Close one block an epoch, for ever; none while there is no room for it."""
        while True:
            await self._pulses.due(self._head.header)
            try:
                await self.close_epoch()
            except DatabaseFull as error:
                log.warning("no block was closed: %s", error)

    async def close_epoch(self) -> LedgerBlock:
        """Close the next epoch with what is waiting; return its block, which is durable.

        Raises `DatabaseFull`: nothing has changed, and what waits goes on waiting.
        """
        pulse = await self._pulses.next(self._head.header)
        async with self._admitting:
            offered = self._mempool.next_block()
            senders = {pending.signed.message.sender for pending in self._mempool}
            loop = asyncio.get_running_loop()
            try:
                block = await loop.run_in_executor(self._writer, self._close, offered, pulse)
            except DatabaseFull as error:
                self._full = error
                raise
            self._full = None
            nonces = await self.read(
                lambda view: {sender: view.account(sender).nonce for sender in senders}
            )
            for signed in self._mempool.settle(nonces, epoch=Epoch(block.header.epoch + 1)):
                log.warning("message %s was dropped: it can't enter any block", signed.id)
                _remember(self._dropped, signed.id, signed, DROPPED_KNOWN_MAX)
            self._head = block.signed_header
        self._news.set()
        self._news = asyncio.Event()
        return block

    async def head_after(self, epoch: int) -> SignedHeader:
        """Return the newest header as soon as it is of a later epoch than this."""
        while self._head.header.epoch <= epoch:
            await self._news.wait()
        return self._head

    async def submit(self, message: SignedMessage, proofs: Sequence[Block] = ()) -> CID:
        """Admit a message and return its id; proofs are checked first, off the event loop.

        Raises the `LedgerError` for which it could not enter the next block, `DatabaseFull` if
        there was no room for the last one.
        """
        if self._full is not None:
            raise DatabaseFull(self._full.database)
        proofs = Submission.of(message, proofs).proof_blocks(self._genesis.policy)
        pending = Pending(message, proofs)
        async with self._turn_to_prove(message.message) if proofs else nullcontext():
            if proofs and not await self._is_known(message.id):
                pending = replace(pending, is_urgent=await self._verify(pending))
            async with self._admitting:
                if not await self._is_known(message.id):
                    waiting = self._waiting(message.message.sender)
                    nonce = await self.read(lambda view: _admitted_nonce(view, message, waiting))
                    self._mempool.add(pending, account_nonce=nonce)
        return message.id

    async def leaves_mempool(self, message_id: CID) -> None:
        """Return as soon as the message does not wait for a block, or not any more."""
        while message_id in self._mempool:
            await self._news.wait()

    async def receipt(self, message_id: CID) -> Receipt:
        """Wait for the message's receipt, which means durable.

        Raises `Expired` if it can't enter any block any more, `NotFound` if nobody sent it.
        """
        await self.leaves_mempool(message_id)
        return await self.read(lambda view: self._receipt(view, message_id))

    async def read(
        self, question: Callable[[SqlLedger], Answer], *, judge: Judge = _NO_JUDGE
    ) -> Answer:
        """Ask something of the state as the next block will find it, off the event loop."""
        return await asyncio.to_thread(self._read_now, question, judge)

    def next_nonce(self, account: Account) -> int:
        """Return the nonce that an account's next message must carry, after those that wait."""
        return self._mempool.next_nonce(account.address, account.nonce)

    def close(self) -> None:
        """Wait for the block under way, then stop; nothing is asked of the node after that."""
        self._writer.shutdown()
        self._window_verifier.shutdown()
        self._replication_verifier.shutdown()

    def _close(self, offered: Sequence[Pending], pulse: Pulse) -> LedgerBlock:
        policy, chain_id = self._genesis.policy, self._genesis.chain_id
        parent = self._head
        epoch = Epoch(parent.header.epoch + 1)
        bytes_of = {proof.cid: proof.data for pending in offered for proof in pending.proofs}
        answers = Answers(self._verified)
        with self._store.transaction() as ledger:
            drawn = drawn_from(pulse.signature)
            view = SqlLedger(ledger, self._genesis, epoch, judge=answers, beacon=drawn)
            settled = settle(
                view,
                (pending.signed for pending in offered),
                is_after_gap=is_after_gap(policy, parent.header, pulse.timestamp_milliseconds),
            )
            broken = list(violations_of(view, settled.transition))
            assert not broken, f"block {epoch} would break the ledger: {broken}"
            view.write(settled.transition)
            tree, state_root = self._tree, parent.header.state_root
            if settled.changes:
                tree = tree_after(tree, settled.transition)
                state_root = tree.root()
            header = self._keys.seal_header(
                settled,
                answers.verdicts,
                chain_id=chain_id,
                parent=parent,
                timestamp_milliseconds=pulse.timestamp_milliseconds,
                beacon=pulse.signature,
                state_root=state_root,
            )
            block = LedgerBlock(
                signed_header=header,
                messages=settled.messages,
                receipts=settled.receipts,
                verdicts=answers.verdicts,
            )
            ledger.append(block)
            # Whatever nobody asked about decided nothing, and nobody will check it again.
            judged = {verdict.proof_cid for verdict in answers.verdicts}
            kept = [Block(cid, bytes_of[cid]) for cid in judged & bytes_of.keys()]
            kept_epochs = policy.proofs_kept_periods * policy.proving_period_epochs
            ledger.keep_proofs(kept, until=Epoch(epoch + kept_epochs))
            ledger.drop_proofs(before=epoch)
        self._tree = tree
        return block

    def _verified(self, question: Question) -> bool:
        # A block that verified proofs itself could be held up for minutes by who sends many early.
        if question not in self._known:
            raise ProofUnverified
        return self._known[question]

    def _waiting(self, sender: Address) -> tuple[Message, ...]:
        return tuple(pending.signed.message for pending in self._mempool.of(sender))

    def _turn_to_prove(self, message: Message) -> asyncio.Lock:
        """Return what lets a sender have one message's proofs of a kind verified at a time.

        So others' wait for one at most, and of many under the same nonce one is verified.
        """
        return self._turns.setdefault((message.sender, message.body.kind), asyncio.Lock())

    async def _is_known(self, message_id: CID) -> bool:
        if message_id in self._mempool:
            return True
        return await self.read(lambda view: view.transaction.receipt(message_id)) is not None

    async def _verify(self, pending: Pending) -> bool:
        """Check a message's proofs by what the next block would ask; return whether one holds."""
        waiting = self._waiting(pending.signed.message.sender)
        answers = Answers(lambda _: True)
        try:
            await self.read(
                lambda view: apply(_charged(view, waiting), pending.signed), judge=answers
            )
        except LedgerError:
            return False  # it can't enter: there is nothing to check, and admission says why
        bytes_of = {proof.cid: proof.data for proof in pending.proofs}
        verdicts = [await self._verdict(asked, bytes_of) for asked in answers.questions]
        return any(verdicts)

    async def _verdict(self, question: Question, bytes_of: dict[CID, bytes]) -> bool:
        verdict = self._known.get(question)
        if verdict is None:
            is_replication = isinstance(question.statement, PorepStatement)
            verdict = await asyncio.get_running_loop().run_in_executor(
                self._replication_verifier if is_replication else self._window_verifier,
                holds,
                question.statement,
                bytes_of[question.proof_cid],
            )
            _remember(self._known, question, verdict, VERDICTS_KNOWN_MAX)
        return verdict

    def _receipt(self, view: SqlLedger, message_id: CID) -> Receipt:
        found = view.transaction.receipt(message_id)
        if found is not None:
            return found
        dropped = self._dropped.get(message_id)
        if dropped is None:
            raise NotFound("message", message_id)
        raise Expired(
            "the message",
            expired_epoch=dropped.message.expires_epoch,
            current_epoch=self._head.header.epoch,
        )

    def _read_now(self, question: Callable[[SqlLedger], Answer], judge: Judge) -> Answer:
        with self._store.reading() as ledger:
            next_epoch = Epoch(ledger.head().header.epoch + 1)
            return question(SqlLedger(ledger, self._genesis, next_epoch, judge=judge))


def _admitted_nonce(view: LedgerView, signed: SignedMessage, waiting: Sequence[Message]) -> int:
    """Return the sender's nonce on the ledger, if a message may wait behind its others."""
    admit(_charged(view, waiting), signed)
    return view.account(signed.message.sender).nonce


def _charged(view: LedgerView, waiting: Sequence[Message]) -> Draft:
    """Return the view with the nonces and fees of waiting messages spent on top."""
    draft = Draft(view)
    for message in waiting:
        draft.write(charge(draft, message))
    return draft


def _remember(known: OrderedDict[Key, Value], key: Key, value: Value, limit: int) -> None:
    known[key] = value
    while len(known) > limit:
        known.popitem(last=False)


@asynccontextmanager
async def _opened(
    store: LedgerStore, config: LedgerConfig, folder: Path
) -> AsyncIterator[LedgerNode]:
    """Yield the node on the store's chain, which is begun as configured if there is none."""
    with store.reading() as ledger:
        begun = ledger.genesis()
    followed = config.followed.beacon if config.followed else None
    beacon = begun.beacon if begun else followed
    clock, policy = wall_clock_milliseconds, begun.policy if begun else POLICIES[config.policy]
    async with AsyncExitStack() as stack:
        pulses, published = None, None
        if isinstance(beacon, DrandBeacon):
            urls = (config.followed or DrandSettings()).urls
            client = await stack.enter_async_context(DrandClient(beacon.chain, urls))
            pulses = DrandPulses(beacon, policy, client, clock)
            published = None if begun else await pulses.first_round()
        keys = open_chain(
            store, config, folder=folder, timestamp_milliseconds=clock(), published=published
        )
        node = LedgerNode(store, keys, pulses=pulses, clock=clock)
        stack.callback(node.close)
        yield node


async def run_node(
    folder: Path, config: LedgerConfig, *, on_ready: Callable[[str], None] = log.info
) -> None:
    """Serve the ledger in a data folder until cancelled; begin its chain if there is none.

    on_ready:  called once, with the URL, when the node answers

    Raises `FolderLocked`, `KeysLost`, `KeyFileOpen`, `OtherSchema`, `DatabaseDamaged`;
    `OSError` if the port is taken.
    """
    from chain.api import create_app

    if not __debug__:
        raise RuntimeError("holdfast does not run under -O: its asserts guard money")
    with locked(folder):
        store = LedgerStore(database_url(folder, config.database_url))
        try:
            store.create_tables()
            async with (
                _opened(store, config, folder) as node,
                serving(
                    create_app(node),
                    host=config.host,
                    port=config.port,
                    allowed_hosts=config.allowed_hosts,
                ) as served_url,
            ):
                on_ready(served_url)
                await node.run()
        finally:
            store.close()
