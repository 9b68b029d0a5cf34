"""The port over a real socket says what the node says in this process."""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
import pytest_asyncio

from chain import http
from chain.api import create_app
from chain.errors import Expired, NotFound
from chain.ledger import Ledger, LedgerUnreachable
from chain.local import LocalLedger
from chain.messages import DrawFaucet, SignedMessage, Transfer
from chain.remote import RefusedByLedger, RemoteLedger
from chain.sender import Refused, Sender
from chain.units import Atto, DealId, Epoch, ProviderId
from ipfs.block import Block
from ipfs.cid import CID, Codec
from tests.support.nodes import SOME_ATTO, SealingProvider, SteppedLedger, key_of, stepped_ledger


@pytest.fixture
def on(tmp_path: Path) -> Iterator[SteppedLedger]:
    with stepped_ledger(tmp_path / "ledger") as stepped:
        yield stepped


@pytest_asyncio.fixture
async def remote(on: SteppedLedger) -> AsyncIterator[RemoteLedger]:
    async with (
        http.serving(create_app(on.node), host="127.0.0.1", port=0) as url,
        RemoteLedger(url) as ledger,
    ):
        yield ledger


def ports(local: LocalLedger, remote: RemoteLedger) -> tuple[Ledger, Ledger]:
    """Return both as what they are to a role; mypy holds them to the port here."""
    return local, remote


async def test_both_ports_say_the_same(
    on: SteppedLedger, remote: RemoteLedger, tmp_path: Path
) -> None:
    await on.funds("alice", "bob")
    bob = await SealingProvider.registers(on, "bob", tmp_path)
    deal_id, number = await bob.activates("alice")
    proposal = (await on.ledger.deal(deal_id)).proposal
    second = bob.proposal("alice", b"another file")
    local, far = ports(on.ledger, remote)
    [block] = [await on.ledger.block(on.epoch)]
    assert await remote.block(on.epoch) == block
    for ledger in (local, far):
        assert await ledger.genesis() == on.node.genesis
        assert await ledger.head() == on.node.head
        assert await ledger.beacon(Epoch(1)) == await local.beacon(Epoch(1))
        assert await ledger.sender(on.address("alice")) == await local.sender(on.address("alice"))
        assert await ledger.providers() == (await local.provider(bob.id),)
        assert await ledger.provider(bob.id) == await local.provider(bob.id)
        deal = await ledger.deal(deal_id)
        assert deal == await local.deal(deal_id)
        assert await ledger.deal_of(proposal.cid) == deal
        assert await ledger.deal_of(second.cid) is None
        assert await ledger.deals() == (deal,)
        assert await ledger.deals(client=proposal.client, root_cid=proposal.root_cid) == (deal,)
        assert await ledger.deals(client=on.address("bob")) == ()
        assert await ledger.deals(provider_id=ProviderId(99)) == ()
        assert [sector.number for sector in await ledger.sectors(bob.id)] == [number]
        assert await ledger.reservations(bob.id) == ()
        assert await ledger.receipt(block.messages[0].id) == block.receipts[0]
        with pytest.raises(NotFound):
            await ledger.deal(DealId(77))
        with pytest.raises(NotFound):
            await ledger.receipt(CID.of(Codec.RAW, b"never sent"))
    assert await remote.explanation(deal_id) == await on.ledger.explanation(deal_id)
    [cid] = block.messages[0].message.proof_cids
    assert await remote.proof(cid) == await on.ledger.proof(cid)


async def test_a_refusal_keeps_its_code(on: SteppedLedger, remote: RemoteLedger) -> None:
    signed = await on.signed("poor", Transfer(to=on.address("bob"), amount_atto=Atto(1)))
    with pytest.raises(RefusedByLedger, match="are missing") as refused:
        await remote.submit(signed)
    assert refused.value.code == "insufficient-funds"
    late = await on.signed("alice", DrawFaucet(amount_atto=SOME_ATTO), expires_in=0)
    with pytest.raises(Expired):
        await remote.submit(late)


async def test_a_sender_says_one_thing_after_the_other(
    on: SteppedLedger, remote: RemoteLedger
) -> None:
    await on.funds("alice")
    sender = Sender(remote, key_of("alice"), "thf")
    bob = on.address("bob")
    saying = [
        asyncio.create_task(sender.send(Transfer(to=bob, amount_atto=Atto(amount))))
        for amount in (1, 2, 3, 10**30)
    ]
    await on.hears(sender.address, 5)
    await on.closes()
    receipts = await asyncio.gather(*saying, return_exceptions=True)
    assert (await on.ledger.sender(bob)).account.balance_atto == 6
    [refused] = [receipt for receipt in receipts if isinstance(receipt, Refused)]
    assert refused.code == "insufficient-funds"


async def test_a_ledger_that_is_down_is_said_to_be(tmp_path: Path) -> None:
    async with RemoteLedger("http://127.0.0.1:1") as ledger:
        with pytest.raises(LedgerUnreachable, match="is it running"):
            await ledger.head()


async def test_another_key_is_not_believed_at_the_same_address(
    on: SteppedLedger, tmp_path: Path
) -> None:
    await on.closes()
    async with AsyncExitStack() as stack:
        first = await stack.enter_async_context(AsyncExitStack())
        app = create_app(on.node)
        url = await first.enter_async_context(http.serving(app, host="127.0.0.1", port=0))
        remote = await stack.enter_async_context(RemoteLedger(url))
        assert await remote.head() == on.node.head
        await remote.beacon(Epoch(1))
        await first.aclose()

        other = stack.enter_context(stepped_ledger(tmp_path / "other"))
        await other.closes(3)
        port = int(url.rpartition(":")[2])
        app = create_app(other.node)
        await stack.enter_async_context(http.serving(app, host="127.0.0.1", port=port))
        with pytest.raises(LedgerUnreachable, match="signed by the chain's key"):
            await remote.head()
        with pytest.raises(LedgerUnreachable, match="signed by the chain's key"):
            await remote.beacon(Epoch(1))
        joined = await stack.enter_async_context(RemoteLedger(url))
        assert await joined.head() == other.node.head


async def test_heads_and_receipts_outlive_the_ledger(
    on: SteppedLedger, caplog: pytest.LogCaptureFixture
) -> None:
    app = create_app(on.node)
    async with AsyncExitStack() as stack:
        first = await stack.enter_async_context(AsyncExitStack())
        url = await first.enter_async_context(http.serving(app, host="127.0.0.1", port=0))
        port = int(url.rpartition(":")[2])
        remote = await stack.enter_async_context(RemoteLedger(url))
        sender = Sender(remote, key_of("alice"), "thf")
        heads = remote.heads()
        assert (await anext(heads)).header.epoch == 0
        saying = asyncio.create_task(sender.send(DrawFaucet(amount_atto=SOME_ATTO)))
        await on.hears(sender.address, 1)
        news = asyncio.ensure_future(anext(heads))
        with caplog.at_level(logging.WARNING, logger="chain.remote"):
            await first.aclose()
            while "does not answer" not in caplog.text:  # noqa: ASYNC110  the log is no event
                await asyncio.sleep(0)
        await on.closes()
        await stack.enter_async_context(http.serving(app, host="127.0.0.1", port=port))
        assert (await news).header.epoch == 1
        assert (await saying).epoch == 1


async def test_what_a_crash_forgot_is_said_again(tmp_path: Path) -> None:
    """A ledger that admitted a message and lost it before the block is told once more."""

    class Forgetful(LocalLedger):
        forgot: CID | None = None

        async def submit(self, message: SignedMessage, proofs: Sequence[Block] = ()) -> CID:
            if self.forgot is None:
                self.forgot = message.id
                return message.id
            return await super().submit(message, proofs)

    with stepped_ledger(tmp_path) as on:
        ledger = Forgetful(on.node)
        sender = Sender(ledger, key_of("alice"), "thf")
        saying = asyncio.create_task(sender.send(DrawFaucet(amount_atto=SOME_ATTO)))
        await on.hears(sender.address, 1)
        await on.closes()
        assert (await saying).message_id == ledger.forgot
