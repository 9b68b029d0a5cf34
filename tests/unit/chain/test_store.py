"""The state in SQL is the state in memory, over any history; a transaction is whole or nothing."""

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chain.account import Account
from chain.beacon import OwnBeacon
from chain.block import Genesis
from chain.deal import Deal, DealProposal, DealState, Reservation
from chain.keys import Address
from chain.policy import DEV
from chain.provider import Provider
from chain.sql_ledger import SqlLedger
from chain.store import LedgerStore, LedgerTransaction
from chain.units import Atto, DealId, Epoch, ProviderId
from chain.view import Entity, Judge, MemoryLedger, Statement, Transition
from ipfs.block import Block
from ipfs.cid import CID, Codec
from tests.support.nodes import key_of


class NoJudge(Judge):
    def __call__(self, statement: Statement, proof_cid: CID) -> bool:
        raise AssertionError("nothing is proven here")


NAMES = ("alice", "bob", "carol")
ADDRESSES = tuple(key_of(name).address("thf") for name in NAMES)
GENESIS = Genesis(
    policy=DEV,
    ledger_address=ADDRESSES[0],
    beacon=OwnBeacon(public_key=bytes(48)),
    timestamp_milliseconds=0,
)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[LedgerStore]:
    store = LedgerStore(f"sqlite:///{tmp_path / 'ledger.sqlite'}")
    store.create_tables()
    yield store
    store.close()


def proposal(client: Address, provider_id: int, number: int) -> DealProposal:
    return DealProposal(
        piece_cid=CID.of(Codec.RAW, b"piece"),
        piece_size_bytes=256,
        root_cid=CID.of(Codec.RAW, b"root of %d" % (number % 3)),
        client=client,
        provider_id=ProviderId(provider_id),
        start_epoch=Epoch(10 + number),
        end_epoch=Epoch(50 + number),
        publish_by_epoch=Epoch(5 + number),
        price_atto_per_epoch=Atto(1),
        collateral_atto=Atto(1),
        chain_id=GENESIS.chain_id,
        nonce=number,
    )


proposals = st.builds(proposal, st.sampled_from(ADDRESSES), st.integers(1, 3), st.integers(0, 8))
accounts = st.builds(
    Account, address=st.sampled_from(ADDRESSES), balance_atto=st.integers(0, 2**80).map(Atto)
)
providers = st.builds(
    Provider,
    id=st.integers(1, 12).map(ProviderId),
    owner=st.sampled_from(ADDRESSES),
    worker=st.sampled_from(ADDRESSES),
    peer_id=st.text(max_size=8),
)
deals = st.builds(
    lambda agreed, number, state: Deal(
        id=DealId(number),
        proposal=agreed,
        state=state,
        published_epoch=Epoch(1),
        settled_until_epoch=agreed.start_epoch,
        collateral_atto=Atto(1),
    ),
    proposals,
    st.integers(1, 12),
    st.sampled_from(DealState),
)
entities: st.SearchStrategy[Entity] = st.one_of(
    accounts, providers, deals, st.builds(Reservation, proposal=proposals)
)
writes = st.lists(entities, max_size=6, unique_by=lambda entity: entity.key)
PREFIXES = ("", "account/", "deal/", "reservation/", f"deal/{1:016d}", "proposal/", "zzz")


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(writes, st.integers(0, 3)), max_size=6))
def test_sql_and_memory_hold_the_same_state(
    store: LedgerStore, history: list[tuple[list[Entity], int]]
) -> None:
    memory = MemoryLedger(
        policy=DEV,
        chain_id=GENESIS.chain_id,
        ledger=GENESIS.ledger_address,
        judge=NoJudge(),
    )
    with store.transaction() as transaction:
        kept = [entity.key for entity in transaction.entities()]
        transaction.write(Transition(removes=tuple(kept)))
    for written, removed_count in history:
        keys = {entity.key for entity in written}
        removable = (key for key in memory.entities if key not in keys)
        removes = tuple(itertools.islice(removable, removed_count))
        transition = Transition(writes=tuple(written), removes=removes)
        memory.write(transition)
        with store.transaction() as transaction:
            transaction.write(transition)
    with store.reading() as transaction:
        sql = SqlLedger(transaction, GENESIS, Epoch(1), judge=NoJudge())
        for prefix in PREFIXES:
            assert list(sql.scan(prefix)) == list(memory.scan(prefix))
        for epoch in (0, 6, 11, 13, 60):
            assert list(sql.due(Epoch(epoch))) == list(memory.due(Epoch(epoch)))
        for key in [*memory.entities, "account/nobody"]:
            assert sql.get(key) == memory.get(key)
        found = [deal for deal in memory.scan("deal/") if isinstance(deal, Deal)]
        for client, provider_id in itertools.product((None, *ADDRESSES), (None, 1, 2, 3)):
            number = None if provider_id is None else ProviderId(provider_id)
            assert transaction.deals(client=client, provider_id=number) == tuple(
                deal
                for deal in found
                if client in (None, deal.proposal.client)
                and number in (None, deal.proposal.provider_id)
            )
        for number in map(ProviderId, (1, 2, 3)):
            assert transaction.reservations(number) == tuple(
                entity
                for entity in memory.scan("reservation/")
                if isinstance(entity, Reservation) and entity.proposal.provider_id == number
            )


def test_a_transaction_that_fails_leaves_nothing(store: LedgerStore) -> None:
    account = Account(address=ADDRESSES[0], balance_atto=Atto(2**80))
    with pytest.raises(RuntimeError), store.transaction() as transaction:  # noqa: PT012  its point
        transaction.begin(GENESIS)
        transaction.write(Transition(writes=(account,)))
        assert transaction.entity(account.key) == account
        raise RuntimeError
    with store.reading() as transaction:
        assert transaction.genesis() is None
        assert list(transaction.entities()) == []


def test_a_reader_sees_one_moment_and_does_not_wait_for_the_writer(store: LedgerStore) -> None:
    account = Account(address=ADDRESSES[0], balance_atto=Atto(1))
    with store.reading() as before:
        assert before.entity(account.key) is None
        with store.transaction() as writing:
            writing.write(Transition(writes=(account,)))
            assert before.entity(account.key) is None
        assert before.entity(account.key) is None
    with store.reading() as after:
        assert after.entity(account.key) == account


class CountingTransaction(LedgerTransaction):
    """Counts how often entities are read."""

    def __init__(self, counted: LedgerTransaction) -> None:
        self.reads = 0
        self._counted = counted

    def entity(self, key: str) -> Entity | None:
        self.reads += 1
        return self._counted.entity(key)

    def write(self, transition: Transition) -> None:
        self._counted.write(transition)


def test_an_entity_is_read_once_and_again_when_it_was_written(store: LedgerStore) -> None:
    accounts = [Account(address=ADDRESSES[0], balance_atto=Atto(atto)) for atto in (1, 2)]
    with store.transaction() as written:
        transaction = CountingTransaction(written)
        view = SqlLedger(transaction, GENESIS, Epoch(1), judge=NoJudge())
        for account in accounts:
            view.write(Transition(writes=(account,)))
            assert [view.get(account.key) for _ in range(9)] == [account] * 9
    assert transaction.reads == len(accounts)


def test_proofs_are_kept_until_their_time(store: LedgerStore) -> None:
    short, long = Block.of(Codec.RAW, b"short"), Block.of(Codec.RAW, b"long")
    with store.transaction() as transaction:
        transaction.keep_proofs([short], until=Epoch(5))
        transaction.keep_proofs([long, short], until=Epoch(9))
        transaction.drop_proofs(before=Epoch(9))
        assert transaction.proof(short.cid) == b"short", "named again, it is kept for longer"
        transaction.drop_proofs(before=Epoch(10))
        assert transaction.proof(long.cid) is None
