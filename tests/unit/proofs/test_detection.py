"""Cheats are caught as often as the mathematics says: seeded runs, within three sigma."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from math import sqrt
from pathlib import Path
from random import Random

import pytest

from benchmarks import detection
from proofs import porep, post
from proofs.errors import ProofRejected
from proofs.multiproof import distinct, siblings
from proofs.parameters import ProofType
from proofs.porep import PorepStatement
from proofs.post import WindowStatement
from proofs.registry import parameters_of
from tests.support.cheats import (
    COUNT,
    SMALL,
    Commitment,
    encoded,
    honest_prover,
    is_rejected,
    labelled,
)
from tests.support.sectors import SealedSector, seal_sector, some_bytes


def assert_rate(runs: int, probability: float, is_caught: Callable[[bytes], bool]) -> None:
    """Check that as many of the seeded runs are caught as should be, within three sigma."""
    caught = sum(is_caught(run.to_bytes(32, "big")) for run in range(runs))
    sigma = sqrt(runs * probability * (1 - probability))
    assert abs(caught - runs * probability) <= 3 * sigma, (caught, runs * probability, sigma)


@pytest.fixture(scope="module")
def sector(tmp_path_factory: pytest.TempPathFactory) -> SealedSector:
    # Full: where there are zeros, a key alone is its right encoding.
    return seal_sector(tmp_path_factory.mktemp("sector"), (some_bytes("full", 2032),))


@pytest.fixture(scope="module")
def honest(sector: SealedSector) -> Commitment:
    return honest_prover(sector)


@pytest.fixture(scope="module")
def statement(sector: SealedSector) -> PorepStatement:
    return replace(sector.porep_statement(), piece_ranges=())


@pytest.mark.parametrize(
    ("wrong_count", "challenge_count", "runs"), [(3, 20, 250), (32, 3, 400), (1, 66, 80)]
)
def test_wrong_labels_are_caught_as_often_as_computed(
    honest: Commitment,
    statement: PorepStatement,
    wrong_count: int,
    challenge_count: int,
    runs: int,
) -> None:
    random = Random(wrong_count)
    wrong = random.sample(range(1, COUNT), wrong_count)
    chosen = {(random.choice((1, 2)), node): some_bytes(f"{node}", 31) + b"\0" for node in wrong}
    layers = labelled(statement.replica_id, chosen)
    cheat = Commitment(honest.data, layers, encoded(honest.data, layers[-1]))
    parameters = replace(SMALL, porep_challenge_count=challenge_count)

    def is_caught(seed: bytes) -> bool:
        about = replace(statement, comm_r=cheat.comm_r, seed=seed, parameters=parameters)
        return is_rejected(porep.verify, about, cheat.prove_replication(about))

    assert_rate(runs, 1 - (1 - wrong_count / (COUNT - 1)) ** challenge_count, is_caught)


@pytest.mark.parametrize(
    ("lost_count", "challenge_count", "runs"), [(3, 20, 400), (32, 2, 400), (1, 66, 400)]
)
def test_lost_nodes_are_caught_as_often_as_computed(
    sector: SealedSector, honest: Commitment, lost_count: int, challenge_count: int, runs: int
) -> None:
    lost = set(Random(lost_count).sample(range(COUNT), lost_count))
    # It kept the whole tree, the data and the labels' hashes, but not these nodes of the replica.
    kept = [honest.data[node] if node in lost else honest.replica[node] for node in range(COUNT)]
    parameters = replace(SMALL, window_challenge_count=challenge_count)
    window = replace(sector.window_statement(), parameters=parameters, piece_ranges=())

    def is_caught(seed: bytes) -> bool:
        about = replace(window, seeds=(seed,))
        asked = distinct(post.challenges(about))
        answers = [kept[node] for node in asked]
        nodes = (*honest.roots, *answers, *siblings(honest.replica_rows, asked))
        return is_rejected(post.verify, about, b"".join(nodes))

    assert_rate(runs, 1 - (1 - lost_count / COUNT) ** challenge_count, is_caught)


def real_statement(
    seed: bytes, *, piece_ranges: tuple[tuple[int, int], ...] = ()
) -> PorepStatement:
    parameters = parameters_of(ProofType.SDR_512MIB)
    return PorepStatement(
        parameters=parameters, chain_id=b"chain", provider_id=1, sector_number=1,
        ticket=bytes(32), comm_d=bytes(32), comm_r=bytes(32), seed=seed, piece_ranges=piece_ranges,
    )  # fmt: skip


def real_window(*seeds: bytes, piece_ranges: tuple[tuple[int, int], ...] = ()) -> WindowStatement:
    return WindowStatement(
        parameters=parameters_of(ProofType.SDR_512MIB), chain_id=b"chain", provider_id=1,
        sector_number=1, comm_r=bytes(32), seeds=seeds, piece_ranges=piece_ranges,
    )  # fmt: skip


def test_real_sectors_are_challenged_often_enough_for_what_is_promised() -> None:
    count = parameters_of(ProofType.SDR_512MIB).node_count
    one_percent = count // 100

    def replication_hits(seed: bytes) -> bool:
        return min(porep.challenges(real_statement(seed))) <= one_percent

    def one_window_hits(seed: bytes) -> bool:
        return min(post.challenges(real_window(seed))) < one_percent

    def seven_windows_hit(seed: bytes) -> bool:
        seeds = tuple(bytes([window]) + seed[1:] for window in range(7))
        return min(post.challenges(real_window(*seeds))) < one_percent

    def a_fixed_share_is_hit(seed: bytes) -> bool:
        return min(porep.challenges(real_statement(seed))) <= 0.039 * count

    assert_rate(400, 1 - 0.99**176, replication_hits)
    assert_rate(400, 1 - (1 - 0.039) ** 176, a_fixed_share_is_hit)
    assert_rate(400, 1 - 0.99**66, one_window_hits)
    assert_rate(400, 1 - 0.99 ** (7 * 66), seven_windows_hit)
    assert 1 - 0.99 ** (7 * 66) > 0.99
    assert (1 - 0.039) ** 176 < 2**-10 < (1 - 0.038) ** 176
    assert round(100 * 0.99**176) == 17


@pytest.mark.parametrize(("junk_count", "challenge_count"), [(8, 1), (4, 1), (2, 2), (1, 8)])
def test_junk_in_place_of_a_small_piece_is_caught_as_often_as_computed(
    tmp_path: Path, junk_count: int, challenge_count: int
) -> None:
    payloads = (some_bytes("small", 254), some_bytes("large", 1016))
    sector = seal_sector(tmp_path, payloads)
    piece = sector.piece_ranges[0]
    assert piece == (0, 8)
    about = replace(sector.porep_statement(), piece_ranges=(piece,))
    parameters = replace(SMALL, porep_challenge_count=1, piece_challenge_count=challenge_count)
    # Every label is right and CommD is the deals'; part of the piece encodes something else.
    honest = honest_prover(sector)
    wrong = set(range(piece[1] - junk_count, piece[1]))
    data = [
        some_bytes(f"{node}", 31) + b"\0" if node in wrong else honest.data[node]
        for node in range(COUNT)
    ]
    cheat = Commitment(honest.data, honest.layers, encoded(data, honest.layers[-1]))

    def is_caught(seed: bytes) -> bool:
        asked = replace(about, comm_r=cheat.comm_r, seed=seed, parameters=parameters)
        return is_rejected(porep.verify, asked, cheat.prove_replication(asked))

    # Node 0 is never asked for: of the piece 7 nodes are, of the sector 63.
    kept_in_piece = 1 - min(junk_count, 7) / 7
    kept_in_sector = 1 - min(junk_count, 7) / (COUNT - 1)
    assert_rate(400, 1 - kept_in_sector * kept_in_piece**challenge_count, is_caught)


def test_replication_looks_into_a_small_piece_eight_times() -> None:
    # Without its own challenges 71 % of the proofs would never look into 1 MiB of 512.
    count = parameters_of(ProofType.SDR_512MIB).node_count
    start, end = count // 2, count // 2 + count // 512
    assert round(100 * (1 - 1 / 512) ** 176) == 71

    def a_tenth_is_hit(seed: bytes) -> bool:
        asked = porep.challenges(real_statement(seed, piece_ranges=((start, end),)))
        assert all(start <= node < end for node in asked[176:])
        assert len(asked) == 176 + 8
        return any(start <= node < start + (end - start) // 10 for node in asked)

    assert_rate(400, 1 - 0.9**8 * (1 - 1 / 5120) ** 176, a_tenth_is_hit)


def test_the_longest_proof_fits_what_the_network_takes() -> None:
    largest = parameters_of(ProofType.SDR_64GIB)
    assert porep.longest_proof_bytes(largest, piece_count=64) == 32 * (2 + (176 + 64 * 8) * 694)
    assert porep.longest_proof_bytes(largest, piece_count=64) < 16 << 20
    assert post.longest_proof_bytes(largest, seed_count=8, piece_count=64) < 5 << 20


def test_the_published_tables_are_what_is_computed() -> None:
    security = (Path(__file__).parents[3] / "docs" / "SECURITY.md").read_text()
    assert [row for row in detection.rows() if row not in security] == []


def test_a_small_piece_that_is_lost_is_found_by_its_own_challenges() -> None:
    # Four nodes in 16 million: the sector's own challenges would need millennia.
    piece = (1 << 20, (1 << 20) + 4)
    asked = post.challenges(real_window(bytes(32), piece_ranges=((0, 4), piece)))
    assert sum(piece[0] <= node < piece[1] for node in asked) == 8


def test_challenges_are_spread_evenly() -> None:
    seeds = [run.to_bytes(32, "big") for run in range(300)]
    about = replace(real_window(bytes(32)), parameters=SMALL)
    windows = Counter(
        node for seed in seeds for node in post.challenges(replace(about, seeds=(seed,)))
    )
    many = replace(SMALL, porep_challenge_count=66)
    replication = Counter(
        node
        for seed in seeds
        for node in porep.challenges(replace(real_statement(seed), parameters=many))
    )
    assert 0 not in replication
    for found, cells in ((windows, COUNT), (replication, COUNT - 1)):
        expected = found.total() / cells
        assert len(found) == cells
        chi_squared = sum((hits - expected) ** 2 / expected for hits in found.values())
        # Its mean is the degrees of freedom, its variance twice them.
        assert abs(chi_squared - (cells - 1)) < 4 * sqrt(2 * (cells - 1))


def test_the_remainder_favours_no_node_measurably() -> None:
    largest = parameters_of(ProofType.SDR_64GIB).node_count
    assert largest / 2**256 < 2**-220


def test_no_two_purposes_chains_or_parties_share_challenges() -> None:
    window, replication = real_window(bytes(32)), real_statement(bytes(32))
    drawn = [
        post.challenges(window),
        post.challenges(replace(window, chain_id=b"chai")),
        post.challenges(replace(window, provider_id=2)),
        post.challenges(replace(window, sector_number=2)),
        post.challenges(replace(window, provider_id=0, sector_number=1)),
        post.challenges(real_window(bytes(32), piece_ranges=((0, 1 << 24),)))[66:],
        porep.challenges(replication),
        porep.challenges(replace(replication, chain_id=b"chai")),
        porep.challenges(replace(replication, comm_r=b"\1" + bytes(31))),
        porep.challenges(replace(replication, ticket=b"\1" + bytes(31))),
        porep.challenges(replace(replication, piece_ranges=((0, 1 << 24),)))[176:],
        porep.challenges(replace(replication, piece_ranges=((0, 1 << 23),)))[176:],
    ]
    flat = Counter(node for challenges in drawn for node in set(challenges))
    # A thousand draws of 16 million: a pair or two may meet by chance, sequences may not.
    assert sum(hits - 1 for hits in flat.values()) <= 3


def test_grinding_a_commitment_draws_anew_but_not_better() -> None:
    # Whoever has a hundredth wrong and knew the seed would pass once in 1 / 0.99^176 = 6 tries; so
    # the seed is drawn after CommR is on the ledger, and each try costs a deposit.
    wrong = parameters_of(ProofType.SDR_512MIB).node_count // 100

    def is_hit(choice: bytes) -> bool:
        return min(porep.challenges(replace(real_statement(bytes(32)), comm_r=choice))) <= wrong

    assert_rate(400, 1 - 0.99**176, is_hit)
    # In a window there is nothing that the prover may choose.
    window = real_window(bytes(32))
    assert post.challenges(window) == post.challenges(replace(window, comm_r=b"\1" + bytes(31)))


def test_a_node_that_is_asked_for_twice_is_given_once(
    sector: SealedSector, honest: Commitment
) -> None:
    window = replace(sector.window_statement(), piece_ranges=())
    asked = sorted(post.challenges(window))
    assert len(set(asked)) < len(asked)
    above = siblings(honest.replica_rows, distinct(asked))
    nodes = (*honest.roots, *(honest.replica[node] for node in asked), *above)
    with pytest.raises(ProofRejected, match="bytes, not"):
        post.verify(window, b"".join(nodes))
