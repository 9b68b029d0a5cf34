"""Honest proofs are accepted; whatever is changed, in statement or bytes, is rejected."""

import os
import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest

from proofs import porep, post
from proofs.errors import ProofRejected
from proofs.hashing import column_hash, comm_r
from proofs.merkle import as_nodes, build_rows
from proofs.multiproof import distinct, prove_leaves, siblings
from proofs.registry import (
    prove_replication,
    prove_window,
    verify_replication,
    verify_window,
)
from proofs.sealed import REPLICA, WrongSector
from tests.support.cheats import PARENTS
from tests.support.sectors import SealedSector, seal_sector, some_bytes


@pytest.fixture(scope="module")
def sector(tmp_path_factory: pytest.TempPathFactory) -> SealedSector:
    return seal_sector(tmp_path_factory.mktemp("sector"))


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> SealedSector:
    return seal_sector(tmp_path_factory.mktemp("other"), (some_bytes("other", 1500),))


def flipped(proof: bytes, random: Random) -> list[bytes]:
    """Return the proof with one bit flipped, once for every node."""
    forged = []
    for start in range(0, len(proof), 32):
        bits = bytearray(proof)
        bits[start + random.randrange(32)] ^= 1 << random.randrange(8)
        forged.append(bytes(bits))
    return forged


def assert_rejects(verify: Callable[[Any, bytes], None], statement: object, proof: bytes) -> None:
    with pytest.raises(ProofRejected):
        verify(statement, proof)


def test_a_sealed_sector_proves_its_replication(sector: SealedSector) -> None:
    statement = sector.porep_statement()
    proof = prove_replication(statement, sector.folder)
    assert len(proof) < porep.longest_proof_bytes(sector.parameters, piece_count=2)
    verify_replication(statement, proof)


@pytest.mark.parametrize(
    "change",
    [
        {"chain_id": b"another chain"},
        {"provider_id": 1001},
        {"sector_number": 8},
        {"ticket": bytes(32)},
        {"seed": bytes(32)},
        {"comm_d": bytes(32)},
        {"comm_r": bytes(32)},
        {"piece_ranges": ((0, 4), (32, 63))},
        {"piece_ranges": ((0, 4), (32, 64), (4, 8))},
        {"piece_ranges": ((0, 4),)},
    ],
    ids=str,
)
def test_replication_is_of_one_statement(sector: SealedSector, change: dict[str, Any]) -> None:
    statement = sector.porep_statement()
    proof = prove_replication(statement, sector.folder)
    assert_rejects(verify_replication, replace(statement, **change), proof)


def test_any_other_bytes_are_no_proof_of_replication(sector: SealedSector) -> None:
    statement = sector.porep_statement()
    proof = prove_replication(statement, sector.folder)
    for forged in (b"", proof[:-1], proof[:-32], proof + b"\0", proof + proof[-32:]):
        assert_rejects(verify_replication, statement, forged)
    for forged in flipped(proof, Random(1)):
        assert_rejects(verify_replication, statement, forged)


def test_a_replica_without_labels_is_rejected(sector: SealedSector, tmp_path: Path) -> None:
    # An honest tree over a lazy replica: zeros as keys, committed to as the protocol wants.
    parameters, count = sector.parameters, sector.parameters.node_count
    lazy = seal_sector(tmp_path)
    data = build_rows(as_nodes(lazy.data_path.read_bytes()))
    labels = bytes(32 * parameters.layers)
    columns = build_rows(as_nodes(column_hash(labels) * count))
    comm_c, comm_r_last = columns[-1].tobytes(), data[-1].tobytes()
    statement = replace(lazy.porep_statement(), comm_r=comm_r(comm_c, comm_r_last))
    asked = distinct(porep.challenges(statement))
    opened = distinct(node for at in asked for node in (at, *PARENTS[at]))
    proof = b"".join(
        (
            comm_c,
            comm_r_last,
            *prove_leaves(data, asked),
            *prove_leaves(data, asked),
            *(labels for _ in opened),
            *siblings(columns, opened),
        )
    )
    with pytest.raises(ProofRejected, match="label"):
        verify_replication(statement, proof)


def test_no_challenge_asks_for_the_node_without_parents(sector: SealedSector) -> None:
    statement = sector.porep_statement()
    asked = {
        challenge
        for number in range(200)
        for challenge in porep.challenges(replace(statement, seed=number.to_bytes(32, "big")))
    }
    assert asked <= set(range(1, sector.parameters.node_count))
    assert len(asked) > 50


def test_a_kept_replica_answers_its_window(sector: SealedSector) -> None:
    statement = sector.window_statement()
    proof = prove_window(statement, sector.folder)
    asked = set(post.challenges(statement))
    # Of 64 nodes 82 draws leave few out, so what isn't a leaf of the proof is mostly computed.
    assert len(asked) + 2 <= len(proof) // 32 < 70
    assert len(proof) < post.longest_proof_bytes(sector.parameters, seed_count=1, piece_count=2)
    verify_window(statement, proof)


@pytest.mark.parametrize(
    "change",
    [
        {"chain_id": b"another chain"},
        {"provider_id": 1001},
        {"sector_number": 8},
        {"comm_r": bytes(32)},
        {"seeds": (bytes(32),)},
        {"piece_ranges": ((0, 4), (32, 63))},
        {"piece_ranges": ()},
    ],
    ids=str,
)
def test_a_window_proof_is_of_one_statement(sector: SealedSector, change: dict[str, Any]) -> None:
    statement = sector.window_statement()
    proof = prove_window(statement, sector.folder)
    assert_rejects(verify_window, replace(statement, **change), proof)


def test_any_other_bytes_are_no_window_proof(sector: SealedSector) -> None:
    statement = sector.window_statement()
    proof = prove_window(statement, sector.folder)
    for forged in (b"", proof[:-1], proof[:-32], proof + b"\0", proof + proof[-32:]):
        assert_rejects(verify_window, statement, forged)
    for forged in flipped(proof, Random(2)):
        assert_rejects(verify_window, statement, forged)


def test_another_sector_cannot_answer(sector: SealedSector, other: SealedSector) -> None:
    with pytest.raises(WrongSector):
        prove_window(sector.window_statement(), other.folder)
    with pytest.raises(WrongSector):
        prove_replication(sector.porep_statement(), other.folder)
    foreign = prove_window(
        replace(sector.window_statement(), comm_r=other.commitments.comm_r), other.folder
    )
    assert_rejects(verify_window, sector.window_statement(), foreign)


def test_a_replica_that_rotted_no_longer_answers(tmp_path: Path) -> None:
    sector = seal_sector(tmp_path)
    path = sector.folder / REPLICA
    path.write_bytes(bytes(len(path.read_bytes())))
    statement = sector.window_statement()
    assert_rejects(verify_window, statement, prove_window(statement, sector.folder))


def test_a_replica_cut_short_is_an_error_of_the_disk(tmp_path: Path) -> None:
    sector = seal_sector(tmp_path)
    os.truncate(sector.folder / REPLICA, 100)
    with pytest.raises(OSError, match="cut short"):
        prove_window(sector.window_statement(), sector.folder)


def test_recovering_answers_every_missed_seed(sector: SealedSector) -> None:
    fresh = some_bytes("fresh", 32)
    statement = sector.window_statement()
    both = replace(statement, seeds=(*statement.seeds, fresh))
    proof = prove_window(both, sector.folder)
    verify_window(both, proof)
    assert_rejects(verify_window, both, prove_window(statement, sector.folder))
    assert post.challenges(both) == (
        *post.challenges(statement),
        *post.challenges(replace(statement, seeds=(fresh,))),
    )


def test_every_piece_has_challenges_of_its_own(sector: SealedSector) -> None:
    statement = sector.window_statement()
    parameters = statement.parameters
    asked = post.challenges(statement)
    assert len(asked) == 66 + 8 * len(statement.piece_ranges)
    own_challenges = asked[parameters.window_challenge_count :]
    for number, (start, end) in enumerate(statement.piece_ranges):
        first = number * parameters.piece_challenge_count
        theirs = own_challenges[first : first + parameters.piece_challenge_count]
        assert all(start <= node < end for node in theirs)


@pytest.mark.parametrize(
    "change",
    [
        {"provider_id": 1 << 63},
        {"sector_number": -1},
        {"seeds": ()},
        {"seeds": (b"short",)},
        {"piece_ranges": ((4, 4),)},
        {"piece_ranges": ((0, 65),)},
    ],
    ids=str,
)
def test_an_incoherent_statement_cannot_exist(sector: SealedSector, change: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"seed|range|63-bit"):
        replace(sector.window_statement(), **change)


@pytest.mark.parametrize(
    "change", [{"seed": b"short"}, {"comm_d": b""}, {"sector_number": 1 << 63}], ids=str
)
def test_an_incoherent_replication_cannot_be_stated(
    sector: SealedSector, change: dict[str, Any]
) -> None:
    with pytest.raises(ValueError, match=r"32 bytes|63-bit"):
        replace(sector.porep_statement(), **change)


def test_a_rejection_crosses_a_process_pool() -> None:
    rejected = pickle.loads(pickle.dumps(ProofRejected("why")))
    assert (rejected.reason, rejected.code, str(rejected)) == ("why", "proof-rejected", "why")
