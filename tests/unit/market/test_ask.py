"""An ask is believed against the ledger's registry, or not at all."""

from typing import Any

import pytest

from chain.keys import TEST_PREFIX
from chain.provider import Provider, SignedAsk
from chain.units import Epoch, ProviderId
from ipfs.cid import Codec
from market.ask import AskNotBelieved, network_cid, verify_ask
from tests.support.market import CHAIN_ID, OWNER, PROVIDER_ID, STRANGER, WORKER, ask, signed_ask

PROVIDER = Provider(
    id=PROVIDER_ID,
    owner=OWNER.address(TEST_PREFIX),
    worker=WORKER.address(TEST_PREFIX),
    peer_id="12D3KooW",
)


def verify(signed: SignedAsk, **changes: Any) -> None:
    facts: dict[str, Any] = {"provider": PROVIDER, "chain_id": CHAIN_ID, "epoch": Epoch(999)}
    verify_ask(signed, **{**facts, **changes})


def test_the_workers_own_ask_is_believed_until_it_expires() -> None:
    verify(signed_ask(expires_epoch=Epoch(1_000)))
    with pytest.raises(AskNotBelieved):
        verify(signed_ask(expires_epoch=Epoch(999)))


@pytest.mark.parametrize(
    "signed",
    [
        SignedAsk.sign(ask(), STRANGER),
        signed_ask().evolve(ask=ask(piece_size_bytes_min=512)),
        signed_ask(provider_id=ProviderId(8)),
        signed_ask(chain_id="another"),
    ],
)
def test_anything_else_is_not(signed: SignedAsk) -> None:
    with pytest.raises(AskNotBelieved):
        verify(signed)


def test_each_network_has_a_meeting_place_of_its_own() -> None:
    here, there = network_cid("here"), network_cid("there")
    assert here != there
    assert here == network_cid("here")
    assert here.codec == Codec.DAG_CBOR
