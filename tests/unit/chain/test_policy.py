"""The networks' numbers, and that a policy which proves nothing can't exist."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from chain.policy import DEV, LAPTOP, MAIN, POLICIES, Policy, SectorRule
from chain.units import BYTES_PER_GIB, Epoch
from proofs.parameters import ProofType
from proofs.registry import parameters_of

MINUTE_SECONDS = 60
DAY_SECONDS = 24 * 60 * MINUTE_SECONDS


@pytest.mark.parametrize("policy", [MAIN, LAPTOP], ids=lambda policy: policy.name)
def test_real_networks_keep_the_protocols_times(policy: Policy) -> None:
    assert policy.proving_period_epochs * policy.epoch_seconds == DAY_SECONDS
    assert policy.deadline_epochs * policy.epoch_seconds == 30 * MINUTE_SECONDS
    assert policy.prove_commit_epochs * policy.epoch_seconds == DAY_SECONDS
    assert policy.ticket_age_max_epochs * policy.epoch_seconds == DAY_SECONDS
    assert policy.message_epochs_max * policy.epoch_seconds == 60 * MINUTE_SECONDS
    assert policy.declaration_epochs * policy.epoch_seconds == 35 * MINUTE_SECONDS
    assert policy.faucet_atto_max == 0
    for rule in policy.sectors:
        answer_milliseconds = rule.response_epochs * policy.epoch_seconds * 1_000
        floor = parameters_of(rule.proof_type).seal_floor_milliseconds
        assert answer_milliseconds * 10 <= floor, "sealing again takes ten windows"


@pytest.mark.parametrize("policy", POLICIES.values(), ids=lambda policy: policy.name)
def test_a_policy_crosses_the_wire(policy: Policy) -> None:
    assert Policy.decode(policy.encode()) == policy
    assert Policy.model_validate_json(policy.model_dump_json()) == policy


def rule_of(proof_type: ProofType, response_epochs: int) -> SectorRule:
    return SectorRule(proof_type=proof_type, response_epochs=response_epochs, sealing_epochs=1)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"deadlines_per_period": 7}, "tile"),
        ({"sectors": (rule_of(ProofType.SDR_8MIB, 1),)}, "for_tests"),
        ({"sectors": (rule_of(ProofType.SDR_512MIB, 3),)}, "sealing again"),
        ({"sectors": (rule_of(ProofType.SDR_32GIB, 600),)}, "within its deadline"),
        ({"sectors": (rule_of(ProofType.SDR_512MIB, 2),) * 2}, "one rule"),
        ({"epoch_seconds": 4}, "sealing again"),
        ({"declaration_epochs": 28_650}, "no time between windows"),
        ({"fault_fee_periods": 0}, "greater than or equal"),
        ({"sector_pieces_max": 128}, "a proof can take"),
        ({"recovery_windows_max": 28}, "a proof can take"),
    ],
)
def test_an_incoherent_policy_does_not_exist(changes: dict[str, object], reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        MAIN.evolve(**changes)


def test_the_margin_may_be_broken_for_tests_only() -> None:
    assert DEV.for_tests
    with pytest.raises(ValidationError, match="for_tests"):
        DEV.evolve(for_tests=False)


@pytest.mark.parametrize(
    ("duration_periods", "allowed"),
    [(1, 1), (10, 1), (19, 1), (20, 2), (180, 18), (419, 41), (420, 42), (1278, 42)],
)
def test_a_short_deal_is_given_up_sooner(duration_periods: int, allowed: int) -> None:
    duration_epochs = duration_periods * MAIN.proving_period_epochs
    assert MAIN.fault_periods_allowed(duration_epochs) == allowed


@given(
    st.integers(0, 2**70),
    st.integers(1, 1278 * MAIN.proving_period_epochs),
    st.integers(7, 36).map(lambda bits: 1 << bits),
)
def test_collateral_covers_every_floor_and_no_more(price: int, duration: int, size: int) -> None:
    collateral_atto = MAIN.collateral_atto(
        piece_size_bytes=size, duration_epochs=duration, price_atto_per_epoch=price
    )

    def covers(atto: int) -> bool:
        return (
            5 * atto >= price * duration
            and atto >= 30 * MAIN.proving_period_epochs * price
            and atto * BYTES_PER_GIB >= MAIN.collateral_floor_atto_per_gib * size
        )

    assert covers(collateral_atto)
    assert not covers(collateral_atto - 1)


def test_the_last_response_is_within_its_deadline() -> None:
    for policy in POLICIES.values():
        for rule in policy.sectors:
            last = policy.last_response_epoch(rule.proof_type, Epoch(policy.deadline_epochs))
            assert policy.deadline_epochs < last < 2 * policy.deadline_epochs
