"""Parents of many nodes, compiled by numba; held equal to `proofs/graph.py`."""

from typing import Any

from numba import uint32, uint64

from proofs.kernels.intrinsics import two_chacha_blocks
from proofs.kernels.jit import compiled


@compiled
def find_parents(
    first: Any, rows: Any, fixed: Any, tables: Any, half_bits: Any, slot_count: Any, draws: Any
) -> None:
    """Write the 6 and 8 parents of the nodes from `first` on.

    rows:        (count, 14), written
    fixed:       (11,), the words before the node's in ChaCha's state: constants and seed
    tables:      (3, 2^half_bits), each Feistel round's output for every input
    slot_count:  8 for each node of the graph
    draws:       (16,), scratch
    """
    mask = (uint64(1) << half_bits) - uint64(1)
    for row in range(rows.shape[0]):
        node = uint32(first + row)
        if node < 2:
            for column in range(6):
                rows[row, column] = 0
        else:
            two_chacha_blocks(uint64(fixed.ctypes.data), node, uint64(draws.ctypes.data))
            metanode = uint64(node) * uint64(5)
            bucket_count, left = uint64(0), metanode - uint64(1)
            while left:
                left >>= uint64(1)
                bucket_count += uint64(1)
            before = uint32(node - uint32(1))
            rows[row, 0] = before
            for column in range(5):
                farthest = uint64(1) << (draws[2 * column] % bucket_count + uint64(1))
                if farthest > metanode:  # noqa: PLR1730  min() takes numba a second to compile
                    farthest = metanode
                nearest = farthest >> uint64(1)
                if nearest < uint64(2):  # noqa: PLR1730
                    nearest = uint64(2)
                distance = nearest + draws[2 * column + 1] % (farthest - nearest + uint64(1))
                parent = uint32((metanode - distance) // uint64(5))
                rows[row, column + 1] = before if parent == node else parent
        for column in range(8):
            slot = uint64(node) * uint64(8) + uint64(column)
            while True:
                upper, lower = slot >> half_bits, slot & mask
                for number in range(3):
                    upper, lower = lower, upper ^ uint64(tables[number, lower])
                slot = upper << half_bits | lower
                if slot < slot_count:
                    break
            rows[row, 6 + column] = uint32(slot >> uint64(3))
