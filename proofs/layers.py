"""The layers of sectors that are being sealed: two of each in memory, each whole on the disk."""

from collections.abc import Sequence
from pathlib import Path

from proofs.graph import Graph
from proofs.journal import Journal
from proofs.kernels.arrays import Chain, NodeArray, working_nodes
from proofs.labelling import Progress, begin_layer, label_layer
from proofs.parameters import ProofParameters
from proofs.pool import Pending, Pool
from proofs.sealed import layer_name, read_nodes, write_nodes


class SectorLayers:
    """One sector's layers, from the first that is not whole on the disk.

    number:    of the layer that is next, from 1; one more than there are when all are whole
    progress:  told how far the labels are
    """

    def __init__(
        self,
        parameters: ProofParameters,
        replica_id: bytes,
        folder: Path,
        journal: Journal,
        progress: Progress | None,
    ) -> None:
        self.progress = progress
        self.number = 1
        while self.number <= parameters.layers and journal.holds(layer_name(self.number)):
            self.number += 1
        self._node_count, self._replica_id = parameters.node_count, replica_id
        self._folder, self._journal = folder, journal
        self._previous: NodeArray | None = None
        self._layer: NodeArray | None = None
        self._written: Pending[None] | None = None

    def begin(self) -> Chain:
        """Begin the next layer, which has to be labelled from node 1 on."""
        if self._previous is None and self.number > 1:
            self._previous = working_nodes(self._node_count)
            read_nodes(self._folder / layer_name(self.number - 1), self._previous)
        if self._layer is None:
            self._layer = working_nodes(self._node_count)
        return begin_layer(self._replica_id, self.number, self._previous, self._layer)

    def end(self, pool: Pool) -> None:
        """Have the layer that was labelled written to the disk, while the next one is."""
        assert self._layer is not None, "what ends was begun"
        self.settle()
        self._written = pool.submit(self._write, layer_name(self.number), self._layer)
        self._previous, self._layer = self._layer, self._previous
        self.number += 1

    def settle(self) -> None:
        """Wait until all that ended is on the disk. Raises: `OSError`."""
        if self._written is not None:
            self._written.result()

    def _write(self, name: str, layer: NodeArray) -> None:
        write_nodes(self._folder / name, layer)
        self._journal.enter(name)


def label_layers(parameters: ProofParameters, sectors: Sequence[SectorLayers], pool: Pool) -> None:
    """Label what is missing of each sector's layers, those that are at the same one together.

    So who is behind catches up first, and then both go on in lockstep.

    Raises: `OSError` from the disk.
    """
    graph = Graph(parameters.node_count, parameters.porep_id)
    for number in range(1, parameters.layers + 1):
        together = [sector for sector in sectors if sector.number == number]
        if together:
            chains = [sector.begin() for sector in together]
            watchers = [sector.progress for sector in together]
            label_layer(graph, number, chains, *watchers, pool=pool)
        for sector in together:
            sector.end(pool)
    for sector in sectors:
        sector.settle()
