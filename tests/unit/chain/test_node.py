import asyncio
import random
import sqlite3
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy.exc import SQLAlchemyError

from chain import closing, mempool, node
from chain.audit import audit_folder
from chain.config import AllocationSettings, LedgerConfig
from chain.deal import DealState
from chain.disk import FolderLocked
from chain.errors import (
    Expired,
    InsufficientFunds,
    NotFound,
    WrongChain,
    WrongNonce,
    WrongSignature,
)
from chain.explain import Party
from chain.genesis import KEYS_NAME, KeysLost
from chain.messages import DrawFaucet, SignedMessage, Transfer, UpdateProvider
from chain.node import run_node
from chain.remote import RemoteLedger
from chain.store import DATABASE_NAME
from chain.submission import WrongProofs
from chain.units import Atto, Epoch, SectorNumber
from chain.verdicts import holds
from chain.view import LedgerView, Statement, Transition
from ipfs.block import Block
from ipfs.cid import CID, Codec
from tests.support.nodes import (
    SOME_ATTO,
    SealingProvider,
    key_of,
    stepped_ledger,
)

FAUCET = DrawFaucet(amount_atto=SOME_ATTO)


async def test_a_chain_begins_with_its_allocations(tmp_path: Path) -> None:
    alice = key_of("alice").address("thf")
    config = LedgerConfig(allocations=(AllocationSettings(address=alice, amount=Atto(7)),))
    with stepped_ledger(tmp_path, config) as on:
        assert on.epoch == 0
        assert (await on.ledger.sender(alice)).account.balance_atto == 7


async def test_a_block_is_signed_linked_and_drawn_from_the_ledgers_beacon(tmp_path: Path) -> None:
    with stepped_ledger(tmp_path) as on:
        first, second = await on.closes(), await on.closes()
        assert second.header.parent == first.header.cid
        assert [first.header.epoch, second.header.epoch] == [1, 2]
        assert second.signed_header.is_signed_by(on.node.genesis.ledger_address)
        assert first.header.beacon != second.header.beacon
        assert first.header.state_root == second.header.state_root, "nothing happened"


async def test_a_receipt_waits_for_its_block(tmp_path: Path) -> None:
    with stepped_ledger(tmp_path) as on:
        signed = await on.signed("alice", DrawFaucet(amount_atto=SOME_ATTO))
        await on.ledger.submit(signed)
        waiting = asyncio.create_task(on.ledger.receipt(signed.id))
        await asyncio.sleep(0)
        assert not waiting.done()
        block = await on.closes()
        assert (await waiting).epoch == block.header.epoch
        assert block.messages == (signed,)
        with pytest.raises(NotFound):
            await on.ledger.receipt(CID.of(Codec.RAW, b"never sent"))


async def test_the_same_message_again_is_no_error_and_pays_once(tmp_path: Path) -> None:
    with stepped_ledger(tmp_path) as on:
        await on.funds("alice")
        body = Transfer(to=on.address("bob"), amount_atto=Atto(5))
        signed = await on.signed("alice", body)
        await on.ledger.submit(signed)
        await on.ledger.submit(signed)
        await on.closes()
        assert await on.ledger.submit(signed) == signed.id
        await on.closes()
        assert (await on.ledger.sender(on.address("bob"))).account.balance_atto == 5


async def test_the_same_proof_handed_in_at_once_from_both_sides_is_taken_once(
    tmp_path: Path,
) -> None:
    with stepped_ledger(tmp_path / "ledger") as on:
        await on.funds("alice", "bob")
        bob = await SealingProvider.registers(on, "bob", tmp_path)
        number = await bob.seals(await bob.stores("alice"))
        await on.closes(on.node.genesis.policy.seed_delay_epochs)
        body, proof = await bob.replication_proof(number)
        message = await on.signed(bob.worker, body)
        submissions = (on.ledger.submit(message, [proof]) for _ in range(5))
        assert set(await asyncio.gather(*submissions)) == {message.id}
        assert (await on.closes()).messages == (message,)


async def test_a_senders_messages_keep_their_order_and_leave_no_gap(tmp_path: Path) -> None:
    with stepped_ledger(tmp_path) as on:
        await on.funds("alice")
        body = Transfer(to=on.address("bob"), amount_atto=Atto(1))
        with pytest.raises(WrongNonce):
            await on.ledger.submit(await on.signed("alice", body, nonce=2))
        sent = []
        for _ in range(3):
            sent.append(await on.signed("alice", body))
            await on.ledger.submit(sent[-1])
        with pytest.raises(WrongNonce):
            await on.ledger.submit(
                await on.signed("alice", DrawFaucet(amount_atto=Atto(1)), nonce=2)
            )
        block = await on.closes()
        assert list(block.messages) == sent
        assert (await on.ledger.sender(on.address("alice"))).next_nonce == 4


async def test_what_cannot_enter_a_block_is_refused_at_the_door(tmp_path: Path) -> None:
    with stepped_ledger(tmp_path) as on:
        await on.funds("alice")
        good = await on.signed("alice", Transfer(to=on.address("bob"), amount_atto=Atto(1)))
        forged = good.evolve(signature=bytes(64))
        foreign = SignedMessage.sign(good.message.evolve(chain_id="another"), key_of("alice"))
        late = SignedMessage.sign(good.message.evolve(expires_epoch=0), key_of("alice"))
        with pytest.raises(WrongSignature):
            await on.ledger.submit(forged)
        with pytest.raises(WrongChain):
            await on.ledger.submit(foreign)
        with pytest.raises(Expired):
            await on.ledger.submit(late)
        with pytest.raises(InsufficientFunds):
            await on.ledger.submit(
                await on.signed("poor", Transfer(to=on.address("bob"), amount_atto=Atto(1)))
            )
        assert (await on.closes()).messages == ()


async def test_waiting_messages_have_spent_their_fees(tmp_path: Path) -> None:
    with stepped_ledger(tmp_path) as on:
        fee_atto = on.node.genesis.policy.message_fee_atto
        await on.does("alice", DrawFaucet(amount_atto=Atto(2 * fee_atto)))
        body = Transfer(to=on.address("bob"), amount_atto=Atto(0))
        await on.ledger.submit(await on.signed("alice", body))
        await on.ledger.submit(await on.signed("alice", body))
        with pytest.raises(InsufficientFunds):
            await on.ledger.submit(await on.signed("alice", body))


async def test_a_message_that_can_enter_no_block_any_more_is_said_to_have_expired(
    tmp_path: Path,
) -> None:
    with stepped_ledger(tmp_path) as on:
        fee_atto = on.node.genesis.policy.message_fee_atto
        await on.does("bob", DrawFaucet(amount_atto=Atto(2 * fee_atto)))
        bob = await SealingProvider.registers(on, "bob", tmp_path)
        # One fee is left, and owner and worker both mean to spend it.
        spent = await on.signed("bob", Transfer(to=on.address("alice"), amount_atto=Atto(0)))
        await on.ledger.submit(spent)
        update = UpdateProvider(provider_id=bob.id, peer_id="elsewhere", addresses=())
        starved = await on.signed(bob.worker, update, expires_in=2)
        await on.ledger.submit(starved)
        assert (await on.closes()).messages == (spent,)
        await on.closes()
        with pytest.raises(Expired):
            await on.ledger.receipt(starved.id)


async def test_a_real_deal_is_sealed_proven_and_paid(tmp_path: Path) -> None:
    with stepped_ledger(tmp_path / "ledger") as on:
        await on.funds("alice", "bob")
        bob = await SealingProvider.registers(on, "bob", tmp_path)
        deal_id = await bob.stores("alice")
        assert (await on.ledger.explanation(deal_id)).whose_move is Party.PROVIDER
        number = await bob.seals(deal_id)
        await on.closes(on.node.genesis.policy.seed_delay_epochs)
        body, proof = await bob.replication_proof(number)
        await on.does(bob.worker, body, [proof])
        assert (await on.ledger.deal(deal_id)).state is DealState.ACTIVE
        answer, window_proof = await bob.window_answer(number)
        receipt = await on.does(bob.worker, answer, [window_proof])
        block = await on.ledger.block(receipt.epoch)
        assert [verdict.is_valid for verdict in block.verdicts] == [True]
        assert (await on.ledger.deal(deal_id)).paid_atto > 0
        assert await on.ledger.proof(window_proof.cid) == window_proof.data
        assert receipt.fee_atto == 0, "a valid proof's fee is returned"
        report = audit_folder(on.folder)
        assert (report.verdicts_checked, report.verdicts_trusted) == (2, 0)


async def test_a_proof_goes_in_and_is_refused_alone_when_its_bytes_lie(tmp_path: Path) -> None:
    with stepped_ledger(tmp_path / "ledger") as on:
        await on.funds("alice", "bob")
        bob = await SealingProvider.registers(on, "bob", tmp_path)
        number = await bob.seals(await bob.stores("alice"))
        await on.closes(on.node.genesis.policy.seed_delay_epochs)
        _, proof = await bob.replication_proof(number)
        forged = Block.of(Codec.RAW, proof.data[:-1] + bytes((proof.data[-1] ^ 1,)))
        message = await on.signed(bob.worker, bob.proves_with(number, forged))
        await on.ledger.submit(message, [forged])
        block = await on.closes()
        [receipt] = block.receipts
        assert [refusal.code for refusal in receipt.refusals] == ["proof-invalid"]
        assert [verdict.is_valid for verdict in block.verdicts] == [False]
        assert await on.ledger.proof(forged.cid) == forged.data, "the verdict can be checked"
        body, proof = await bob.replication_proof(number)
        await on.does(bob.worker, body, [proof])


async def test_a_proof_that_came_too_early_is_not_verified_by_the_block_that_takes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mempool, "BLOCK_ITEMS_MAX", 1)
    with stepped_ledger(tmp_path / "ledger") as on:
        for name in ("alice", "bob"):
            await on.funds(name)
        bob = await SealingProvider.registers(on, "bob", tmp_path)
        number = await bob.seals(await bob.stores("alice"))
        early = Block.of(Codec.RAW, b"made before its challenge was drawn")
        for nonce in range(on.node.genesis.policy.seed_delay_epochs):
            await on.ledger.submit(await on.signed(f"first in the queue {nonce}", FAUCET))
        message = await on.signed(bob.worker, bob.proves_with(number, early))
        await on.ledger.submit(message, [early])
        block = await on.closes(on.node.genesis.policy.seed_delay_epochs + 1)
        [receipt] = block.receipts
        assert receipt.message_id == message.id
        assert [refusal.code for refusal in receipt.refusals] == ["proof-unverified"]
        assert block.verdicts == ()
        audit_folder(on.folder)
        body, proof = await bob.replication_proof(number)
        await on.does(bob.worker, body, [proof])


async def test_of_many_proofs_under_one_nonce_one_is_verified(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    verified = []

    def counted(statement: Statement, proof: bytes) -> bool:
        verified.append(proof)
        return holds(statement, proof)

    monkeypatch.setattr(node, "holds", counted)
    with stepped_ledger(tmp_path / "ledger") as on:
        await on.funds("alice", "bob")
        bob = await SealingProvider.registers(on, "bob", tmp_path)
        number = await bob.seals(await bob.stores("alice"))
        await on.closes(on.node.genesis.policy.seed_delay_epochs)
        false = [Block.of(Codec.RAW, b"false %d" % index) for index in range(9)]
        messages = [await on.signed(bob.worker, bob.proves_with(number, proof)) for proof in false]
        answers = await asyncio.gather(
            *(on.ledger.submit(*said) for said in zip(messages, ([p] for p in false), strict=True)),
            return_exceptions=True,
        )
        assert len(verified) == 1
        refused = [answer for answer in answers if isinstance(answer, WrongNonce)]
        assert len(refused) == len(false) - 1


async def test_the_bytes_of_a_proof_that_nobody_asked_about_are_not_kept(tmp_path: Path) -> None:
    with stepped_ledger(tmp_path / "ledger") as on:
        await on.funds("alice", "bob", "stranger")
        bob = await SealingProvider.registers(on, "bob", tmp_path)
        junk = Block.of(Codec.RAW, b"junk" * 1_000)
        for name in ("stranger", bob.worker):
            await on.ledger.submit(
                await on.signed(name, bob.proves_with(SectorNumber(1), junk)), [junk]
            )
        block = await on.closes()
        assert [receipt.code for receipt in block.receipts] == ["not-allowed", None]
        assert block.verdicts == ()
        with pytest.raises(NotFound):
            await on.ledger.proof(junk.cid)
        audit_folder(on.folder)


async def test_proofs_that_are_not_those_named_are_refused(tmp_path: Path) -> None:
    with stepped_ledger(tmp_path / "ledger") as on:
        await on.funds("alice", "bob")
        bob = await SealingProvider.registers(on, "bob", tmp_path)
        named, other = Block.of(Codec.RAW, b"named"), Block.of(Codec.RAW, b"other")
        message = await on.signed(bob.worker, bob.proves_with(1, named))  # type: ignore[arg-type]
        for beside in ([], [other], [named, other]):
            with pytest.raises(WrongProofs):
                await on.ledger.submit(message, beside)


async def test_proofs_are_kept_for_two_periods_and_then_taken_on_trust(tmp_path: Path) -> None:
    with stepped_ledger(tmp_path / "ledger") as on:
        policy = on.node.genesis.policy
        await on.funds("alice", "bob")
        bob = await SealingProvider.registers(on, "bob", tmp_path)
        await bob.activates("alice")
        block = await on.ledger.block(on.epoch)
        [cid] = block.messages[0].message.proof_cids
        kept_epochs = policy.proofs_kept_periods * policy.proving_period_epochs
        await on.closes(kept_epochs)
        assert await on.ledger.proof(cid)
        await on.closes()
        with pytest.raises(NotFound):
            await on.ledger.proof(cid)
        report = audit_folder(on.folder)
        assert (report.verdicts_checked, report.verdicts_trusted) == (0, 1)


async def test_a_halt_voids_the_open_windows(tmp_path: Path) -> None:
    with stepped_ledger(tmp_path / "ledger") as on:
        policy = on.node.genesis.policy
        await on.funds("alice", "bob")
        bob = await SealingProvider.registers(on, "bob", tmp_path)
        _, number = await bob.activates("alice")
        await bob.window_answer(number)
        opened = (await bob.sector(number)).window_epoch
        on.clock.milliseconds += 1_000 * policy.epoch_seconds * policy.void_gap_epochs
        await on.closes()
        assert opened is not None
        redrawn = (await bob.sector(number)).window_epoch
        assert redrawn is not None
        assert redrawn > opened
        audit_folder(on.folder)


async def test_a_clock_set_back_makes_no_block_older_than_its_parent(tmp_path: Path) -> None:
    with stepped_ledger(tmp_path) as on:
        first = await on.closes()
        on.clock.milliseconds -= 3_600_000
        second = await on.closes()
        assert second.header.timestamp_milliseconds == first.header.timestamp_milliseconds
        audit_folder(on.folder)


async def test_a_restart_goes_on_from_the_last_block(tmp_path: Path) -> None:
    with stepped_ledger(tmp_path) as on:
        await on.funds("alice")
        head = on.node.head
        forgotten = await on.signed("alice", Transfer(to=on.address("bob"), amount_atto=Atto(1)))
        await on.ledger.submit(forgotten)
    with stepped_ledger(tmp_path, LedgerConfig(policy="laptop")) as on:
        assert on.node.head == head
        assert on.node.genesis.policy.name == "dev", "a chain that exists is never changed"
        with pytest.raises(NotFound):
            await on.ledger.receipt(forgotten.id)
        assert (await on.closes()).header.parent == head.header.cid
    (tmp_path / KEYS_NAME).unlink()
    with pytest.raises(KeysLost), stepped_ledger(tmp_path):
        pass


async def test_heads_are_the_newest_ones(tmp_path: Path) -> None:
    with stepped_ledger(tmp_path) as on:
        heads = on.ledger.heads()
        assert (await anext(heads)).header.epoch == 0
        await on.closes(3)
        assert (await anext(heads)).header.epoch == 3
        news = asyncio.ensure_future(anext(heads))
        await on.closes()
        assert (await news).header.epoch == 4
        with pytest.raises(NotFound):
            await on.ledger.beacon(Epoch(5))


async def test_a_block_that_cannot_be_written_is_no_block(tmp_path: Path) -> None:
    with stepped_ledger(tmp_path) as on:
        await on.funds("alice")
        head = on.node.head
        signed = await on.signed("alice", Transfer(to=on.address("bob"), amount_atto=Atto(1)))
        await on.ledger.submit(signed)
        with sqlite3.connect(tmp_path / DATABASE_NAME) as disk:
            disk.execute(
                "CREATE TRIGGER full BEFORE INSERT ON receipts"
                " BEGIN SELECT RAISE(ABORT, 'disk full'); END"
            )
        with pytest.raises(SQLAlchemyError, match="disk full"):
            await on.closes()
        assert on.node.head == head
        assert (await on.ledger.sender(on.address("bob"))).account.balance_atto == 0
        with sqlite3.connect(tmp_path / DATABASE_NAME) as disk:
            disk.execute("DROP TRIGGER full")
        assert (await on.closes()).messages == (signed,)
        audit_folder(tmp_path)


async def test_a_block_that_would_break_the_ledger_stops_it_before_it_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def mints(view: LedgerView, *, is_after_gap: bool) -> Transition:
        account = view.account(alice)
        return Transition(writes=(account.evolve(balance_atto=account.balance_atto + 1),))

    with stepped_ledger(tmp_path) as on:
        await on.funds("alice")
        alice, head = on.address("alice"), on.node.head
        with monkeypatch.context() as patched:
            patched.setattr(closing, "advance_epoch", mints)
            with pytest.raises(AssertionError, match="money is conserved"):
                await on.closes()
        assert on.node.head == head
        assert (await on.ledger.sender(alice)).account.balance_atto == SOME_ATTO
        await on.closes()
    audit_folder(tmp_path)


def test_nothing_durable_is_lost_to_sigkill(tmp_path: Path) -> None:
    chances = random.Random(7)
    for _ in range(3):
        script = [sys.executable, "-m", "tests.support.settles_until_killed", str(tmp_path)]
        with subprocess.Popen(script, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            durable = [process.stdout.readline() for _ in range(chances.randrange(1, 30))]
            process.kill()
        with stepped_ledger(tmp_path) as on, on.store.reading() as kept:
            for line in durable:
                assert kept.receipt(CID.parse(line.strip())) is not None
        audit_folder(tmp_path)


async def test_one_process_serves_a_folder_and_the_next_one_carries_on(tmp_path: Path) -> None:
    loop = asyncio.get_running_loop()
    chain_ids = []
    for _ in range(2):
        ready: asyncio.Future[str] = loop.create_future()
        config = LedgerConfig(port=0)
        serving = asyncio.create_task(run_node(tmp_path, config, on_ready=ready.set_result))
        url = await ready
        with pytest.raises(FolderLocked):
            await run_node(tmp_path, config)
        async with RemoteLedger(url) as ledger:
            chain_ids.append((await ledger.genesis()).chain_id)
        serving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await serving
    assert chain_ids[0] == chain_ids[1]
    assert stat.S_IMODE((tmp_path / KEYS_NAME).stat().st_mode) == 0o600
