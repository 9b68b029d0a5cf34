"""What choking does to a swarm: 100 peers, free-riders and newcomers among them.

    python -m benchmarks.incentives [--seconds 3600] [--seed 0] [--plot docs/incentives.svg]

Runs the node's own choking code (`ipfs/bitswap/choking.py`) in a simulated swarm: 80 peers with
upload from 32 to 1,024 KiB/s, 10 free-riders that take and never give, and 10 newcomers that join
half-way with nothing. Prints how download follows upload share; exits with 1 if it does not.
"""

import argparse
import statistics
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

from ipfs.bitswap.choking import REGULAR_SLOTS
from tests.support.swarm import Member, Peer, run_swarm

KIB = 1024
CORRELATION_MIN = 0.7
"""As found of BitTorrent, e.g. Legout et al., *Clustering and Sharing Incentives* (2007)."""

FREE_RIDER_SHARE_MAX = 0.5
"""Of what a contributor gets in the mean."""

WIDTH, HEIGHT, MARGIN = 720, 440, 60


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a swarm, over the second half of its life.

    correlation:       of download with upload share, free-riders included
    free_rider_share:  a free-rider's download by a contributor's, in the mean
    newcomer_start_s:  seconds until the last of the newcomers was given anything
    newcomer_share:    a newcomer's download by that of residents with as much upload
    """

    peers: list[Peer]
    seconds: int
    correlation: float
    free_rider_share: float
    newcomer_start_s: int
    newcomer_share: float


def members(*, resident_count: int, seconds: int, seed: int) -> list[Member]:
    """Return residents, an eighth as many free-riders, and as many newcomers."""
    random = Random(seed)
    uploads = [2 ** random.uniform(5, 10) * KIB for _ in range(resident_count)]
    residents = [Member(upload) for upload in uploads]
    few = resident_count // 8
    free_riders = [Member(0.0) for _ in range(few)]
    median = statistics.median(uploads)
    return residents + free_riders + [Member(median, seconds // 2 + 7) for _ in range(few)]


def simulate(
    *,
    resident_count: int = 80,
    seconds: int = 3600,
    seed: int = 0,
    regular_slots: int = REGULAR_SLOTS,
) -> Outcome:
    """Run a swarm and say what came of it; without regular slots, all are served by chance."""
    swarm = run_swarm(
        members(resident_count=resident_count, seconds=seconds, seed=seed),
        seconds=seconds,
        seed=seed,
        regular_slots=regular_slots,
    )
    half = seconds // 2
    residents = [it for it in swarm if not it.member.joins_at_s]
    newcomers = [it for it in swarm if it.member.joins_at_s]
    givers = [it for it in residents if not it.is_free_rider]
    riders = [it for it in residents if it.is_free_rider]

    def mean_rate(peers: Sequence[Peer]) -> float:
        return statistics.mean(it.download_bytes_per_second(half, seconds) for it in peers)

    likes = sorted(
        givers,
        key=lambda it: abs(
            it.member.upload_bytes_per_second - newcomers[0].member.upload_bytes_per_second
        ),
    )[: len(newcomers)]
    return Outcome(
        peers=swarm,
        seconds=seconds,
        correlation=statistics.correlation(
            [it.member.upload_bytes_per_second for it in residents],
            [it.download_bytes_per_second(half, seconds) for it in residents],
        ),
        free_rider_share=mean_rate(riders) / mean_rate(givers),
        newcomer_start_s=max(
            next(at for at, got in enumerate(it.received_bytes[it.member.joins_at_s :]) if got)
            for it in newcomers
        ),
        newcomer_share=mean_rate(newcomers) / mean_rate(likes),
    )


def plot(outcome: Outcome) -> str:
    """Return a picture: upload share from left to right, download rate upwards."""
    half = outcome.seconds // 2
    total = sum(it.member.upload_bytes_per_second for it in outcome.peers)
    points = [
        (
            100 * it.member.upload_bytes_per_second / total,
            it.download_bytes_per_second(half, outcome.seconds) / KIB,
            "free-rider" if it.is_free_rider else "newcomer" if it.member.joins_at_s else "peer",
        )
        for it in outcome.peers
    ]
    x_max = 1.05 * max(x for x, _, _ in points)
    y_max = 1.05 * max(y for _, y, _ in points)

    def x_of(value: float) -> float:
        return MARGIN + value / x_max * (WIDTH - 2 * MARGIN)

    def y_of(value: float) -> float:
        return HEIGHT - MARGIN - value / y_max * (HEIGHT - 2 * MARGIN)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        'font-family="sans-serif" font-size="13">',
        "<style>.peer{fill:#3366cc}.free-rider{fill:#cc3333}.newcomer{fill:#e69500}</style>",
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        f'<path d="M{MARGIN} {MARGIN}V{HEIGHT - MARGIN}H{WIDTH - MARGIN}" '
        'fill="none" stroke="#444"/>',
    ]
    for tick in range(1, 5):
        x, y = tick * x_max / 5, tick * y_max / 5
        at_x = f'x="{x_of(x):.0f}" y="{HEIGHT - MARGIN + 18}" text-anchor="middle"'
        at_y = f'x="{MARGIN - 6}" y="{y_of(y) + 4:.0f}" text-anchor="end"'
        parts += [f"<text {at_x}>{x:.1f}</text>", f"<text {at_y}>{y:.0f}</text>"]
    parts += [
        f'<circle class="{kind}" cx="{x_of(x):.1f}" cy="{y_of(y):.1f}" r="4"/>'
        for x, y, kind in points
    ]
    for index, kind in enumerate(("peer", "free-rider", "newcomer")):
        parts += [
            f'<circle class="{kind}" cx="{MARGIN + 20}" cy="{MARGIN + 20 * index}" r="4"/>',
            f'<text x="{MARGIN + 30}" y="{MARGIN + 4 + 20 * index}">{kind}</text>',
        ]
    parts += [
        f'<text x="{WIDTH / 2}" y="{HEIGHT - 14}" text-anchor="middle">'
        "share of the swarm's upload, %</text>",
        f'<text x="{MARGIN}" y="{MARGIN - 20}">download, KiB/s (correlation '
        f"{outcome.correlation:.2f})</text>",
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=3600)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--plot", type=Path, help="write the picture here, as SVG")
    options = parser.parse_args()
    outcome = simulate(seconds=options.seconds, seed=options.seed)
    by_chance = simulate(seconds=options.seconds, seed=options.seed, regular_slots=0)
    print(
        f"download follows upload share with a correlation of {outcome.correlation:.2f} "
        f"(at least {CORRELATION_MIN})\n"
        f"a free-rider gets {outcome.free_rider_share:.0%} of what a contributor does "
        f"(at most {FREE_RIDER_SHARE_MAX:.0%})\n"
        f"every newcomer is given something within {outcome.newcomer_start_s} s, and then "
        f"{outcome.newcomer_share:.0%} of what residents with its upload get\n"
        f"were everybody served by chance: correlation {by_chance.correlation:.2f}, a free-rider "
        f"gets {by_chance.free_rider_share:.0%}"
    )
    if options.plot:
        options.plot.write_text(plot(outcome))
    is_fair = outcome.correlation >= CORRELATION_MIN
    sys.exit(0 if is_fair and outcome.free_rider_share <= FREE_RIDER_SHARE_MAX else 1)


if __name__ == "__main__":
    main()
