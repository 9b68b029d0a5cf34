"""A ledger whose disk is full: it refuses by name, answers, and goes on where it stood."""

import asyncio
from pathlib import Path

import pytest

from chain.audit import audit_folder
from chain.messages import Transfer
from chain.sqlite import DatabaseFull
from chain.units import Atto
from cli.exits import code_of
from tests.support.disks import filled, small_disk
from tests.support.nodes import SOME_ATTO, SteppedLedger, stepped_ledger


def pays_bob(on: SteppedLedger) -> Transfer:
    return Transfer(to=on.address("bob"), amount_atto=Atto(SOME_ATTO // 4))


async def test_a_full_disk_stops_the_ledger_and_costs_nothing(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk") as disk:
        with stepped_ledger(disk / "ledger") as on:
            await on.funds("alice", "bob")
            done = await on.does("alice", pays_bob(on))
            epoch, admitted = on.epoch, await on.signed("alice", pays_bob(on))
            await on.ledger.submit(admitted)
            with filled(disk):
                for _ in range(3):
                    with pytest.raises(DatabaseFull, match="has no room") as caught:
                        await on.closes()
                assert code_of(caught.value) == "database-full"
                assert on.epoch == epoch
                assert await on.ledger.receipt(done.message_id) == done
                refused = await on.signed("alice", pays_bob(on))
                with pytest.raises(DatabaseFull):
                    await on.ledger.submit(refused)
            await on.closes()
            assert (await on.ledger.receipt(admitted.id)).is_done
            await on.does("alice", pays_bob(on))
        with stepped_ledger(disk / "ledger") as on:
            bob = (await on.ledger.sender(on.address("bob"))).account
            assert bob.free_atto == SOME_ATTO + 3 * (SOME_ATTO // 4)
        assert audit_folder(disk / "ledger").minted_atto == 2 * SOME_ATTO


async def test_a_serving_ledger_waits_for_room(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with small_disk(tmp_path / "disk") as disk, stepped_ledger(disk / "ledger") as on:
        await on.funds("alice")
        epoch = on.epoch
        with filled(disk):
            running = asyncio.create_task(on.node.run())
            while "no block was closed" not in caplog.text:  # noqa: ASYNC110  no event
                await asyncio.sleep(0)
            assert on.epoch == epoch
        head = await on.node.head_after(epoch)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        assert head.header.epoch > epoch
