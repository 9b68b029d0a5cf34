"""Poseidon is neptune's, and a sector's CommR the one that Filecoin computes.

Values: filecoin-project/neptune `src/poseidon.rs` (hash_values), and what filecoin-project/curio
keeps of a sector of 32 GiB (`lib/proof`: `testgolden/post.vproof`, `tree_r_last_comm_test.go`).
"""

from pathlib import Path

import pytest

from proofs.filecoin_exact import comm_r, commitments, tree_root
from proofs.hashing import FIELD_MODULUS
from proofs.poseidon import poseidon
from proofs.sealed import REPLICA, layer_name, open_nodes
from tests.support.sectors import seal_sector

NEPTUNE = {
    2: (0x2E203C369A02E7FF, 0xA6FBA9339D05A69D, 0x739E0FD902EFE161, 0x396508D75E76A56B),
    8: (0x2A9934F56D38A5E6, 0x4B682E9D9CC4AED9, 0x1201004211677077, 0x2394611DA3A5DE55),
    11: (0xCEE3BBC32B693163, 0x09F3DCD8CCB08FC1, 0x6CA537E232EBE87A, 0x0C0FC1B2E5227F28),
}
"""The hash of 0, 1, … as u64 words, the lowest first, by arity."""

COMM_C = "9941e59d24a2a05877558ac5fa1aab256bd12a3e88ef51ee79f58b8d80adb94e"
COMM_R_LAST = "f56b7f7f318d88ac4d72e5d94efd7de7f1df501b98b01a8564fa4cb4983b9e4b"
COMM_R = "df691086e3c673c95a45908713d4c5938e5ced43f21b888bd9bc6e181c9f326b"
"""Of the sealed CID bagboea4b5abcbx3jccdohrttzfneleehcpkmle4oltwuh4q3rcf5tpdodaoj6mtl."""

LEAVES = (
    "f743111428ecda9b74a18826f1cc62d48ae1510de17e58645997559f86442f31",
    "197a6efa37086e3a37108f8460c52bc810e2781aff0091bfd7b74e3f6f752f02",
    "01c2c12f7930bbb59e3b36dae1c694b33ac6b3f199ec32a8665fadb8338f4f21",
    "bbe672a853f65cdb2563339ca61d6ad648473b4b4ce44bf3a48486424b865a2d",
    "937d57295f488cea8099f5525958f1af39c6241614b917835292e8e2314cf908",
    "3272570cd8ba38c1183629ca72d5e9149d76786ed22c1d591db3d2bccfa7d308",
    "2d3fc90e11aaf601bd1beae80fc3aba15a9e1f886d8140533ce36cda3dd9f936",
    "0a017e264d0728bfcd2edb3c6c60cc5a05a02af31a71cdd7bb2da27616f5f630",
)
"""Siblings in that sector's replica, and the node above them."""

PARENT = "0737ca506df7d4544f8512df35aaa07ed8a40691e96ae868c23320220fec6866"

SUBTREE_ROOTS = (
    "4a92c60058162932d99549fc8a3f72ec5b36a530970195e5df376c249fa31bfd"
    "95d76f8d68f2097792159beade51a35cadb0af57fe3410fd9122dba4ec1a3a54"
    "fbfa6411076c1cd063bfccfa6b26dd46b01ad30c05e3ef60cf18fd50f340732d"
    "b8dcb4d13ebd2a678cd9e52905cd2edca709f06e830887a463e14efe9f7163e6"
    "46d837e9fe87146c6ff2ee490f614d431c02d1c0a5ad6962085e4daff65a5733"
    "ae5ae9f47d77313b4dd720addd7584d58c577993efe71538c92cfa19d12729c6"
    "674068287f4d5ec80f05db317599552b2f2a609d0987eaf0d6a26ac696fc6be4"
    "b09c331c137fbbb4a4f402aebd9627d9b5db792487e8d35b7413e5c973672c5f"
)
"""Of its replica's eight subtrees, as hexdump prints 16-bit words: each with its bytes swapped."""


def element(node: bytes | str) -> int:
    return int.from_bytes(bytes.fromhex(node) if isinstance(node, str) else node, "little")


@pytest.mark.parametrize("arity", NEPTUNE)
def test_the_hash_is_that_of_neptune(arity: int) -> None:
    expected = sum(word << 64 * place for place, word in enumerate(NEPTUNE[arity]))
    assert poseidon(range(arity)) == expected


def test_a_node_of_a_published_tree_is_the_hash_of_its_children() -> None:
    assert tree_root(map(element, LEAVES)) == element(PARENT)


def test_a_published_sector_has_its_comm_r() -> None:
    swapped = bytes.fromhex(SUBTREE_ROOTS)
    data = bytes(byte for at in range(0, len(swapped), 2) for byte in swapped[at : at + 2][::-1])
    roots = [data[at : at + 32] for at in range(0, len(data), 32)]
    comm_r_last = tree_root(map(element, roots))
    assert comm_r_last == element(COMM_R_LAST)
    assert comm_r(bytes.fromhex(COMM_C), bytes.fromhex(COMM_R_LAST)).hex() == COMM_R


def test_the_tree_has_filecoin_s_shapes() -> None:
    """Sectors of 2 KiB and 512 MiB are full trees of arity 8; of 64 GiB, two of them on top."""
    leaves = list(range(128))
    halves = [
        poseidon([poseidon(leaves[at : at + 8]) for at in range(start, start + 64, 8)])
        for start in (0, 64)
    ]
    assert tree_root(leaves[:64]) == halves[0]
    assert tree_root(leaves) == poseidon(halves)
    for count in (0, 4, 12, 32):
        with pytest.raises(ValueError, match="so many leaves"):
            tree_root(range(count))


def test_what_is_no_field_element_is_refused() -> None:
    for inputs in ([0, FIELD_MODULUS], [-1, 0], [0], [0] * 4, []):
        with pytest.raises(ValueError, match=r"element|parameters"):
            poseidon(inputs)


def test_a_sector_of_ours_gets_the_comm_r_that_filecoin_would_give_it(tmp_path: Path) -> None:
    """The same labels and replica, which other tests hold to rust-fil-proofs; its own trees."""
    sector = seal_sector(tmp_path)
    layers = [open_nodes(sector.folder / layer_name(layer)) for layer in (1, 2)]
    replica = open_nodes(sector.folder / REPLICA)
    found = commitments(layers, replica)
    columns = [
        poseidon((element(bytes(first)), element(bytes(second))))
        for first, second in zip(*layers, strict=True)
    ]
    assert element(found.comm_c) == tree_root(columns)
    assert element(found.comm_r_last) == tree_root(element(bytes(node)) for node in replica)
    assert found.comm_r == comm_r(found.comm_c, found.comm_r_last)
    rotten = replica.copy()
    rotten[63, 0] ^= 1
    other = commitments(layers, rotten)
    assert (other.comm_c == found.comm_c, other.comm_r == found.comm_r) == (True, False)
    with pytest.raises(ValueError, match="shorter"):
        commitments([layers[0], layers[1][:32]], replica)
