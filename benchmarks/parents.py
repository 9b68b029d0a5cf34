"""The parents of a whole sector: how fast they are found, and whether they are Filecoin's.

    python -m benchmarks.parents [--sector-size 512MiB]

Compared with the digests that rust-fil-proofs publishes in `parent_cache.json`, which lists two
graphs a size, of proof version 1 and 1.1; only the latter is made here. One core: 512 MiB take
seconds, 32 GiB minutes.
"""

import argparse
import hashlib
import time

from benchmarks.unit import compression_seconds
from proofs import kernels
from proofs.graph import Graph
from proofs.parameters import ProofType
from proofs.registry import parameters_of

CHUNK_NODES = 1 << 16
PUBLISHED = {
    "8MiB": (ProofType.SDR_8MIB, {
        "03cd13565ded97c240a5f52e54295ad127bd0461b57904cb3a4d79b097bbecab",
        "a76604f2f59f2744c7151653bbb1d8596b6b57d295e6fa6c1f0c41d725b502ce"}),
    "512MiB": (ProofType.SDR_512MIB, {
        "3adcc092423aa76d6a7184016893406da44dd974b219a89cd3ece25e4e3018f5",
        "b5877d1963793efebc261fd8fde4dd6bc59e6b5c7abf52617a4ee023b8dc173a"}),
    "32GiB": (ProofType.SDR_32GIB, {
        "93deeac5e3052b6927467d4b2641bb782f05491de18d510147c93eeedd8672da",
        "3c4f9841fcc75aed8c695800e58d08480629f25af3a2aefd81904181d75cc0b6"}),
    "64GiB": (ProofType.SDR_64GIB, {
        "2698b74eb2606b55b98d8b095e18b6320b47f46e00075956d48640ccd1641b03",
        "2778a732ad46a7dc18e0564dfdf59fd321dcde74ab476fd6d3c4e6735d7cd89c"}),
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sector-size", choices=PUBLISHED, default="512MiB")
    proof_type, published = PUBLISHED[parser.parse_args().sector_size]
    parameters = parameters_of(proof_type)
    count = parameters.node_count
    graph, level, state = Graph(count, parameters.porep_id), kernels.level(), hashlib.sha256()
    unit, taken = compression_seconds(), 0.0
    for first in range(0, count, CHUNK_NODES):
        start = time.process_time()
        rows = level.parents(graph, first, CHUNK_NODES)
        taken += time.process_time() - start
        state.update(rows.data)
    unit = (unit + compression_seconds()) / 2
    print(f"{taken / count * 1e9:.0f} ns a node, {taken / count / unit:.1f} L")
    assert state.hexdigest() in published, "these are not Filecoin's parents"
    print(f"{state.hexdigest()}: published")


if __name__ == "__main__":
    main()
