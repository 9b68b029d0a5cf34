import pytest
from hypothesis import given
from hypothesis import strategies as st

from chain import mempool
from chain.errors import WrongNonce
from chain.keys import Address
from chain.mempool import Mempool, MempoolFull, Pending
from chain.messages import (
    Body,
    DrawFaucet,
    Message,
    PublishDeals,
    SectorProof,
    SignedMessage,
    SubmitWindowPost,
)
from chain.units import Atto, Epoch, ProviderId, SectorNumber
from ipfs.block import Block
from ipfs.cid import Codec
from tests.support.nodes import key_of

PROOF = Block.of(Codec.RAW, b"a proof")
NAMES = ("alice", "bob", "carol")
ADDRESS = {name: key_of(name).address("thf") for name in NAMES}


def pending(
    name: str,
    nonce: int,
    *,
    is_proof: bool = False,
    is_good: bool = True,
    item_count: int = 1,
    provider_id: int = 1,
    expires: int = 100,
) -> Pending:
    body: Body = DrawFaucet(amount_atto=Atto(1))
    if item_count > 1:
        body = PublishDeals(
            provider_id=ProviderId(provider_id), proposal_cids=(PROOF.cid,) * item_count
        )
    if is_proof:
        body = SubmitWindowPost(
            provider_id=ProviderId(provider_id),
            window_epoch=Epoch(1),
            proofs=(SectorProof(number=SectorNumber(1), proof_cid=PROOF.cid),),
        )
    message = Message(
        chain_id="chain",
        sender=ADDRESS[name],
        nonce=nonce,
        expires_epoch=Epoch(expires),
        body=body,
    )
    # The pool knows no signatures: they were checked at the door.
    signed = SignedMessage(message=message, signature=b"")
    return Pending(signed, (PROOF,) if is_proof else (), is_urgent=is_proof and is_good)


def nonces_of(messages: tuple[Pending, ...], sender: Address) -> list[int]:
    return [p.signed.message.nonce for p in messages if p.signed.message.sender == sender]


@given(st.lists(st.tuples(st.sampled_from(NAMES), st.booleans()), max_size=30))
def test_a_block_takes_every_proof_and_leaves_no_gap(said: list[tuple[str, bool]]) -> None:
    pool = Mempool()
    counts = dict.fromkeys(NAMES, 0)
    for name, is_proof in said:
        pool.add(pending(name, counts[name], is_proof=is_proof), account_nonce=0)
        counts[name] += 1
    block = pool.next_block()
    assert {p.signed.id for p in block} == {p.signed.id for p in pool}
    for name in NAMES:
        assert nonces_of(block, ADDRESS[name]) == list(range(counts[name]))


def test_spam_keeps_no_proof_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mempool, "MESSAGES_MAX", 5)
    monkeypatch.setattr(mempool, "BLOCK_ITEMS_MAX", 2)
    pool = Mempool()
    for nonce in range(4):
        pool.add(pending("alice", nonce), account_nonce=0)
    pool.add(pending("bob", 0), account_nonce=0)
    with pytest.raises(MempoolFull):
        pool.add(pending("carol", 0), account_nonce=0)
    pool.add(pending("bob", 1, is_proof=True), account_nonce=0)
    block = pool.next_block()
    assert nonces_of(block, ADDRESS["bob"]) == [0, 1], "what comes before a proof goes with it"
    assert nonces_of(block, ADDRESS["alice"]) == [0, 1]


def test_a_block_takes_so_many_items_or_one_message_that_has_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(mempool, "BLOCK_ITEMS_MAX", 5)
    pool = Mempool()
    counts = [2, 3, 9, 5, 1]
    for nonce, count in enumerate(counts):
        pool.add(pending("alice", nonce, item_count=count), account_nonce=0)
    blocks = []
    while block := pool.next_block():
        blocks.append([p.item_count for p in block])
        settled = sum(map(len, blocks))
        assert pool.settle({ADDRESS["alice"]: settled}, epoch=Epoch(1)) == ()
    assert blocks == [[2, 3], [9], [5], [1]]


def test_a_sender_with_much_to_say_holds_up_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mempool, "BLOCK_ITEMS_MAX", 8)
    pool = Mempool()
    for nonce in range(3):
        pool.add(pending("alice", nonce, item_count=9), account_nonce=0)
    for nonce in range(2):
        pool.add(pending("bob", nonce), account_nonce=0)
        pool.add(pending("carol", nonce, item_count=3), account_nonce=0)
    block = pool.next_block()
    assert nonces_of(block, ADDRESS["bob"]) == [0, 1]
    assert nonces_of(block, ADDRESS["carol"]) == [0, 1]
    pool.settle({ADDRESS["alice"]: 0, ADDRESS["bob"]: 2, ADDRESS["carol"]: 2}, epoch=Epoch(1))
    assert nonces_of(pool.next_block(), ADDRESS["alice"]) == [0]


def test_a_proof_brings_little_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mempool, "BLOCK_ITEMS_MAX", 1)
    monkeypatch.setattr(mempool, "COMPANY_ITEMS_MAX", 3)
    pool = Mempool()
    for name, count in (("alice", 3), ("bob", 4)):
        pool.add(pending(name, 0, item_count=count), account_nonce=0)
        pool.add(pending(name, 1, is_proof=True), account_nonce=0)
    block = pool.next_block()
    assert nonces_of(block, ADDRESS["alice"]) == [0, 1]
    assert nonces_of(block, ADDRESS["bob"]) == [0], "it comes when all before it is settled"


def test_one_sender_does_not_fill_the_pool(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mempool, "MESSAGES_OF_SENDER_MAX", 2)
    pool = Mempool()
    pool.add(pending("alice", 0), account_nonce=0)
    pool.add(pending("alice", 1), account_nonce=0)
    with pytest.raises(MempoolFull):
        pool.add(pending("alice", 2), account_nonce=0)
    pool.add(pending("bob", 0), account_nonce=0)


def test_proof_bytes_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mempool, "PROOF_BYTES_MAX", len(PROOF.data))
    pool = Mempool()
    pool.add(pending("alice", 0, is_proof=True), account_nonce=0)
    with pytest.raises(MempoolFull):
        pool.add(pending("bob", 0, is_proof=True), account_nonce=0)


def test_one_providers_proofs_keep_no_others_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mempool, "PROOF_BYTES_OF_PROVIDER_MAX", len(PROOF.data))
    pool = Mempool()
    pool.add(pending("alice", 0, is_proof=True), account_nonce=0)
    with pytest.raises(MempoolFull, match="of this provider"):
        pool.add(pending("alice", 1, is_proof=True), account_nonce=0)
    pool.add(pending("bob", 0, is_proof=True, provider_id=2), account_nonce=0)


def test_proofs_that_do_not_hold_keep_no_good_one_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mempool, "MESSAGES_MAX", 2)
    monkeypatch.setattr(mempool, "PROOF_BYTES_MAX", 2 * len(PROOF.data))
    monkeypatch.setattr(mempool, "BLOCK_ITEMS_MAX", 1)
    pool = Mempool()
    for nonce in range(2):
        pool.add(pending("alice", nonce, is_proof=True, is_good=False), account_nonce=0)
    with pytest.raises(MempoolFull):
        pool.add(pending("carol", 0, is_proof=True, is_good=False), account_nonce=0)
    pool.add(pending("bob", 0, is_proof=True), account_nonce=0)
    block = pool.next_block()
    assert nonces_of(block, ADDRESS["bob"]) == [0]
    assert nonces_of(block, ADDRESS["alice"]) == [0], "as many as of any other message"


def test_nonces_follow_each_other() -> None:
    pool = Mempool()
    first = pending("alice", 7)
    pool.add(first, account_nonce=7)
    pool.add(first, account_nonce=7)
    assert pool.next_nonce(ADDRESS["alice"], 7) == 8
    for nonce in (6, 7, 9):
        with pytest.raises(WrongNonce):
            pool.add(pending("alice", nonce, expires=99), account_nonce=7)


def test_what_is_settled_is_forgotten_and_what_a_gap_follows_is_dropped() -> None:
    pool = Mempool()
    messages = [pending("alice", n, expires=20 if n == 2 else 100) for n in range(5)]
    for message in messages:
        pool.add(message, account_nonce=0)
    dropped = pool.settle({ADDRESS["alice"]: 1}, epoch=Epoch(20))
    assert dropped == ()
    dropped = pool.settle({ADDRESS["alice"]: 2}, epoch=Epoch(21))
    assert [signed.message.nonce for signed in dropped] == [2, 3, 4]
    assert list(pool) == []
