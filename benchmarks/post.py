"""Proofs on a 512 MiB sector: what they read, how long they take to make and to verify.

    python -m benchmarks.post [--folder DIR]

The replica is random, which no proof of spacetime can tell; 2 GiB of disk. Warm is from the page
cache; cold is after it was told to forget the files, where the disk says what a read costs.
"""

import argparse
import hashlib
import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from random import Random
from statistics import median
from typing import Any

import numpy as np
from py_ecc.bls.ciphersuites import G2ProofOfPossession

from benchmarks.unit import compression_seconds
from proofs import bls_arkworks, bls_py_ecc, kernels, post
from proofs.bls import PublicKey, SecretKey
from proofs.hashing import NODE_BYTES, comm_r
from proofs.merkle import fill_upper_rows
from proofs.parameters import ProofParameters, ProofType
from proofs.registry import parameters_of
from proofs.sealed import (
    REPLICA,
    TREE_R_LAST,
    Manifest,
    SealedCommitments,
    create_nodes,
    write_manifest,
)

ROUNDS = 200


def write_sector(parameters: ProofParameters, folder: Path) -> SealedCommitments:
    replica = create_nodes(folder / REPLICA, parameters.node_count)
    upper = create_nodes(folder / TREE_R_LAST, parameters.node_count - 1)
    some = np.frombuffer(Random(1).randbytes(1 << 20), np.uint8).reshape(-1, NODE_BYTES)
    for start in range(0, len(replica), len(some)):
        replica[start : start + len(some)] = some
        replica[start, :8] = np.frombuffer(start.to_bytes(8, "big"), np.uint8)
    fill_upper_rows(replica, upper)
    root = upper[-1].tobytes()
    commitments = SealedCommitments(bytes(32), bytes(32), root, comm_r(bytes(32), root))
    write_manifest(folder, Manifest(parameters.proof_type, bytes(32), commitments))
    return commitments


def forget(folder: Path) -> None:
    for path in folder.iterdir():
        handle = os.open(path, os.O_RDONLY)
        os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(handle)


def measure_window(parameters: ProofParameters, folder: Path) -> None:
    commitments = write_sector(parameters, folder)
    statement = post.WindowStatement(
        parameters=parameters, chain_id=b"chain", provider_id=1, sector_number=1,
        comm_r=commitments.comm_r, seeds=(bytes(32),), piece_ranges=(),
    )  # fmt: skip
    seeds = [hashlib.sha256(bytes([at])).digest() for at in range(ROUNDS)]
    statements = [replace(statement, seeds=(seed,)) for seed in seeds]

    def keep() -> None:
        """Leave the page cache as it is."""

    for name, before in (("warm", keep), ("cold", lambda: forget(folder))):
        seconds = []
        for about in statements[:20]:
            before()
            start = time.perf_counter()
            proof = post.prove(about, folder)
            seconds.append(time.perf_counter() - start)
        print(f"prove, {name}: {median(seconds) * 1e3:.1f} ms, best {min(seconds) * 1e3:.1f} ms"
              f" (warm must 20); reads {len(proof)} bytes (at most 200,000)")  # fmt: skip

    proofs = [post.prove(about, folder) for about in statements]
    for name, level in (("hashlib", "loads nothing"), (kernels.level_name(), "once worth it")):
        if name != "hashlib":
            while kernels.level_for(1 << 20) is not kernels.level():
                pass
            post.verify(statements[0], proofs[0])
        unit, start = compression_seconds(), time.process_time()
        for about, proof in zip(statements, proofs, strict=True):
            post.verify(about, proof)
        taken = (time.process_time() - start) / ROUNDS
        unit = (unit + compression_seconds()) / 2
        limit = 2 * 66 * parameters.tree_depth
        print(f"verify, {name} ({level}): {1 / taken:.0f} sectors a second and core (must 2000);"
              f" {limit * unit / taken:.2f} of the limit by L")  # fmt: skip


def measure_bls() -> None:
    """Verify many messages under one key, as a ledger's readers do; ours is checked once."""
    secret, message = SecretKey.from_seed(bytes(32)), bytes(32)
    signature = secret.sign(message)
    suite: Any = G2ProofOfPossession
    ways: list[tuple[str, int, Callable[[], bool]]] = [
        ("py_ecc's own Verify", 5, lambda: suite.Verify(secret.public_key, message, signature))
    ]
    for name, library, rounds in (("py_ecc, same", bls_py_ecc, 5), ("arkworks", bls_arkworks, 100)):
        key = PublicKey(secret.public_key, library)
        ways.append((name, rounds, partial(key.verify, message, signature)))
    taken = {}
    for name, rounds, verify in ways:
        start = time.process_time()
        assert all(verify() for _ in range(rounds))
        taken[name] = (time.process_time() - start) / rounds
    ours = taken.pop("arkworks")
    ratios = ", ".join(f"{seconds / ours:.0f} x {name}" for name, seconds in taken.items())
    print(f"BLS verify: {ours * 1e3:.2f} ms; {ratios} (must 200)")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, help="where the sector is written, then deleted")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=chosen.folder) as folder:
        measure_window(parameters_of(ProofType.SDR_512MIB), Path(folder))
    measure_bls()


if __name__ == "__main__":
    main()
