"""Seals a sector as Filecoin would, and holds its sealed CID to the one that was published.

    python -m benchmarks.filecoin_exact [--sector-size 512MiB] [--ticket-byte 1] [--folder DIR]

The sector is sector 1 of miner t01000, full of zeros, sealed with a ticket of 32 equal bytes, as
lotus's `lotus-bench simple` makes it. 512 MiB take minutes and 5 GiB of disk. Sealing goes on where
it was interrupted if --folder names the same folder again; hashing with Poseidon begins anew.
"""

import argparse
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.sealing import SECTOR_SIZES, Clock
from benchmarks.unit import measure
from ipfs.cid import CID, Codec, HashCode
from proofs import kernels
from proofs.filecoin_exact import commit, filecoin_parameters
from proofs.hashing import NODE_BYTES
from proofs.kernels import hashlib_level
from proofs.parameters import ProofParameters
from proofs.piece import zero_commitment
from proofs.replica import replica_id
from proofs.seal import seal

PUBLISHED = {
    ("2KiB", 0): "bagboea4b5abcbrshxgmmpaucffwp2elaofbcrvb7hmcu3653o4lsw2arlor4hn3c",
    ("512MiB", 0): "bagboea4b5abcbztu2gpgzz746m537wntioqm5mjnfay5dwsugfqyshv4zljmnwyb",
    ("512MiB", 1): "bagboea4b5abcbgfzry2gavrhgzhefwz3pyozaheii5kcjako55zr65zolhwmwbbq",
}
"""Sealed CIDs by sector size and ticket byte. filecoin-project/lotus `cmd/lotus-bench/simple.go`;
filecoin-project/lotus-docs `storage-providers/operate/benchmarks.md` (rust-fil-proofs) and
`tutorials/lotus-miner/supra-seal-pc2.md` (SupraSeal on a GPU; lotus pull request 11429 made the
ticket ones)."""

MINER_ID, SECTOR_NUMBER = 1000, 1
ROWS, ROWS_IN_PYTHON = 4096, 16


class Watch:
    """Prints each stage's laps, and on a terminal how far it has come."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._begun_seconds = time.monotonic()

    def progress(self, stage: str, done: int, total: int) -> None:
        seconds = time.monotonic() - self._begun_seconds
        if sys.stderr.isatty():
            left = seconds * (total - done) / done
            print(f"\r{stage}: {done / total:4.0%}, {left:.0f} s left  ", end="", file=sys.stderr)
        if done == total:
            if sys.stderr.isatty():
                print("\r\033[K", end="", file=sys.stderr)
            self._clock.lap(stage)
            self._begun_seconds = time.monotonic()


def sealed_cid(parameters: ProofParameters, ticket: bytes, folder: Path) -> str:
    """Return the sealed CID of a sector of zeros, as Filecoin's miners post it."""
    data_path, sealed = folder / "data", folder / "sealed"
    with data_path.open("wb") as data:
        data.truncate(parameters.sector_size_bytes)
    replica = replica_id(
        provider_id=MINER_ID, sector_number=SECTOR_NUMBER, ticket=ticket,
        comm_d=zero_commitment(parameters.tree_depth), porep_id=parameters.porep_id,
    )  # fmt: skip
    watch = Watch(Clock(parameters.node_count))
    with ThreadPoolExecutor(2) as pool:
        seal(parameters, replica, data_path, sealed, watch.progress, pool)
        found = commit(parameters, sealed, watch.progress, pool)
    cid = CID.from_digest(
        Codec.FIL_COMMITMENT_SEALED, HashCode.POSEIDON_BLS12_381_A2_FC1, found.comm_r
    )
    return str(cid)


def measure_hash() -> None:
    """Measure Poseidon at each arity, and how much faster than plain Python it is."""
    print(f"\n{'Poseidon, one thread':24}{'µs a hash':>12}{'L a hash':>12}{'× Python':>12}")
    for arity in (2, 8, 11):
        rows = np.ones((ROWS, arity * NODE_BYTES), np.uint8)
        hashes = np.empty((ROWS, NODE_BYTES), np.uint8)
        few, target = rows[:ROWS_IN_PYTHON], hashes[:ROWS_IN_PYTHON]
        fast = measure(partial(kernels.level().hash_elements, rows, hashes))
        slow = measure(partial(hashlib_level.hash_elements, few, target), repeats=3)
        microseconds = fast.core_seconds / ROWS * 1e6
        ratio = slow.units_min / ROWS_IN_PYTHON / (fast.units_min / ROWS)
        print(f"arity {arity:<18}{microseconds:12.1f}{fast.units_min / ROWS:12.0f}{ratio:12.0f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sector-size", choices=("2KiB", "8MiB", "512MiB"), default="2KiB")
    parser.add_argument("--ticket-byte", type=int, choices=range(256), default=0, metavar="0…255")
    parser.add_argument("--folder", type=Path, help="where the sector is sealed, and left")
    chosen = parser.parse_args()
    print(f"kernels: {kernels.chosen()}")
    parameters = filecoin_parameters(SECTOR_SIZES[chosen.sector_size])
    with ExitStack() as cleanup:
        folder = chosen.folder or Path(cleanup.enter_context(tempfile.TemporaryDirectory()))
        cid = sealed_cid(parameters, bytes([chosen.ticket_byte]) * NODE_BYTES, folder)
    published = PUBLISHED.get((chosen.sector_size, chosen.ticket_byte))
    print(f"\nsealed CID    {cid}")
    print(f"published     {published or 'not that we know of'}")
    measure_hash()
    if published not in (None, cid):
        sys.exit("another CID than the published one")


if __name__ == "__main__":
    main()
