"""Nothing waits for a proof of replication to be checked, neither its sender nor the node."""

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from chain import node, verdicts
from chain.messages import UpdateProvider
from chain.sector import SectorState
from chain.sender import Sender
from chain.view import Statement
from proofs.porep import PorepStatement
from tests.support.nodes import SealingProvider, key_of, stepped_ledger


class Gate:
    """Lets no proof of replication be checked until it is opened."""

    def __init__(self) -> None:
        self.opened, self.reached = threading.Event(), threading.Event()

    def holds(self, statement: Statement, proof: bytes) -> bool:
        if isinstance(statement, PorepStatement):
            self.reached.set()
            assert self.opened.wait(timeout=60)
        return verdicts.holds(statement, proof)


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gate]:
    gate = Gate()
    monkeypatch.setattr(node, "holds", gate.holds)
    yield gate
    gate.opened.set()


async def test_what_a_worker_says_meanwhile_does_not_wait_for_its_proof_of_replication(
    tmp_path: Path, gate: Gate
) -> None:
    with stepped_ledger(tmp_path / "ledger") as on:
        await on.funds("alice", "bob")
        bob = await SealingProvider.registers(on, "bob", tmp_path)
        number = await bob.seals(await bob.stores("alice"))
        await on.closes(on.node.genesis.policy.seed_delay_epochs)
        body, proof = await bob.replication_proof(number)
        worker = Sender(on.ledger, key_of(bob.worker), "thf")
        said = (await on.ledger.sender(worker.address)).next_nonce

        proving = asyncio.create_task(worker.send(body, [proof]))
        await asyncio.to_thread(gate.reached.wait)
        moves = UpdateProvider(provider_id=bob.id, peer_id="elsewhere", addresses=())
        moving = asyncio.create_task(worker.send(moves))
        await on.hears(worker.address, said + 1)
        await on.closes()
        assert (await moving).is_done

        gate.opened.set()
        await on.hears(worker.address, said + 2)
        await on.closes()
        assert (await proving).refusals == ()
        assert (await bob.sector(number)).state is SectorState.ACTIVE


async def test_an_answer_to_a_window_does_not_wait_for_others_proofs_of_replication(
    tmp_path: Path, gate: Gate
) -> None:
    with stepped_ledger(tmp_path / "ledger") as on:
        await on.funds("alice", "bob", "carol")
        bob, carol = [
            await SealingProvider.registers(on, name, tmp_path / name) for name in ("bob", "carol")
        ]
        for provider in (bob, carol):
            provider.folder.mkdir()
        gate.opened.set()
        _, number = await bob.activates("alice")
        gate.opened.clear()
        gate.reached.clear()

        waiting = await carol.seals(await carol.stores("alice"))
        await on.closes(on.node.genesis.policy.seed_delay_epochs)
        body, proof = await carol.replication_proof(waiting)
        messages = [await on.signed(carol.worker, body, expires_in=n) for n in (10, 20)]
        checking = [asyncio.create_task(on.ledger.submit(message, [proof])) for message in messages]
        await asyncio.to_thread(gate.reached.wait)
        answer, window_proof = await bob.window_answer(number)
        await on.does(bob.worker, answer, [window_proof])
        assert not any(task.done() for task in checking)
        gate.opened.set()
        await asyncio.gather(*checking, return_exceptions=True)
