"""Suite `filecoin-exact`: the CommR that Filecoin itself gives a sector. Interoperability only.

Up to the replica the default suite is Filecoin's, bit for bit; only its trees are SHA-256's. Here
they are Poseidon's, in plain Python: a second for 2 KiB, minutes for 8 MiB. No ledger takes it.
Sources: rust-fil-proofs `stacked/vanilla/hash.rs`, `proof.rs`; `filecoin-proofs/src/constants.rs`.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from proofs.hashing import NODE_BYTES
from proofs.merkle import Row
from proofs.poseidon import poseidon

_TREE_ARITY: Final = 8


@dataclass(frozen=True, slots=True)
class FilecoinCommitments:
    """What a Filecoin miner would have computed of the same labels and replica."""

    comm_c: bytes
    comm_r_last: bytes
    comm_r: bytes


def commitments(layers: Sequence[Row], replica: Row) -> FilecoinCommitments:
    """Return Filecoin's commitments to a sector that the default suite sealed.

    layers:   the labels of every layer, n nodes each: 2 layers up to 1 GiB, 11 above
    replica:  n nodes

    Raises: `ValueError` if no Filecoin sector has that shape, or a node is no field element.
    """
    columns = zip(*(_elements(layer) for layer in layers), strict=True)
    comm_c = tree_root(poseidon(column) for column in columns)
    comm_r_last = tree_root(_elements(replica))
    return FilecoinCommitments(
        _node(comm_c), _node(comm_r_last), comm_r(_node(comm_c), _node(comm_r_last))
    )


def comm_r(comm_c: bytes, comm_r_last: bytes) -> bytes:
    """Return Filecoin's CommR, as a `SealedCID` carries it."""
    return _node(poseidon((_element(comm_c), _element(comm_r_last))))


def tree_root(leaves: Iterable[int]) -> int:
    """Return the root of a tree of arity 8; where 8 does not divide what is left, of 2 on top.

    Raises: `ValueError` for a number of leaves that no Filecoin sector has.
    """
    row = list(leaves)
    while len(row) > 1:
        arity = 2 if len(row) == 2 else _TREE_ARITY
        if len(row) % arity:
            break
        row = [poseidon(row[start : start + arity]) for start in range(0, len(row), arity)]
    if len(row) != 1:
        raise ValueError("no Filecoin tree has so many leaves")
    return row[0]


def _elements(nodes: Row) -> Iterable[int]:
    return (_element(bytes(nodes[index])) for index in range(len(nodes)))


def _element(node: bytes) -> int:
    return int.from_bytes(node, "little")


def _node(element: int) -> bytes:
    return element.to_bytes(NODE_BYTES, "little")
