"""Whatever is said, in whatever order: SQL and memory end every block in the same state."""

import hashlib
import tempfile
from collections.abc import Sequence
from pathlib import Path

from hypothesis import event, given, settings
from hypothesis import strategies as st

from chain.accounts import genesis_transition
from chain.beacon import OwnBeacon
from chain.block import Allocation, Genesis
from chain.closing import settle, tree_after
from chain.deal import DealProposal
from chain.keys import SigningKey
from chain.merkle import StateTree
from chain.messages import (
    Body,
    CancelProposal,
    DrawFaucet,
    Message,
    PublishDeals,
    RegisterProvider,
    ReserveEscrow,
    SignedMessage,
    Transfer,
    UpdateProvider,
)
from chain.policy import DEV
from chain.sql_ledger import SqlLedger
from chain.store import LedgerStore
from chain.units import Atto, Epoch, ProviderId
from chain.view import MemoryLedger
from ipfs.cid import CID, Codec
from ipfs.piece_cid import piece_cid_v2
from tests.support.world import StoryJudge

KEYS = tuple(SigningKey(hashlib.sha256(b"person %d" % n).digest()) for n in range(3))
ADDRESSES = tuple(key.address(DEV.address_prefix) for key in KEYS)
GENESIS = Genesis(
    policy=DEV,
    ledger_address=SigningKey(bytes(32)).address(DEV.address_prefix),
    beacon=OwnBeacon(public_key=bytes(48)),
    timestamp_milliseconds=0,
    allocations=tuple(Allocation(address=a, amount_atto=Atto(10**20)) for a in ADDRESSES),
)
OPENING: list[tuple[int, Body, int]] = [
    (person, RegisterProvider(worker=ADDRESSES[person], peer_id="peer", addresses=()), 0)
    for person in range(2)
]

amounts = st.integers(0, 2**72).map(Atto)
provider_ids = st.integers(1, 3).map(ProviderId)


def proposal(client: int, provider_id: ProviderId, start: int, nonce: int) -> DealProposal:
    duration = 3 * DEV.proving_period_epochs
    return DealProposal(
        piece_cid=piece_cid_v2(bytes(32), padding_bytes=0, height=4),
        piece_size_bytes=512,
        root_cid=CID.of(Codec.RAW, b"root"),
        client=ADDRESSES[client],
        provider_id=provider_id,
        start_epoch=Epoch(start),
        end_epoch=Epoch(start + duration),
        publish_by_epoch=Epoch(start),
        price_atto_per_epoch=Atto(10**9),
        collateral_atto=DEV.collateral_atto(
            piece_size_bytes=512, duration_epochs=duration, price_atto_per_epoch=10**9
        ),
        chain_id=GENESIS.chain_id,
        nonce=nonce,
    )


people = st.integers(0, len(KEYS) - 1)
proposals = st.builds(proposal, people, provider_ids, st.integers(2, 9), st.integers(0, 2))
bodies: st.SearchStrategy[Body] = st.one_of(
    st.builds(DrawFaucet, amount_atto=amounts),
    st.builds(Transfer, to=st.sampled_from(ADDRESSES), amount_atto=amounts),
    st.builds(
        RegisterProvider,
        worker=st.sampled_from(ADDRESSES),
        peer_id=st.just("peer"),
        addresses=st.just(()),
    ),
    st.builds(
        UpdateProvider,
        provider_id=provider_ids,
        peer_id=st.sampled_from(["here", "there"]),
        addresses=st.just(()),
    ),
    st.builds(ReserveEscrow, proposal=proposals),
    proposals.map(lambda agreed: CancelProposal(proposal_cid=agreed.cid)),
    st.builds(
        PublishDeals,
        provider_id=provider_ids,
        proposal_cids=st.lists(proposals.map(lambda p: p.cid), min_size=1, max_size=3).map(tuple),
    ),
)
said = st.tuples(people, bodies, st.sampled_from([0, 0, 0, 0, 0, 1]))
blocks = st.lists(st.lists(said, max_size=5), min_size=3, max_size=8)


def signed(memory: MemoryLedger, person: int, body: Body, nonce: int) -> SignedMessage:
    message = Message(
        chain_id=GENESIS.chain_id,
        sender=ADDRESSES[person],
        nonce=nonce,
        expires_epoch=Epoch(memory.epoch + 1),
        body=body,
    )
    return SignedMessage.sign(message, KEYS[person])


def offered(
    memory: MemoryLedger, block: Sequence[tuple[int, Body, int]]
) -> Sequence[SignedMessage]:
    """Return a block's messages in order, with the right nonces but where one is skipped."""
    nonces = [memory.account(address).nonce for address in ADDRESSES]
    messages = []
    for person, body, skipped in block:
        messages.append(signed(memory, person, body, nonces[person] + skipped))
        nonces[person] += 1 - skipped
    return messages


@settings(max_examples=25)
@given(blocks)
def test_sql_and_memory_settle_alike(history: list[list[tuple[int, Body, int]]]) -> None:
    memory = MemoryLedger(
        policy=DEV,
        chain_id=GENESIS.chain_id,
        ledger=GENESIS.ledger_address,
        judge=StoryJudge(),
    )
    memory.write(genesis_transition(GENESIS))
    tree = tree_after(StateTree({}), genesis_transition(GENESIS))
    with tempfile.TemporaryDirectory() as folder:
        store = LedgerStore(f"sqlite:///{Path(folder) / 'ledger.sqlite'}")
        store.create_tables()
        with store.transaction() as kept:
            kept.write(genesis_transition(GENESIS))
        for number, block in enumerate([OPENING, *history], start=1):
            epoch, beacon = Epoch(number), hashlib.sha256(b"%d" % number).digest()
            memory.at(epoch, beacon)
            messages = offered(memory, block)
            is_after_gap = number % 4 == 0
            with store.transaction() as kept:
                sql = SqlLedger(kept, GENESIS, epoch, judge=StoryJudge(), beacon=beacon)
                in_sql = settle(sql, messages, is_after_gap=is_after_gap)
                sql.write(in_sql.transition)
                root = kept.state_tree().root()
            in_memory = settle(memory, messages, is_after_gap=is_after_gap)
            memory.write(in_memory.transition)
            assert in_sql == in_memory
            tree = tree_after(tree, in_memory.transition)
            assert root == tree.root()
            for said_to in in_memory.receipts:
                event(said_to.code or ("items refused" if said_to.refusals else "done"))
        store.close()
