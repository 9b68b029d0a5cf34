"""Labels of whole layers: the chains on this thread, the parents they need next on another."""

from collections.abc import Callable, Sequence
from typing import TypeAlias

from proofs import kernels
from proofs.graph import Graph
from proofs.kernels.arrays import Chain, NodeArray, ParentArray
from proofs.merkle import as_nodes
from proofs.parameters import BASE_DEGREE
from proofs.pool import HERE, Pending, Pool
from proofs.replica import label, label_header

Progress: TypeAlias = Callable[[str, int, int], None]
"""Told the name of the stage, how many nodes of it are done, and of how many."""

_CHUNK_NODES = 1 << 15


class Stage:
    """Counts one stage's nodes for whoever watches."""

    def __init__(self, name: str, total: int, *watchers: Progress | None) -> None:
        self._name, self._total, self._done = name, total, 0
        self._watchers = [watcher for watcher in watchers if watcher]

    def advance(self, count: int) -> None:
        """Note that so many nodes more are done."""
        self._done += count
        for watcher in self._watchers:
            watcher(self._name, self._done, self._total)


def begin_layer(
    replica_id: bytes, layer_number: int, previous: NodeArray | None, layer: NodeArray
) -> Chain:
    """Label node 0, which has no parents; the chain goes on from there.

    layer_number:  from 1
    previous:      (n, 32), the layer before; None for the first
    layer:         (n, 32), written
    """
    layer[0] = as_nodes(label(replica_id, layer_number, 0, ()))[0]
    header = label_header(replica_id, layer_number)
    return Chain(header, layer if previous is None else previous, layer)


def label_layer(
    graph: Graph,
    layer_number: int,
    chains: Sequence[Chain],
    *watchers: Progress | None,
    pool: Pool = HERE,
    end: int | None = None,
) -> None:
    """Compute the labels of one layer of some sectors in place, from node 1 on.

    layer_number:  from 1, the same for all
    chains:        as begun; the parents are found once for all of them
    pool:          finds the parents of the next nodes meanwhile
    end:           the first node that is not labelled; None: all are
    """
    level, degree = kernels.level(), BASE_DEGREE if layer_number == 1 else None
    end = graph.node_count if end is None else end
    stage = Stage(f"layer {layer_number}", end, *watchers)

    def find(start: int) -> Pending[ParentArray]:
        return pool.submit(level.parents, graph, start, min(_CHUNK_NODES, end - start))

    found = find(0)
    for start in range(0, end, _CHUNK_NODES):
        rows = found.result()
        if start + len(rows) < end:
            found = find(start + len(rows))
        # Node 0 has no parents.
        first = max(start, 1)
        level.label_nodes(chains, first, rows[first - start :, :degree])
        stage.advance(len(rows))
