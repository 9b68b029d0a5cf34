"""A sector's CommR is the one that Filecoin computes.

Values: filecoin-project/lotus `cmd/lotus-bench/simple.go`, and what filecoin-project/curio keeps of
a sector of 32 GiB (`lib/proof`: `testgolden/post.vproof`, `tree_r_last_comm_test.go`). Those of
512 MiB are in `benchmarks/filecoin_exact.py`: a test has not minutes.
"""

import errno
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from proofs import filecoin_exact
from proofs.filecoin_exact import comm_r, commit, filecoin_parameters, tree_root
from proofs.hashing import FIELD_MODULUS
from proofs.kernels import level
from proofs.kernels.arrays import NodeArray
from proofs.merkle import as_nodes
from proofs.parameters import ProofType
from proofs.piece import zero_commitment
from proofs.poseidon import poseidon
from proofs.replica import replica_id
from proofs.seal import seal
from proofs.sealed import REPLICA, layer_name, open_nodes
from tests.support.sectors import SealedSector, seal_sector, some_bytes

SEALED_CID = bytes.fromhex("c647b998c78282296cfd1160714228d43f3b054dfbbb77172b68115ba3c3b762")
"""The digest of bagboea4b5abcbrshxgmmpaucffwp2elaofbcrvb7hmcu3653o4lsw2arlor4hn3c: 2 KiB of zeros,
sector 1 of miner t01000, the ticket zeros too."""

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


@pytest.fixture
def sector(tmp_path: Path) -> SealedSector:
    return seal_sector(tmp_path)


def nodes(*texts: str) -> NodeArray:
    return as_nodes(bytes.fromhex("".join(texts)))


def element(node: bytes) -> int:
    return int.from_bytes(node, "little")


def root_of_64(leaves: Sequence[int]) -> int:
    return poseidon([poseidon(leaves[at : at + 8]) for at in range(0, 64, 8)])


def test_a_node_of_a_published_tree_is_the_hash_of_its_children() -> None:
    assert tree_root(nodes(*LEAVES)).hex() == PARENT


def test_a_published_sector_has_its_comm_r() -> None:
    swapped = bytes.fromhex(SUBTREE_ROOTS)
    data = bytes(byte for at in range(0, len(swapped), 2) for byte in swapped[at : at + 2][::-1])
    assert tree_root(as_nodes(data)).hex() == COMM_R_LAST
    assert comm_r(bytes.fromhex(COMM_C), bytes.fromhex(COMM_R_LAST)).hex() == COMM_R


def test_a_sector_that_lotus_sealed_has_its_comm_r(tmp_path: Path) -> None:
    """All of it: replica id, labels, replica, columns and trees."""
    parameters = filecoin_parameters(ProofType.SDR_2KIB)
    (tmp_path / "data").write_bytes(bytes(parameters.sector_size_bytes))
    replica = replica_id(
        provider_id=1000,
        sector_number=1,
        ticket=bytes(32),
        comm_d=zero_commitment(parameters.tree_depth),
        porep_id=parameters.porep_id,
    )
    seal(parameters, replica, tmp_path / "data", tmp_path / "sealed")
    assert commit(parameters, tmp_path / "sealed").comm_r == SEALED_CID


def test_the_tree_has_filecoin_s_shapes() -> None:
    """Sectors of 2 KiB and 512 MiB are full trees of arity 8; of 64 GiB, two of them on top."""
    numbers = range(128)
    leaves = as_nodes(b"".join(number.to_bytes(32, "little") for number in numbers))
    halves = [root_of_64(numbers[:64]), root_of_64(numbers[64:])]
    assert element(tree_root(leaves[:64])) == halves[0]
    assert element(tree_root(leaves)) == poseidon(halves)
    assert tree_root(leaves[5:6]) == leaves[5].tobytes()
    for count in (0, 4, 12, 32):
        with pytest.raises(ValueError, match="so many leaves"):
            tree_root(leaves[:count])


def test_filecoin_seals_few_layers_of_what_is_small() -> None:
    layers = {size: filecoin_parameters(size).layers for size in ProofType}
    assert layers == {
        ProofType.SDR_2KIB: 2,
        ProofType.SDR_8MIB: 2,
        ProofType.SDR_512MIB: 2,
        ProofType.SDR_32GIB: 11,
        ProofType.SDR_64GIB: 11,
    }


def test_commitments_are_what_the_readable_hash_says(sector: SealedSector) -> None:
    found = commit(sector.parameters, sector.folder)
    first, second, replica = (
        [element(bytes(node)) for node in open_nodes(sector.folder / name)]
        for name in (layer_name(1), layer_name(2), REPLICA)
    )
    comm_c = root_of_64(list(map(poseidon, zip(first, second, strict=True))))
    comm_r_last = root_of_64(replica)
    assert element(found.comm_c) == comm_c
    assert element(found.comm_r_last) == comm_r_last
    assert element(found.comm_r) == poseidon((comm_c, comm_r_last))


def test_one_wrong_node_of_the_replica_is_another_sector(sector: SealedSector) -> None:
    before = commit(sector.parameters, sector.folder)
    replica = bytearray((sector.folder / REPLICA).read_bytes())
    replica[-32] ^= 1
    (sector.folder / REPLICA).write_bytes(replica)
    after = commit(sector.parameters, sector.folder)
    assert (after.comm_c == before.comm_c, after.comm_r == before.comm_r) == (True, False)


def test_what_a_disk_spoils_is_told(sector: SealedSector) -> None:
    layer = sector.folder / layer_name(2)
    whole = layer.read_bytes()
    layer.write_bytes(whole[:-32] + FIELD_MODULUS.to_bytes(32, "little"))
    with pytest.raises(ValueError, match="no element"):
        commit(sector.parameters, sector.folder)
    os.truncate(layer, len(whole) - 1)
    with pytest.raises(OSError, match="cut short") as caught:
        commit(sector.parameters, sector.folder)
    assert (caught.value.errno, caught.value.filename) == (errno.EIO, str(layer))


def test_a_sector_of_many_chunks_is_one_tree(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """512 MiB are 4,096 chunks; here it is 16 small ones, hashed on two threads."""
    chunk_nodes, count = 64, 16 * 64
    monkeypatch.setattr(filecoin_exact, "_CHUNK_NODES", chunk_nodes)
    parameters = replace(filecoin_parameters(ProofType.SDR_2KIB), sector_size_bytes=32 * count)
    files = {name: truncated(name, count) for name in (layer_name(1), layer_name(2), REPLICA)}
    for name, content in files.items():
        (tmp_path / name).write_bytes(content.tobytes())
    steps: dict[str, list[int]] = {}
    with ThreadPoolExecutor(2) as pool:
        found = commit(
            parameters,
            tmp_path,
            lambda stage, done, total: steps.setdefault(stage, []).append(done * 16 // total),
            pool,
        )
    columns = np.empty((count, 32), np.uint8)
    both = np.stack([files[layer_name(1)], files[layer_name(2)]], axis=1).reshape(count, 64)
    level().hash_elements(both, columns)
    assert found.comm_c == tree_root(columns)
    assert found.comm_r_last == tree_root(files[REPLICA])
    every = [*range(1, 17)]
    assert steps == {"Poseidon tree C": every, "Poseidon tree R": every}


def truncated(name: str, count: int) -> NodeArray:
    """Return nodes that look random, below 2^254."""
    content = as_nodes(some_bytes(name, 32 * count)).copy()
    content[:, 31] &= 0x3F
    return content
