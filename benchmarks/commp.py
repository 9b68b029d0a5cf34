"""fr32, Merkle trees and CommP, against what hashlib's own speed allows.

    python -m benchmarks.commp [--mib 1024] [--folder DIR]

A node of a tree hashes 64 bytes: two compressions, so 2 L at the speed at which hashlib streams.
CommP is measured from a file, which this writes first and the page cache then holds. The memory
that is printed is all of this process's, most of it numba's.
"""

import argparse
import os
import resource
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random

import numpy as np

from benchmarks.unit import measure
from proofs import kernels
from proofs.fr32 import QUAD_PADDED_BYTES, QUAD_PAYLOAD_BYTES
from proofs.merkle import fill_upper_rows
from proofs.piece import CommPHasher
from proofs.pool import Pool

ROUNDS = 5
QUADS = 1 << 16


def commit(path: Path, pool: Pool | None) -> float:
    """Return the wall seconds of one commitment."""
    start = time.perf_counter()
    hasher, buffer = CommPHasher(pool), bytearray(1 << 20)
    with path.open("rb", buffering=0) as file:
        while length := file.readinto(buffer):
            hasher.update(memoryview(buffer)[:length])
    hasher.finish()
    return time.perf_counter() - start


def measure_fr32() -> None:
    payload = np.frombuffer(Random(1).randbytes(QUADS * QUAD_PAYLOAD_BYTES), np.uint8).copy()
    padded, level = np.empty(QUADS * QUAD_PADDED_BYTES, np.uint8), kernels.level()
    for name, work in (
        ("fr32 pad", lambda: level.pad(payload, padded)),
        ("fr32 unpad", lambda: level.unpad(padded, payload)),
    ):
        print(f"{name:14}{payload.size / measure(work).core_seconds / 1e6:10.0f} MB/s (must 2000)")


def measure_commp(path: Path) -> None:
    size = path.stat().st_size
    commit(path, None)
    print(f"\n{'CommP, MB/s':14}{'1 thread':>10}{'of its core':>14}{'2 threads':>12}{'ratio':>8}")
    ones, twos = [], []
    for _ in range(ROUNDS):
        core = time.process_time()
        one = commit(path, None)
        core = time.process_time() - core
        with ThreadPoolExecutor(2) as pool:
            two = commit(path, pool)
        ones.append(one)
        twos.append(two)
        rates = [size / seconds / 1e6 for seconds in (one, core, two)]
        print(f"{'':14}{rates[0]:10.0f}{rates[1]:14.0f}{rates[2]:12.0f}{one / two:8.2f}")
    # Of the best runs: in one pair, another load may have met only one of them.
    print(f"{'best against best':48}{min(ones) / min(twos):10.2f} (must 1.8)")


def peak_mib() -> int:
    """Return the largest resident size of this process so far."""
    # Kibibytes on Linux, bytes on macOS.
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak >> (20 if sys.platform == "darwin" else 10)


def measure_tree(mib: int) -> None:
    leaves = np.frombuffer(Random(1).randbytes(1 << 20) * mib, np.uint8).reshape(-1, 32)
    upper = np.empty((len(leaves) - 1, 32), np.uint8)
    found = measure(lambda: fill_upper_rows(leaves, upper), repeats=ROUNDS)
    units, units_min = found.units / len(upper), found.units_min / len(upper)
    print(f"\ntree over {mib} MiB: {units:.2f} L a node, {2 / units:.2f} x the streaming rate")
    print(f"{'best':30}{2 / units_min:.2f} x (must 1.6)")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mib", type=int, default=1024, help="of the file, and of the leaves")
    parser.add_argument("--folder", type=Path, help="where the file is written, then deleted")
    chosen = parser.parse_args()
    print(f"kernels: {kernels.chosen()}\n")
    measure_fr32()
    with tempfile.TemporaryDirectory(dir=chosen.folder) as folder:
        path = Path(folder) / "car"
        with path.open("wb") as file:
            for mib in range(chosen.mib):
                file.write(Random(mib).randbytes(1 << 20))
            os.fsync(file.fileno())
        measure_commp(path)
    print(f"peak memory: {peak_mib()} MiB (at most 256)")
    measure_tree(chosen.mib)


if __name__ == "__main__":
    main()
