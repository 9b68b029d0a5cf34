"""`holdfast verdict` tells a script, too, that a file is lost."""

import asyncio
from pathlib import Path

from cli.exits import VERIFICATION_FAILED
from ipfs.cid import CID
from tests.support.holdfast import User
from tests.support.nodes import SealingProvider, stepped_ledger


async def lose_a_file(folder: Path) -> CID:
    """Leave a ledger behind whose only deal was never sealed; return what it was to keep."""
    with stepped_ledger(folder) as ledger:
        await ledger.funds("alice", "bob")
        bob = await SealingProvider.registers(ledger, "bob", folder)
        deal = await ledger.ledger.deal(await bob.stores("alice"))
        await ledger.closes(deal.proposal.start_epoch + 1 - ledger.epoch)
    return deal.proposal.root_cid


def test_a_lost_file_ends_with_a_code_after_all_that_is_known_of_it(tmp_path: Path) -> None:
    root_cid = asyncio.run(lose_a_file(tmp_path / "ledger"))
    with User(tmp_path).runs("ledger", "serve", "--port", "0") as ledger:
        asker = User(tmp_path / "asker", ledger.ready["url"])
        done = asker.says("verdict", str(root_cid), "--all")
    assert (done.exit_code, done.error_code) == (VERIFICATION_FAILED, "file-lost")
    told, _ = done.objects
    assert (told["type"], told["safety"], told["proven_copies"]) == ("verdict", "lost", 0)
    [copy] = told["copies"]
    assert (copy["state"], copy["next_window_time"]) == ("lapsed", None)
