"""`holdfast piece` says what the other implementations say."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from cli.exits import FAILED, NOT_FOUND, USAGE, VERIFICATION_FAILED
from cli.main import app
from tests.support.vectors import own

RUN = CliRunner()
PRNG: list[dict[str, Any]] = [
    case
    for case in own("commp.json")["pieces"]
    if case["input"] == "prng" and 0 < case["size"] < 1 << 22
]


def answer(result: Result) -> Any:
    return json.loads(result.stdout.splitlines()[-1])


def payload_of(case: dict[str, Any]) -> bytes:
    return hashlib.shake_256(b"commp-vector").digest(case["size"])


@pytest.mark.parametrize("case", PRNG, ids=lambda case: str(case["size"]))
def test_a_file_and_a_stream_have_the_names_of_the_vectors(
    case: dict[str, Any], tmp_path: Path
) -> None:
    path = tmp_path / "payload"
    path.write_bytes(payload_of(case))
    from_file = RUN.invoke(app, ["piece", "commp", "--json", str(path)])
    from_stdin = RUN.invoke(app, ["piece", "commp", "--json", "-"], input=path.read_bytes())
    for result in (from_file, from_stdin):
        assert result.exit_code == 0, result.output
        assert answer(result) == {
            "type": "result",
            "piece_cid_v1": case["piece_cid_v1"],
            "piece_cid_v2": case["piece_cid_v2"],
            "padded_size_bytes": case["padded_size"],
            "payload_bytes": case["size"],
        }


def test_people_read_both_names_and_the_size() -> None:
    case = PRNG[-1]
    result = RUN.invoke(app, ["piece", "commp", "-"], input=payload_of(case))
    for text in (case["piece_cid_v1"], case["piece_cid_v2"], f"{case['padded_size']} bytes"):
        assert text in result.stdout


def test_either_name_gives_the_other() -> None:
    for case in PRNG:
        by_v2 = RUN.invoke(app, ["piece", "cid", "--json", case["piece_cid_v2"]])
        size = str(case["size"])
        by_v1 = RUN.invoke(
            app, ["piece", "cid", "--json", case["piece_cid_v1"], "--payload-bytes", size]
        )
        assert answer(by_v1) == answer(by_v2)
        assert answer(by_v2)["piece_cid_v1"] == case["piece_cid_v1"]
        assert answer(by_v1)["piece_cid_v2"] == case["piece_cid_v2"]


def test_an_aggregate_and_its_inclusion_proofs_are_those_of_the_vectors() -> None:
    [case] = own("commp.json")["aggregates"]
    words = ["piece", "aggregate", *case["piece_links"], "--size", "1MiB", "--json"]
    result = RUN.invoke(app, words)
    assert result.exit_code == 0, result.output
    pieces, total = map(json.loads, result.stdout.splitlines())
    assert total["piece_cid_v2"] == case["aggregate"]
    found = {piece["piece_cid_v2"]: piece["inclusion"] for piece in pieces["pieces"]}
    assert found == {piece["piece"]: piece["proof"] for piece in case["inclusion"]}


@pytest.mark.parametrize(
    ("words", "exit_code"),
    [
        (["commp", "/no/such/file"], NOT_FOUND),
        (["commp", "-"], FAILED),
        (["cid", PRNG[0]["piece_cid_v1"]], USAGE),
        (["cid", PRNG[0]["piece_cid_v2"], "--payload-bytes", "7"], USAGE),
        (["cid", "bafkqaaa"], VERIFICATION_FAILED),
        (["cid", "not a cid"], USAGE),
        (["aggregate", PRNG[0]["piece_cid_v2"], "--size", "128"], USAGE),
        (["aggregate", PRNG[0]["piece_cid_v2"], "--size", "3MiB"], USAGE),
        (["aggregate", PRNG[-1]["piece_cid_v2"], "--size", "512"], USAGE),
        (["aggregate", PRNG[0]["piece_cid_v1"], "--size", "1MiB"], USAGE),
    ],
)
def test_what_names_no_piece_is_refused(words: list[str], exit_code: int) -> None:
    result = RUN.invoke(app, ["piece", *words], input=b"")
    assert result.exit_code == exit_code, result.output
