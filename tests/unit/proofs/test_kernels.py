"""Every level computes what its readable twin does, and each is chosen only where it can run."""

import os
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from proofs import kernels
from proofs.graph import Graph
from proofs.hashing import FIELD_MODULUS, column_hash, node_hash
from proofs.kernels import field, hashlib_level
from proofs.kernels.arrays import Chain, NodeArray
from proofs.kernels.sha256_constants import INITIAL_STATE, ROUND_CONSTANTS, padding
from proofs.merkle import as_nodes
from proofs.replica import decode, encode, label, label_header
from tests.support.sectors import some_bytes

ROOT = Path(__file__).parents[3]
REPLICA = b"\x09" * 32
LAYERS = 11

each_level = pytest.mark.parametrize("name", kernels.available())

# rust-fil-proofs `create_label/multi.rs`: last label after 11 layers, as u64 little-endian words.
LABELS = [
    (64, bytes(32), False, "d3faa96b9a0fba04 ea81a283d106485e e3d51b9afa5ac2b3 0462f4f4f1a68d37"),
    (128, bytes(32), False, "7e191e52c4a8da86 5ae8a1c9e6fac148 ce239f3b88a894b8 234c00d1dc1d53be"),
    (64, b"\x7b" * 32, True, "abb3f38bb70defcf 777a2e4d7769119f 3448959d495490bc 06021188c7a71cb5"),
]
each_published_label = pytest.mark.parametrize(
    ("node_count", "porep_id", "predecessor_first", "words"),
    LABELS,
    ids=["2048 B, V1", "4096 B, V1", "2048 B, V1_1"],
)


def words_of(node: bytes) -> str:
    return " ".join(f"{word:016x}" for word in struct.unpack("<4Q", node))


@each_published_label
def test_readable_labels_are_those_of_filecoin(
    node_count: int, porep_id: bytes, predecessor_first: bool, words: str
) -> None:
    graph = Graph(node_count, porep_id, predecessor_first)
    before: list[bytes] = []
    for layer in range(1, LAYERS + 1):
        labels = [label(REPLICA, layer, 0, ())]
        for node in range(1, node_count):
            parents = graph.parents(node)
            known = [labels[parent] for parent in parents[:6]]
            known += [before[parent] for parent in parents[6:] if before]
            labels.append(label(REPLICA, layer, node, known))
        before = labels
    assert words_of(before[-1]) == words


@each_level
@each_published_label
def test_labels_of_every_level_are_those_of_filecoin(
    name: str, node_count: int, porep_id: bytes, predecessor_first: bool, words: str
) -> None:
    graph = Graph(node_count, porep_id, predecessor_first)
    rows = np.array([graph.parents(node) for node in range(node_count)], np.uint32)
    previous = np.zeros((node_count, 32), np.uint8)
    for layer in range(1, LAYERS + 1):
        labels = np.zeros((node_count, 32), np.uint8)
        labels[0] = as_nodes(label(REPLICA, layer, 0, ()))[0]
        used = rows if layer > 1 else rows[:, :6]
        header, middle = label_header(REPLICA, layer), node_count // 2
        level = kernels.level_of(name)
        chains = [Chain(header, previous, labels)]
        level.label_nodes(chains, 1, used[1:middle])
        level.label_nodes(chains, middle, used[middle:])
        previous = labels
    assert words_of(previous[-1].tobytes()) == words


@each_level
@pytest.mark.parametrize("count", [1, 2, 3, 5])
@pytest.mark.parametrize("degree", [6, 14])
def test_chains_labelled_together_are_what_each_is_alone(
    name: str, count: int, degree: int
) -> None:
    node_count = 64
    rows = hashlib_level.parents(Graph(node_count, bytes(32)), 0, node_count)[:, :degree]

    def begun(number: int) -> Chain:
        previous = as_nodes(some_bytes(f"before {number}", 32 * node_count))
        layer = as_nodes(some_bytes(f"layer {number}", 32 * node_count)).copy()
        return Chain(label_header(bytes([number]) * 32, number + 1), previous, layer)

    together = [begun(number) for number in range(count)]
    level = kernels.level_of(name)
    level.label_nodes(together, 1, rows[1:20])
    level.label_nodes(together, 20, rows[20:])
    for number, chain in enumerate(together):
        alone = begun(number)
        hashlib_level.label_nodes([alone], 1, rows[1:])
        assert chain.layer.tobytes() == alone.layer.tobytes()


@each_level
@pytest.mark.parametrize("count", [1, 2, 7, 8, 64, 1000])
def test_pairs_hash_as_nodes_do(name: str, count: int) -> None:
    source = as_nodes(some_bytes("pairs", 64 * count))
    target = np.zeros((count, 32), np.uint8)
    kernels.level_of(name).hash_pairs(source, target)
    pairs = [source[2 * at : 2 * at + 2].tobytes() for at in range(count)]
    assert target.tobytes() == b"".join(node_hash(pair[:32], pair[32:]) for pair in pairs)


@each_level
@pytest.mark.parametrize("layers", [1, 2, 11])
@pytest.mark.parametrize("count", [1, 2, 9])
def test_messages_hash_as_columns_do(name: str, layers: int, count: int) -> None:
    columns = some_bytes("columns", 32 * layers * count)
    messages = np.frombuffer(columns, np.uint8).reshape(count, -1)
    target = np.zeros((count, 32), np.uint8)
    kernels.level_of(name).hash_messages(messages, target)
    assert target.tobytes() == b"".join(column_hash(message.tobytes()) for message in messages)


def nodes_of(*numbers: int) -> NodeArray:
    return as_nodes(b"".join(number.to_bytes(32, "little") for number in numbers))


def test_field_arithmetic_agrees_at_its_borders() -> None:
    top = (1 << 254) - 1
    data = nodes_of(0, 0, top, FIELD_MODULUS - top, FIELD_MODULUS - top - 1, (1 << 128) - 1)
    keys = nodes_of(0, top, top, top, top, 1)
    replica = field.encode(data, keys)
    assert field.decode(replica, keys).tobytes() == data.tobytes()
    for sealed, plain, key in zip(replica, data, keys, strict=True):
        assert sealed.tobytes() == encode(plain.tobytes(), key.tobytes())
        assert plain.tobytes() == decode(sealed.tobytes(), key.tobytes())


def test_sha256_is_computed_from_its_definition() -> None:
    assert ROUND_CONSTANTS[0] == 0x428A2F98
    assert ROUND_CONSTANTS[-1] == 0xC67178F2
    assert INITIAL_STATE[-1] == 0x5BE0CD19
    for length in (0, 55, 56, 64, 352):
        assert (length + len(padding(length))) % 64 == 0


def run(code: str, **environment: str) -> str:
    finished = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    return finished.stdout.strip()


HASH_A_TREE = """
import sys, numpy as np
from proofs import kernels
from proofs.merkle import build_rows
leaves = np.arange(4096, dtype=np.uint8).reshape(128, 32)
root = build_rows(leaves)[-1].tobytes().hex()
print(kernels.chosen()["sha256-tree"], "numba" in sys.modules, root)
"""


def expected_root() -> str:
    row = np.arange(4096, dtype=np.uint8).reshape(128, 32)
    while len(row) > 1:
        above = np.zeros((len(row) // 2, 32), np.uint8)
        hashlib_level.hash_pairs(row, above)
        row = above
    return row.tobytes().hex()


def test_the_hashlib_level_needs_no_numba() -> None:
    said = run(HASH_A_TREE, HOLDFAST_KERNELS="hashlib")
    assert said == f"hashlib False {expected_root()}"


def test_a_target_without_sha_extensions_never_gets_them() -> None:
    said = run(HASH_A_TREE, NUMBA_CPU_NAME="generic", NUMBA_CPU_FEATURES="", HOLDFAST_KERNELS="")
    assert said == f"portable True {expected_root()}"


def test_nowhere_to_keep_compiled_code_is_no_obstacle() -> None:
    said = run(
        HASH_A_TREE,
        HOLDFAST_KERNELS="portable",
        NUMBA_CACHE_DIR="/dev/null/nowhere",
        NUMBA_CACHE_LOCATOR_CLASSES="UserProvidedCacheLocator",
    )
    assert said == f"portable True {expected_root()}"


NO_ROOM = """
import resource, signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (64, 64))
"""


def test_compiled_code_that_is_torn_or_finds_no_room_is_compiled_again(tmp_path: Path) -> None:
    kept, said = {"NUMBA_CACHE_DIR": str(tmp_path)}, f"portable True {expected_root()}"
    assert run(NO_ROOM + HASH_A_TREE, HOLDFAST_KERNELS="portable", **kept) == said
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
    assert run(HASH_A_TREE, HOLDFAST_KERNELS="portable", **kept) == said
    indices = list(tmp_path.rglob("*.nbi"))
    assert indices
    for index in indices:
        index.write_bytes(b"")
    assert run(HASH_A_TREE, HOLDFAST_KERNELS="portable", **kept) == said
    assert all(index.stat().st_size for index in indices)


def test_a_level_that_is_not_there_is_refused() -> None:
    with pytest.raises(kernels.UnknownLevel, match="sse9"):
        kernels.level_of("sse9")


def test_the_level_in_use_is_said_for_every_kernel() -> None:
    assert set(kernels.chosen()) == {
        "sha256-tree",
        "labels",
        "fr32",
        "parents",
        "poseidon",
    }
    assert kernels.chosen()["labels"] == kernels.level_name()
    assert kernels.level_name() in kernels.available()


VERIFY_MUCH = """
import sys, numpy as np
import proofs.registry, proofs.piece, proofs.bls
from proofs.hashing import node_hash
from proofs.multiproof import verify_leaves
rows = [bytes(32)]
for _ in range(20):
    rows.append(node_hash(rows[-1], rows[-1]))
leaves, root = range(0, 1 << 20, 1 << 10), rows[-1]
nodes = np.frombuffer(1024 * rows[0] + b"".join(1024 * row for row in rows[:10]), np.uint8)
nodes = nodes.reshape(-1, 32)
for _ in range(5):
    verify_leaves(leaves, nodes, depth=20, root=root)
    print("numba" in sys.modules)
"""


def test_verifying_loads_the_compiler_once_it_has_paid() -> None:
    assert run(VERIFY_MUCH, HOLDFAST_KERNELS="").split() == ["False"] * 4 + ["True"]
    assert run(VERIFY_MUCH, HOLDFAST_KERNELS="hashlib").split() == ["False"] * 5
