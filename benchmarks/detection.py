"""How likely a loss is found: docs/SECURITY.md's tables, computed, and held to drawn challenges.

    python -m benchmarks.detection [--runs 400]

Draws real challenges of 512 MiB sectors for seeds 0, 1, … and counts those runs in which at least
one meets what is lost. Beside each rate: how many sigma it is off what was computed.
"""

import argparse
from collections.abc import Iterable, Iterator
from dataclasses import replace
from math import ceil, log2, sqrt
from typing import Final

from proofs import porep, post
from proofs.parameters import ProofType
from proofs.registry import parameters_of

PARAMETERS: Final = parameters_of(ProofType.SDR_512MIB)
PIECE: Final = (PARAMETERS.node_count // 2, PARAMETERS.node_count // 2 + PARAMETERS.node_count // 8)
LOST: Final = (0.01, 0.05, 0.10, 0.50)
WRONG: Final = (0.005, 0.01, 0.02, 0.03, 0.039, 0.05, 0.10)
JUNK: Final = (0.05, 0.10, 0.25, 0.50, 0.75)
SECTOR_WINDOWS: Final = (1, 7)
PIECE_WINDOWS: Final = (1, 7, 30)

WINDOW: Final = post.WindowStatement(
    parameters=PARAMETERS, chain_id=b"chain", provider_id=1, sector_number=1, comm_r=bytes(32),
    seeds=(bytes(32),), piece_ranges=(PIECE,),
)  # fmt: skip
REPLICATION: Final = porep.PorepStatement(
    parameters=PARAMETERS, chain_id=b"chain", provider_id=1, sector_number=1, ticket=bytes(32),
    comm_d=bytes(32), comm_r=bytes(32), seed=bytes(32), piece_ranges=(),
)  # fmt: skip


def found(lost_share: float, challenge_count: int) -> float:
    """Return the probability that at least one challenge meets what is lost."""
    return 1 - (1 - lost_share) ** challenge_count


def likely(probability: float) -> str:
    """Return a probability as the tables have it."""
    return f"{100 * probability:.1f} %" if probability <= 0.9999 else "> 99.99 %"


def unlikely(probability: float) -> str:
    """Return a probability as the tables have it, small ones as a power of two above it."""
    return likely(probability) if probability >= 0.001 else f"2^{ceil(log2(probability))}"


def rows() -> Iterator[str]:
    """Yield the rows of SECURITY.md's tables."""
    sector, piece = PARAMETERS.window_challenge_count, PARAMETERS.piece_challenge_count
    for share in LOST:
        cells = [found(share, sector * windows) for windows in SECTOR_WINDOWS]
        cells += [found(share, piece * windows) for windows in PIECE_WINDOWS]
        yield _row(f"{100 * share:g} %", map(likely, cells))
    replication = PARAMETERS.porep_challenge_count
    yield _row("wrong", (f"{100 * share:g} %" for share in WRONG))
    yield _row("passes", (unlikely((1 - share) ** replication) for share in WRONG))
    yield _row("of a small piece is junk", (*(f"{100 * share:g} %" for share in JUNK), "all of it"))
    yield _row("passes", (*(unlikely((1 - share) ** piece) for share in JUNK), "never"))


def _row(name: str, cells: Iterable[str]) -> str:
    return f"| {' | '.join((name, *cells))} |"


def seed_of(run: int, window: int) -> bytes:
    """Return the seed of one window of one run."""
    return run.to_bytes(16, "big") + window.to_bytes(16, "big")


def is_found_in_windows(share: float, windows: int, run: int, *, in_piece: bool) -> bool:
    """Draw windows' challenges; return whether one meets the lost start of the sector or piece."""
    seeds = tuple(seed_of(run, window) for window in range(windows))
    count, start, end = PARAMETERS.window_challenge_count, 0, PARAMETERS.node_count
    if in_piece:
        start, end = PIECE
    for seed in seeds:
        asked = post.challenges(replace(WINDOW, seeds=(seed,)))
        asked = asked[count:] if in_piece else asked[:count]
        if any(start <= node < start + share * (end - start) for node in asked):
            return True
    return False


def is_found_in_replication(share: float, run: int) -> bool:
    """Draw a proof of replication's challenges; return whether one meets what is wrong."""
    asked = porep.challenges(replace(REPLICATION, seed=seed_of(run, 0)))
    return min(asked) <= share * PARAMETERS.node_count


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=400)
    runs = range(parser.parse_args().runs)
    print("\n".join(rows()), "\n")

    def tell(what: str, computed: float, hits: int) -> None:
        sigma = sqrt(len(runs) * computed * (1 - computed))
        off = abs(hits - len(runs) * computed)
        print(f"{what}: computed {likely(computed)}, drawn {likely(hits / len(runs))},"
              f" {off / sigma if sigma > 0.5 else off:.1f} sigma off")  # fmt: skip

    for share in LOST:
        for in_piece, windows_of in ((False, SECTOR_WINDOWS), (True, PIECE_WINDOWS)):
            count = (PARAMETERS.window_challenge_count, PARAMETERS.piece_challenge_count)[in_piece]
            for windows in windows_of:
                hits = sum(
                    is_found_in_windows(share, windows, run, in_piece=in_piece) for run in runs
                )
                what = (
                    f"{100 * share:g} % of the {('sector', 'piece')[in_piece]}, {windows} windows"
                )
                tell(what, found(share, count * windows), hits)
    for share in WRONG:
        hits = sum(is_found_in_replication(share, run) for run in runs)
        computed = found(share, PARAMETERS.porep_challenge_count)
        tell(f"{100 * share:g} % wrong, replication", computed, hits)


if __name__ == "__main__":
    main()
