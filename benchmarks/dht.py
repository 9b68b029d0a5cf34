"""How the DHT finds: simulated thousands with churn and Sybils, and 50 real nodes on loopback.

    python -m benchmarks.dht [--nodes 1000 10000] [--lookups 300] [--local 50] [--seed 0]

The simulation runs the node's own `RoutingTable` and `Lookup`; a round trip takes 150 ms in the
mean (exponential), a dead peer 1 s, a Sybil nothing. A lookup succeeds if it finds the nearest live
peer; with Sybils, who name forty false providers each, if it passes on the true one. Exits with 1
if a limit is not held.
"""

import argparse
import asyncio
import statistics
import sys
import time
from contextlib import AsyncExitStack

from ipfs.cid import CID, Codec
from ipfs.kad.keyspace import key_of
from ipfs.kad.stream import Kademlia
from ipfs.p2p.multiaddr import Multiaddr
from ipfs.p2p.peer_id import Identity
from ipfs.p2p.swarm import Swarm
from tests.support.kad import nearest, providers_of, where
from tests.support.kad_simulation import K, Simulation, Walk

LOOPBACK = Multiaddr.parse("/ip4/127.0.0.1/tcp/0")
LOCAL_MS_MAX = 50
SUCCESS_MIN = 0.99
SYBIL_SHARE = 0.3
CROWD = 100


def key_number(number: int) -> bytes:
    """Return one of many keys."""
    return CID.of(Codec.RAW, b"block %d" % number).multihash


def with_churn(nodes_count: int, dead_share: float, lookups: int, seed: int) -> float:
    """Print how lookups go while a share of everybody's peers has died; return the success."""
    simulation = Simulation(nodes_count, seed=seed)
    simulation.dies(dead_share)
    live = simulation.live()
    walks: list[Walk] = []
    found = 0
    for number in range(lookups):
        key = key_number(number)
        start = simulation.random.choice(live)
        walks.append(simulation.walk(start, key, paths=3))
        found += walks[-1].closest[:1] == tuple(
            nearest(key_of(key), (node for node in live if node != start), 1)
        )
    latencies = [walk.ms for walk in walks]
    print(
        f"{nodes_count:6} nodes, {dead_share:4.0%} dead: "
        f"{statistics.fmean(walk.hops for walk in walks):4.1f} hops, "
        f"{statistics.fmean(len(walk.asked) for walk in walks):5.1f} asked, "
        f"p50 {statistics.median(latencies):5.0f} ms, "
        f"p95 {statistics.quantiles(latencies, n=20)[-1]:5.0f} ms simulated, "
        f"success {found / lookups:.1%}"
    )
    return found / lookups


def with_sybils(nodes_count: int, paths: int, lookups: int, seed: int) -> float:
    """Print how often a provider is found though Sybils sit around its key; return the share."""
    simulation = Simulation(nodes_count, seed=seed)
    found = 0
    for number in range(lookups):
        key = key_number(number)
        around = nearest(key_of(key), simulation.nodes, 5 * K)
        simulation.conspire(simulation.random.sample(around, int(SYBIL_SHARE * len(around))))
        provider, asker = simulation.random.sample(simulation.live(), 2)
        keepers = {*simulation.walk(provider, key, paths=paths).closest} - {*simulation.sybils}
        found += simulation.finds(asker, key, provider, keepers, paths=paths)
    print(
        f"{nodes_count:6} nodes, {SYBIL_SHARE:.0%} Sybils of the {5 * K} nearest, "
        f"{paths} path(s): provider found {found / lookups:.1%}"
    )
    return found / lookups


def with_crowd(nodes_count: int, crowd: int, lookups: int, seed: int) -> float:
    """Print how often a provider is found though ids of one network surround its key."""
    found = 0
    for number in range(lookups):
        key = key_number(number)
        simulation = Simulation(nodes_count, seed=seed)
        simulation.crowd(key, crowd)
        provider, asker = simulation.random.sample(simulation.live(), 2)
        keepers = {*simulation.walk(provider, key, paths=3).closest} - {*simulation.sybils}
        found += simulation.finds(asker, key, provider, keepers, paths=3)
    print(
        f"{nodes_count:6} nodes, {crowd} ids of one network nearest to the key: "
        f"provider found {found / lookups:.1%}"
    )
    return found / lookups


async def on_loopback(count: int) -> float:
    """Print how long whole lookups take between real nodes; return their median in ms."""
    async with AsyncExitStack() as stack:
        hosts = [
            await stack.enter_async_context(Swarm(Identity.generate(), listen=[LOOPBACK]))
            for _ in range(count)
        ]
        nodes = [Kademlia(host) for host in hosts]
        for node in nodes[1:]:
            await node.bootstrap([where(hosts[0])])
            await nodes[0].greet()
        for node in nodes:
            await node.greet()
        took_ms: list[float] = []
        cpu_ms: list[float] = []
        for number in range(2 * count):
            cid = CID.of(Codec.RAW, b"block %d" % number)
            await nodes[number % count].provide(cid)
            started, cpu_started = time.perf_counter(), time.process_time()
            found = await providers_of(nodes[(number * 7 + 1) % count], cid)
            took_ms.append(1000 * (time.perf_counter() - started))
            cpu_ms.append(1000 * (time.process_time() - cpu_started))
            assert found == [where(hosts[number % count])]
    median_ms = statistics.median(took_ms)
    print(
        f"{count:6} real nodes, TCP, one process: a whole lookup p50 {median_ms:.0f} ms, "
        f"p95 {statistics.quantiles(took_ms, n=20)[-1]:.0f} ms (p50 at most {LOCAL_MS_MAX}); "
        f"CPU of all {count} p50 {statistics.median(cpu_ms):.0f} ms"
    )
    return median_ms


def main() -> int:
    """Print every figure; return 1 if a limit is not held."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--nodes", type=int, nargs="*", default=[1_000, 10_000])
    parser.add_argument("--lookups", type=int, default=300)
    parser.add_argument("--local", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    is_held = True
    for count in chosen.nodes:
        for dead_share in (0, 0.2, 0.4):
            success = with_churn(count, dead_share, chosen.lookups, chosen.seed)
            is_held &= success >= SUCCESS_MIN
        for paths in (1, 3):
            success = with_sybils(count, paths, chosen.lookups, chosen.seed)
            is_held &= paths == 1 or success >= SUCCESS_MIN
        success = with_crowd(count, CROWD, min(chosen.lookups, 30), chosen.seed)
        is_held &= success >= SUCCESS_MIN
    is_held &= asyncio.run(on_loopback(chosen.local)) < LOCAL_MS_MAX
    return 0 if is_held else 1


if __name__ == "__main__":
    sys.exit(main())
