"""The scalar field over many nodes with NumPy; held equal to `proofs/replica.py`."""

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from proofs.hashing import FIELD_MODULUS
from proofs.kernels.arrays import NodeArray

_Limbs: TypeAlias = npt.NDArray[np.uint64]
_Flags: TypeAlias = npt.NDArray[np.bool_]

_MODULUS = np.frombuffer(FIELD_MODULUS.to_bytes(32, "little"), np.uint64)


def encode(data: NodeArray, keys: NodeArray) -> NodeArray:
    """Return data + key for every node; both below the modulus."""
    # Below 2^256 together, so the last carry is always zero.
    total, _ = _add(_limbs(data), _limbs(keys))
    reduced, borrowed = _subtract(total, _MODULUS)
    return _nodes(np.where(borrowed[:, None], total, reduced))


def decode(replica: NodeArray, keys: NodeArray) -> NodeArray:
    """Return replica - key for every node; both below the modulus."""
    difference, borrowed = _subtract(_limbs(replica), _limbs(keys))
    wrapped, _ = _add(difference, np.broadcast_to(_MODULUS, difference.shape))
    return _nodes(np.where(borrowed[:, None], wrapped, difference))


def are_elements(nodes: NodeArray) -> bool:
    """Return whether every node is below the modulus."""
    _, borrowed = _subtract(_limbs(nodes), _MODULUS)
    return bool(borrowed.all())


def _limbs(nodes: NodeArray) -> _Limbs:
    return np.ascontiguousarray(nodes).view(np.uint64)


def _nodes(limbs: _Limbs) -> NodeArray:
    return limbs.view(np.uint8)


def _add(left: _Limbs, right: _Limbs) -> tuple[_Limbs, _Flags]:
    total = np.empty_like(left)
    carry: _Flags = np.zeros(len(left), np.bool_)
    for limb in range(4):
        partial = left[:, limb] + right[:, limb]
        total[:, limb] = partial + carry
        carry = (partial < left[:, limb]) | (total[:, limb] < partial)
    return total, carry


def _subtract(left: _Limbs, right: _Limbs) -> tuple[_Limbs, _Flags]:
    difference = np.empty_like(left)
    borrow: _Flags = np.zeros(len(left), np.bool_)
    for limb in range(4):
        partial = left[:, limb] - right[..., limb]
        difference[:, limb] = partial - borrow
        borrow = (left[:, limb] < right[..., limb]) | (partial < borrow)
    return difference, borrow
