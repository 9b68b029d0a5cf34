from collections import Counter
from random import Random

import pytest

from benchmarks.incentives import CORRELATION_MIN, FREE_RIDER_SHARE_MAX, simulate
from ipfs.bitswap.choking import (
    DECISION_SECONDS,
    OPTIMISTIC_SECONDS,
    RATE_SECONDS,
    REGULAR_SLOTS,
    Choker,
    Gifts,
)
from ipfs.bitswap.pace import Pace
from ipfs.p2p.peer_id import PeerId
from tests.support.kad import peer

PEERS = [peer(number) for number in range(12)]
GIVERS = PEERS[:REGULAR_SLOTS]


def choker(**settings: object) -> Choker:
    return Choker(random=Random(0), **settings)  # type: ignore[arg-type]  # of each test's choice


def test_the_best_givers_of_the_last_20_seconds_are_served_and_one_more() -> None:
    choking = choker()
    for gift, peer_id in enumerate(PEERS, start=1):
        choking.received(peer_id, gift * 1_000, 0)
    unchoked = choking.decide(1, PEERS)
    assert len(unchoked) == REGULAR_SLOTS + 1
    assert unchoked >= set(PEERS[-REGULAR_SLOTS:])


def test_gifts_fade_after_20_seconds() -> None:
    gifts = Gifts()
    gifts.add(5, 0)
    gifts.add(7, RATE_SECONDS / 2)
    assert gifts.size_bytes(RATE_SECONDS - 1) == 12
    assert gifts.size_bytes(RATE_SECONDS) == 7
    assert gifts.size_bytes(10 * RATE_SECONDS) == 0


def test_it_is_decided_anew_every_10_seconds_and_not_before() -> None:
    choking = choker()
    for peer_id in GIVERS:
        choking.received(peer_id, 1_000, 0)
    first = choking.decide(0, PEERS)
    [drawn] = first - set(GIVERS)
    better = next(it for it in PEERS if it not in first)
    choking.received(better, 9_000, 1)
    assert choking.decide(DECISION_SECONDS - 1, PEERS) == first
    assert choking.next_decision_s == DECISION_SECONDS
    later = choking.decide(DECISION_SECONDS, PEERS)
    assert better in later
    assert drawn in later
    assert len(later & set(GIVERS)) == REGULAR_SLOTS - 1


def test_the_optimistic_one_is_drawn_again_every_30_seconds_and_all_have_their_turn() -> None:
    choking = choker()
    drawn: list[PeerId] = []
    for turn in range(200):
        now_s = turn * OPTIMISTIC_SECONDS
        for second in (0.0, OPTIMISTIC_SECONDS - 1):
            for peer_id in GIVERS:
                choking.received(peer_id, 1_000, now_s + second)
            [optimistic] = choking.decide(now_s + second, PEERS) - set(GIVERS)
            drawn.append(optimistic)
    assert drawn[::2] == drawn[1::2], "it stays for its time"
    assert set(drawn) == set(PEERS) - set(GIVERS)


def test_a_newcomer_is_three_times_as_likely_to_be_drawn() -> None:
    draws: Counter[bool] = Counter()
    for seed in range(400):
        choking = Choker(random=Random(seed), regular_slots=0)
        old = PEERS[:3]
        choking.decide(0, old)
        [drawn] = choking.decide(1_000, [*old, PEERS[3]])
        draws[drawn == PEERS[3]] += 1
    assert 150 < draws[True] < 250, "half of the draws are its, of four peers"


def test_a_peer_that_stops_giving_is_not_served_but_by_chance_like_the_others() -> None:
    choking = choker()
    for peer_id in GIVERS:
        choking.received(peer_id, 1_000, 0)
    assert choking.decide(0, PEERS) >= set(GIVERS)
    for peer_id in GIVERS[1:]:
        choking.received(peer_id, 1_000, RATE_SECONDS)
    snubbed_by = GIVERS[0]
    unchoked = choking.decide(RATE_SECONDS, PEERS)
    assert unchoked >= set(GIVERS[1:])
    assert len(unchoked) == REGULAR_SLOTS + 1, "two optimistic ones now"
    assert snubbed_by not in choking._regular


def test_where_nobody_gives_anything_all_are_served_in_turn() -> None:
    choking = choker()
    served: Counter[PeerId] = Counter()
    for turn in range(200):
        unchoked = choking.decide(turn * OPTIMISTIC_SECONDS, PEERS)
        assert len(unchoked) == REGULAR_SLOTS + 1
        served.update(unchoked)
    mean = 200 * (REGULAR_SLOTS + 1) / len(PEERS)
    assert all(0.6 * mean < count < 1.4 * mean for count in served.values())


def test_a_deals_client_and_whoever_pays_come_before_the_best_giver() -> None:
    priorities = {PEERS[0]: 1, PEERS[1]: 2}
    choking = choker(regular_slots=2, priority_of=lambda it: priorities.get(it, 0))
    for peer_id in PEERS[2:]:
        choking.received(peer_id, 1 << 30, 0)
    assert choking.decide(0, PEERS) >= {PEERS[0], PEERS[1]}
    assert choking._regular == [PEERS[1], PEERS[0]]


def test_a_place_that_becomes_free_is_filled_at_once() -> None:
    choking = choker()
    everybody = choking.decide(0, PEERS)
    left = next(iter(everybody))
    rest = [it for it in PEERS if it != left]
    assert len(choking.decide(1, rest)) == REGULAR_SLOTS + 1
    assert choking.decide(2, PEERS[:2]) == set(PEERS[:2]), "no more than wait"
    assert choking.decide(3, []) == frozenset()


def test_nothing_is_kept_of_a_peer_that_has_gone() -> None:
    choking = choker()
    choking.received(PEERS[0], 5, 0)
    choking.decide(0, PEERS[:1])
    choking.forget(PEERS[0])
    choking.decide(1, [])
    assert (choking._gifts, choking._met_at_s, choking.unchoked) == ({}, {}, frozenset())


def test_in_a_swarm_download_follows_upload_and_free_riders_get_little() -> None:
    outcome = simulate(resident_count=32, seconds=600, seed=7)
    by_chance = simulate(resident_count=32, seconds=600, seed=7, regular_slots=0)
    assert outcome.correlation >= CORRELATION_MIN
    assert outcome.free_rider_share <= FREE_RIDER_SHARE_MAX
    assert outcome.newcomer_start_s <= OPTIMISTIC_SECONDS
    assert outcome.newcomer_share == pytest.approx(1, abs=0.4)
    assert by_chance.correlation < 0.3
    assert by_chance.free_rider_share > 2 * outcome.free_rider_share


def test_the_same_seed_gives_the_same_swarm() -> None:
    swarms = [simulate(resident_count=8, seconds=200, seed=seed).peers for seed in (1, 1, 2)]
    one, same, other = ([it.received_bytes for it in peers] for peers in swarms)
    assert one == same
    assert one != other


def test_a_pace_holds_its_rate_after_a_burst() -> None:
    pace = Pace(per_second=10, burst=5)
    assert pace.spend(5, 100) == 0
    assert pace.spend(10, 100) == 1
    assert pace.spend(10, 101) == 1
    assert pace.spend(5, 200) == 0, "a pause gives no more than the burst"
    assert pace.spend(1, 200) == pytest.approx(0.1)
