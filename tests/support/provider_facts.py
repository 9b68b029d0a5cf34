"""The facts of a provider, put together by hand: what a table test of its agenda starts from."""

from typing import Any

from chain.deal import Deal, DealProposal, DealState
from chain.policy import DEV
from chain.sector import Sector, SectorState
from chain.units import Atto, DealId, Epoch, SectorNumber
from market.messages import Accept
from proofs.parameters import ProofType
from provider.facts import Facts
from provider.promise import Commitments, Promise, SectorPlan
from tests.support.market import PROVIDER_ID, WORKER, ask, deal_proposal, proposed

RULE = DEV.sector_rule(ProofType.SDR_8MIB)
assert RULE is not None
SEALING_EPOCHS = RULE.sealing_epochs
RESPONSE_EPOCHS = RULE.response_epochs

START = Epoch(60)
PUBLISH_BY = Epoch(40)
FETCH_BY = Epoch(38)
END = Epoch(260)


def promise(nonce: int = 0, *, proposal: DealProposal | None = None, **changes: Any) -> Promise:
    """Return an accepted proposal: publish by 40, fetch by 38, start 60, end 260."""
    made = proposal or deal_proposal(
        start_epoch=START, end_epoch=END, publish_by_epoch=PUBLISH_BY, nonce=nonce
    )
    acceptance = Accept.sign(made.cid, fetch_by_epoch=FETCH_BY, worker=WORKER)
    kept = Promise(propose=proposed(made), acceptance=acceptance)
    return kept.evolve(**changes) if changes else kept


def deal(of: Promise, *, number: int = 1, **changes: Any) -> Deal:
    """Return the deal it became at epoch 20."""
    terms: dict[str, Any] = {
        "id": DealId(number),
        "proposal": of.proposal,
        "state": DealState.PUBLISHED,
        "published_epoch": Epoch(20),
        "settled_until_epoch": of.proposal.start_epoch,
        "collateral_atto": of.proposal.collateral_atto,
    }
    return Deal(**{**terms, **changes})


def plan(*promises: Promise, number: int = 0, **changes: Any) -> SectorPlan:
    """Return a sector's number given to these promises; nothing is to be read again yet."""
    planned = SectorPlan(
        number=SectorNumber(number),
        proof_type=ProofType.SDR_8MIB,
        proposal_cids=tuple(found.proposal_cid for found in promises),
        scrubbed_epoch=Epoch(0),
    )
    return planned.evolve(**changes) if changes else planned


SEALED: dict[str, Any] = {
    "ticket_epoch": 22,
    "sealed": Commitments(comm_d=bytes(32), comm_r=bytes(31) + b"\1"),
}


def sector(number: int = 0, **changes: Any) -> Sector:
    """Return a sector that was pre-committed at epoch 30 and must be proven by 59."""
    terms: dict[str, Any] = {
        "provider_id": PROVIDER_ID,
        "number": SectorNumber(number),
        "proof_type": ProofType.SDR_8MIB,
        "state": SectorState.PRECOMMITTED,
        "comm_d": bytes(32),
        "comm_r": bytes(31) + b"\1",
        "ticket_epoch": Epoch(22),
        "precommit_epoch": Epoch(30),
        "prove_by_epoch": Epoch(59),
        "deposit_atto": Atto(1),
        "deal_ids": (DealId(1),),
    }
    return Sector(**{**terms, **changes})


def facts(head_epoch: int, **changes: Any) -> Facts:
    """Return the facts at a head; the registry has our ask unless changed."""
    offer = ask(expires_epoch=Epoch(head_epoch + 128))
    known: dict[str, Any] = {
        "head_epoch": Epoch(head_epoch),
        "head_milliseconds": head_epoch * 1_000,
        "policy": DEV,
        "pack_wait_epochs": 0,
        "scrub_interval_epochs": 1_000,
        "offer": offer,
        "posted_ask": offer,
        "promises": (),
        "plans": (),
        "reserved": frozenset(),
        "deals": {},
        "sectors": {},
        "damaged": frozenset(),
    }
    return Facts(**{**known, **changes})
