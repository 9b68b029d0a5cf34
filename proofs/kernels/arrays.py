"""The array types that kernels speak, with their shapes."""

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

ByteArray: TypeAlias = npt.NDArray[np.uint8]
"""Any number of bytes."""

NodeArray: TypeAlias = npt.NDArray[np.uint8]
"""Shape (n, 32): n nodes, C-contiguous; may be memory-mapped."""

ParentArray: TypeAlias = npt.NDArray[np.uint32]
"""Shape (n, 14): per node its 6 parents in the same layer, then its 8 in the layer before."""
