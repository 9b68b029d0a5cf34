"""fr32 over megabytes with NumPy; held equal to `proofs/fr32.py`."""

import numpy as np

from proofs.fr32 import QUAD_PADDED_BYTES, QUAD_PAYLOAD_BYTES
from proofs.kernels.arrays import ByteArray

# Where the 254 bits of each of a quad's four elements start: byte, and bit within it.
_STARTS = ((0, 0), (31, 6), (63, 4), (95, 2))


def pad(payload: ByteArray, target: ByteArray) -> None:
    """Write (128 k) padded bytes for (127 k) payload bytes."""
    # One zero byte after each quad, so that every element can read 33 bytes.
    quads = np.zeros((payload.size // QUAD_PAYLOAD_BYTES, QUAD_PADDED_BYTES + 1), np.uint8)
    quads[:, :QUAD_PAYLOAD_BYTES] = payload.reshape(-1, QUAD_PAYLOAD_BYTES)
    padded = target.reshape(-1, QUAD_PADDED_BYTES)
    for element, (start, bit) in enumerate(_STARTS):
        node = padded[:, 32 * element : 32 * element + 32]
        np.right_shift(quads[:, start : start + 32], bit, out=node)
        if bit:
            node |= quads[:, start + 1 : start + 33] << (8 - bit)
        node[:, 31] &= 0x3F


def unpad(padded: ByteArray, target: ByteArray) -> None:
    """Write (127 k) payload bytes for (128 k) padded bytes."""
    nodes = padded.reshape(-1, QUAD_PADDED_BYTES)
    quads = np.zeros((len(nodes), QUAD_PADDED_BYTES), np.uint8)
    for element, (start, bit) in enumerate(_STARTS):
        node = nodes[:, 32 * element : 32 * element + 32].copy()
        node[:, 31] &= 0x3F
        quads[:, start : start + 32] |= node << bit
        if bit:
            quads[:, start + 1 : start + 33] |= node >> (8 - bit)
    target.reshape(-1, QUAD_PAYLOAD_BYTES)[:] = quads[:, :QUAD_PAYLOAD_BYTES]
