from dataclasses import replace
from pathlib import Path

import pytest

from chain.verdicts import Answers, Question, holds
from chain.view import Statement
from ipfs.cid import CID, Codec
from proofs.registry import prove_replication, prove_window
from tests.support.sectors import SealedSector, seal_sector

CID_A, CID_B = CID.of(Codec.RAW, b"a"), CID.of(Codec.RAW, b"b")


@pytest.fixture(scope="module")
def sector(tmp_path_factory: pytest.TempPathFactory) -> SealedSector:
    folder: Path = tmp_path_factory.mktemp("sector")
    return seal_sector(folder)


def test_a_proof_holds_for_its_own_statement_alone(sector: SealedSector) -> None:
    replication, window = sector.porep_statement(), sector.window_statement()
    proof = prove_replication(replication, sector.folder)
    answer = prove_window(window, sector.folder)
    assert holds(replication, proof)
    assert holds(window, answer)
    assert not holds(replication, answer)
    assert not holds(window, proof)
    assert not holds(replace(window, provider_id=window.provider_id + 1), answer)
    assert not holds(replication, b"")


def test_each_field_of_a_statement_makes_another_question(sector: SealedSector) -> None:
    replication, window = sector.porep_statement(), sector.window_statement()
    node = bytes(31) + b"\1"
    variants: list[Statement] = [
        replication,
        replace(replication, chain_id=b"another"),
        replace(replication, provider_id=1),
        replace(replication, sector_number=8),
        replace(replication, ticket=node),
        replace(replication, comm_d=node),
        replace(replication, comm_r=node),
        replace(replication, seed=node),
        window,
        replace(window, chain_id=b"another"),
        replace(window, provider_id=1),
        replace(window, sector_number=8),
        replace(window, comm_r=node),
        replace(window, seeds=(node,)),
        replace(window, seeds=(*window.seeds, node)),
        replace(window, piece_ranges=window.piece_ranges[:1]),
    ]
    questions = {Question(statement, CID_A) for statement in variants}
    assert len({question.statement_digest for question in questions}) == len(variants)


def test_a_question_is_answered_once(sector: SealedSector) -> None:
    asked: list[Question] = []

    def answer(question: Question) -> bool:
        asked.append(question)
        return question.proof_cid == CID_A

    answers = Answers(answer)
    statement = sector.porep_statement()
    assert [answers(statement, cid) for cid in (CID_A, CID_B, CID_A)] == [True, False, True]
    assert [question.proof_cid for question in asked] == [CID_A, CID_B]
    assert [verdict.is_valid for verdict in answers.verdicts] == [True, False]
