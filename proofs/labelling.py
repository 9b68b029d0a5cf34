"""Labels of whole layers: the chain on this thread, the parents it needs next on another."""

from collections.abc import Callable
from typing import TypeAlias

from proofs import kernels
from proofs.graph import Graph
from proofs.kernels.arrays import NodeArray, ParentArray
from proofs.merkle import as_nodes
from proofs.parameters import BASE_DEGREE
from proofs.pool import HERE, Pending, Pool
from proofs.replica import label, label_header

Progress: TypeAlias = Callable[[str, int, int], None]
"""Told the name of the stage, how many nodes of it are done, and of how many."""

_CHUNK_NODES = 1 << 15


class Stage:
    """Counts one stage's nodes for whoever watches."""

    def __init__(self, name: str, total: int, progress: Progress | None) -> None:
        self._name, self._total, self._done, self._progress = name, total, 0, progress

    def advance(self, count: int) -> None:
        """Note that so many nodes more are done."""
        self._done += count
        if self._progress:
            self._progress(self._name, self._done, self._total)


def label_layer(
    graph: Graph,
    replica_id: bytes,
    layer_number: int,
    previous: NodeArray | None,
    layer: NodeArray,
    progress: Progress | None = None,
    pool: Pool = HERE,
) -> None:
    """Compute one layer's labels in place.

    layer_number:  from 1
    previous:      (n, 32), the layer before; None for the first
    layer:         (n, 32), written
    pool:          finds the parents of the next nodes meanwhile
    """
    level, header = kernels.level(), label_header(replica_id, layer_number)
    degree = BASE_DEGREE if previous is None else None
    stage = Stage(f"layer {layer_number}", len(layer), progress)
    layer[0] = as_nodes(label(replica_id, layer_number, 0, ()))[0]

    def find(start: int) -> Pending[ParentArray]:
        return pool.submit(level.parents, graph, start, min(_CHUNK_NODES, len(layer) - start))

    found = find(0)
    for start in range(0, len(layer), _CHUNK_NODES):
        rows = found.result()
        if start + len(rows) < len(layer):
            found = find(start + len(rows))
        # Node 0 has no parents and is labelled above.
        first = max(start, 1)
        level.label_nodes(
            header,
            first,
            rows[first - start :, :degree],
            layer if previous is None else previous,
            layer,
        )
        stage.advance(len(rows))
