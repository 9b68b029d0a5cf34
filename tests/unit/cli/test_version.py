"""`holdfast version` names what does the hashing here."""

import json

import pytest
from typer.testing import CliRunner

from cli.exits import USAGE
from cli.main import app
from proofs import kernels

RUN = CliRunner()


def test_the_version_names_the_kernels_that_run() -> None:
    result = RUN.invoke(app, ["version", "--json"])
    assert result.exit_code == 0
    assert json.loads(result.stdout)["kernels"] == kernels.chosen()
    people = RUN.invoke(app, ["version"]).stdout
    for what, which in kernels.chosen().items():
        assert f"{what}: {which}" in people


def test_a_level_that_is_not_here_is_a_wrong_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOLDFAST_KERNELS", "sse9")
    kernels.level_name.cache_clear()
    kernels.level.cache_clear()
    try:
        result = RUN.invoke(app, ["version", "--json"])
    finally:
        kernels.level_name.cache_clear()
        kernels.level.cache_clear()
    assert result.exit_code == USAGE
    assert json.loads(result.stdout.splitlines()[-1])["code"] == "config-invalid"
