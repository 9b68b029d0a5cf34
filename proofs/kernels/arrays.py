"""The array types that kernels speak, with their shapes."""

import mmap
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

ByteArray: TypeAlias = npt.NDArray[np.uint8]
"""Any number of bytes."""

NodeArray: TypeAlias = npt.NDArray[np.uint8]
"""Shape (n, 32): n nodes, C-contiguous; may be memory-mapped."""

ParentArray: TypeAlias = npt.NDArray[np.uint32]
"""Shape (n, 14): per node its 6 parents in the same layer, then its 8 in the layer before."""


ElementArray: TypeAlias = npt.NDArray[np.uint64]
"""Shape (…, 4): field elements of four words, little-endian."""

IndexArray: TypeAlias = npt.NDArray[np.uint64]
"""Places of leaves in a tree."""


@dataclass(frozen=True, slots=True)
class Chain:
    """One layer of one sector, whose labels are each made from the one before.

    header:    36 bytes, replica id and layer, with which every label's message begins
    previous:  (n, 32), the layer before; in the first layer any, as it is not read
    layer:     (n, 32), read and written
    """

    header: bytes
    previous: NodeArray
    layer: NodeArray


def working_nodes(count: int) -> NodeArray:
    """Return memory for nodes that are read all over the place: in huge pages, where there are."""
    memory = mmap.mmap(-1, count * 32)
    if hasattr(mmap, "MADV_HUGEPAGE"):
        memory.madvise(mmap.MADV_HUGEPAGE)
    return np.frombuffer(memory, np.uint8).reshape(count, 32)
