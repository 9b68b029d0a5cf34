"""What a replica is made of, node by node: its id, its labels, its encoding.

Readable: what a verifier recomputes, and the oracle of the kernels. Sources: rust-fil-proofs
`storage-proofs-porep/src/stacked/vanilla/` `params.rs`, `create_label/single.rs`, `porep.rs`.
"""

from collections.abc import Sequence
from hashlib import sha256

from proofs.hashing import FIELD_MODULUS, NODE_BYTES, truncate
from proofs.parameters import LABEL_PARENTS, PIECE_NODES_MIN, ProofParameters


def check_sector_name(provider_id: int, sector_number: int) -> None:
    """Refuse, with `ValueError`, numbers that no ledger gives a provider or a sector."""
    if not (0 <= provider_id < 1 << 63 and 0 <= sector_number < 1 << 63):
        raise ValueError("provider ids and sector numbers are 63-bit numbers")


def check_piece_ranges(ranges: Sequence[tuple[int, int]], parameters: ProofParameters) -> None:
    """Refuse, with `ValueError`, first and last nodes (exclusive) between which no piece lies."""
    count = parameters.node_count
    if any(start < 0 or end - start < PIECE_NODES_MIN or end > count for start, end in ranges):
        raise ValueError("a piece is a range of the sector's nodes")


def prover_id(provider_id: int) -> bytes:
    """Return the provider's ledger id as an unsigned varint, zero-padded to 32 bytes."""
    encoded = bytearray()
    while provider_id > 0x7F:
        encoded.append(provider_id & 0x7F | 0x80)
        provider_id >>= 7
    encoded.append(provider_id)
    return bytes(encoded).ljust(NODE_BYTES, b"\0")


def replica_id(
    *, provider_id: int, sector_number: int, ticket: bytes, comm_d: bytes, porep_id: bytes
) -> bytes:
    """Return what makes this replica this provider's, in this sector, from this time on."""
    check_sector_name(provider_id, sector_number)
    return truncate(
        sha256(
            prover_id(provider_id) + sector_number.to_bytes(8, "big") + ticket + comm_d + porep_id
        ).digest()
    )


def label_header(replica: bytes, layer: int) -> bytes:
    """Return the 36 bytes that begin every label of a layer; layers count from 1."""
    return replica + layer.to_bytes(4, "big")


def label(replica: bytes, layer: int, node: int, parents: Sequence[bytes]) -> bytes:
    """Return the label of a node.

    replica:  the replica id
    parents:  labels of its 6 parents in this layer, then, above layer 1, of its 8 in the layer
              before; none for node 0. Repeated until 37 are hashed.
    """
    state = sha256(label_header(replica, layer) + node.to_bytes(8, "big") + bytes(20))
    if parents:
        rounds, left = divmod(LABEL_PARENTS, len(parents))
        state.update(b"".join(parents) * rounds + b"".join(parents[:left]))
    return truncate(state.digest())


def encode(data: bytes, key: bytes) -> bytes:
    """Return the replica node: data node + key in the field. The key is the last layer's label."""
    total = int.from_bytes(data, "little") + int.from_bytes(key, "little")
    return (total % FIELD_MODULUS).to_bytes(NODE_BYTES, "little")


def decode(replica_node: bytes, key: bytes) -> bytes:
    """Return the data node that was encoded with the key."""
    difference = int.from_bytes(replica_node, "little") - int.from_bytes(key, "little")
    return (difference % FIELD_MODULUS).to_bytes(NODE_BYTES, "little")
