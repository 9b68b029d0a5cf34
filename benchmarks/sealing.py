"""How long sealing and proving take, in units of one SHA-256 compression of the same run.

    python -m benchmarks.sealing [--sector-size 8MiB] [--folder DIR]

The unit, L, is in `unit.py`. Times are CPU seconds of this process.
"""

import argparse
import resource
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random
from statistics import median

import numpy as np

from benchmarks.unit import compression_seconds, measure
from proofs import kernels, porep, post
from proofs.graph import Graph
from proofs.hashing import NODE_BYTES
from proofs.kernels.arrays import Chain, NodeArray, working_nodes
from proofs.merkle import build_rows
from proofs.parameters import ProofParameters, ProofType
from proofs.piece import CommPHasher, PieceCommitment, comm_d
from proofs.registry import parameters_of
from proofs.replica import label_header, replica_id
from proofs.seal import seal, write_sector_data
from proofs.sealed import drop_proving_cache

SECTOR_SIZES = {"2KiB": ProofType.SDR_2KIB, "8MiB": ProofType.SDR_8MIB}
SECTOR_SIZES |= {"512MiB": ProofType.SDR_512MIB, "32GiB": ProofType.SDR_32GIB}

NODES = 1 << 18
TICKET, SEED, CHAIN = bytes(32), b"\1" * 32, b"benchmark"


def measure_kernels(parameters: ProofParameters) -> None:
    """Measure the kernels in the middle of sectors, whose two layers are in memory whole."""
    graph, level = Graph(parameters.node_count, parameters.porep_id), kernels.level()
    first, count = parameters.node_count * 3 // 4, min(parameters.node_count // 4, NODES)
    rows = level.parents(graph, first, count)
    chains = [
        Chain(label_header(bytes([number]) * 32, 2), *(sevens(parameters) for _ in range(2)))
        for number in range(2)
    ]
    leaves = chains[0].previous[:count]
    columns = np.ones((count, NODE_BYTES * parameters.layers), np.uint8)
    target = np.empty((count, NODE_BYTES), np.uint8)

    print(f"\n{'kernel':24}{'ns a node':>12}{'L a node':>12}{'best':>12}", end="")
    print(f"{'limit / L':>14}{'limit / best':>14}")
    for name, limit, work in (
        ("tree, whole", 2, lambda: build_rows(leaves)),
        ("columns", None, lambda: level.hash_messages(columns, target)),
        ("parents", None, lambda: level.parents(graph, first, count)),
        ("labels, one chain", 20, lambda: level.label_nodes(chains[:1], first, rows)),
        # Of both chains: a core that made one after the other could not do it in less than 40 L.
        ("labels, two chains", 40, lambda: level.label_nodes(chains, first, rows)),
    ):
        found = measure(work)
        nanoseconds = found.core_seconds / count * 1e9
        units, least = found.units / count, found.units_min / count
        share = f"{limit / units:14.2f}{limit / least:14.2f}" if limit else ""
        print(f"{name:24}{nanoseconds:12.1f}{units:12.2f}{least:12.2f}{share}", flush=True)


def sevens(parameters: ProofParameters) -> NodeArray:
    nodes = working_nodes(parameters.node_count)
    nodes[:] = 7
    return nodes


class Clock:
    """Prints what each step took, in CPU and wall seconds."""

    def __init__(self, node_count: int) -> None:
        self._node_count = node_count
        print(f"\n{'step':24}{'CPU s':>12}{'wall s':>12}{'L a node':>12}{'peak MiB':>12}")
        self._begin()

    def _begin(self) -> None:
        self._unit_seconds = compression_seconds()
        self._cpu_seconds, self._wall_seconds = time.process_time(), time.monotonic()

    def lap(self, name: str) -> None:
        """Print what was done since the last lap, and begin the next."""
        cpu_seconds = time.process_time() - self._cpu_seconds
        wall_seconds = time.monotonic() - self._wall_seconds
        unit_seconds = (self._unit_seconds + compression_seconds()) / 2
        units = cpu_seconds / self._node_count / unit_seconds
        # Kibibytes on Linux, bytes on macOS.
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        peak_mib = peak >> (20 if sys.platform == "darwin" else 10)
        print(
            f"{name:24}{cpu_seconds:12.2f}{wall_seconds:12.2f}{units:12.2f}{peak_mib:12}",
            flush=True,
        )
        self._begin()

    def progress(self, stage: str, done: int, total: int) -> None:
        """Count a stage of sealing as a lap."""
        if done == total:
            self.lap(f"seal: {stage}")


def measure_sector(parameters: ProofParameters, folder: Path) -> None:
    payload_path, data_path, sealed = folder / "payload", folder / "data", folder / "sealed"
    write_payload(payload_path, parameters.payload_bytes)
    clock = Clock(parameters.node_count)
    write_sector_data([(payload_path, 0)], parameters.sector_size_bytes, data_path)
    clock.lap("fr32 to disk")
    commitment = comm_d([commit(payload_path)], parameters.sector_size_bytes)
    clock.lap("CommP")
    replica = replica_id(
        provider_id=1, sector_number=1, ticket=TICKET, comm_d=commitment,
        porep_id=parameters.porep_id,
    )  # fmt: skip
    with ThreadPoolExecutor(2) as pool:
        found = seal(parameters, replica, data_path, sealed, clock.progress, pool)
    clock.lap("seal: sync")
    assert found.comm_d == commitment
    print(f"{'disk while sealing':24}{size_mib(sealed):12} MiB")

    replication = porep.PorepStatement(
        parameters=parameters, chain_id=CHAIN, provider_id=1, sector_number=1, ticket=TICKET,
        comm_d=commitment, comm_r=found.comm_r, seed=SEED,
        piece_ranges=((0, parameters.node_count),),
    )  # fmt: skip
    proof = porep.prove(replication, sealed)
    clock.lap("PoRep prove")
    porep.verify(replication, proof)
    clock.lap("PoRep verify")
    print(f"{'PoRep':24}{len(proof):12} bytes")

    drop_proving_cache(sealed, parameters)
    clock.lap("drop proving cache")
    window = post.WindowStatement(
        parameters=parameters, chain_id=CHAIN, provider_id=1, sector_number=1,
        comm_r=found.comm_r, seeds=(SEED,), piece_ranges=((0, parameters.node_count),),
    )  # fmt: skip
    answer = post.prove(window, sealed)
    clock.lap("PoSt prove")
    post.verify(window, answer)
    clock.lap("PoSt verify")
    print(f"{'PoSt':24}{len(answer):12} bytes")
    print(f"{'disk once proven':24}{size_mib(sealed):12} MiB")


def write_payload(path: Path, length: int) -> None:
    random = Random(1)
    with path.open("wb") as file:
        for start in range(0, length, 1 << 20):
            file.write(random.randbytes(min(1 << 20, length - start)))


def commit(path: Path) -> PieceCommitment:
    hasher = CommPHasher()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            hasher.update(chunk)
    return hasher.finish()


def size_mib(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir()) >> 20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sector-size", choices=SECTOR_SIZES, default="8MiB")
    parser.add_argument("--folder", type=Path, help="where the sector is sealed, then deleted")
    chosen = parser.parse_args()
    seconds = median(compression_seconds() for _ in range(7))
    print(f"L = {seconds * 1e9:.1f} ns; kernels: {kernels.chosen()}\n")
    parameters = parameters_of(SECTOR_SIZES[chosen.sector_size])
    with tempfile.TemporaryDirectory(dir=chosen.folder) as folder:
        measure_sector(parameters, Path(folder))
    measure_kernels(parameters)


if __name__ == "__main__":
    main()
