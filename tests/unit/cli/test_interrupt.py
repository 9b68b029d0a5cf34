"""Ctrl-C: once is an orderly end, twice is one at once; neither shows where it met us."""

import signal
from pathlib import Path

import pytest

from tests.support.holdfast import User


@pytest.mark.parametrize("times", [1, 2])
def test_an_interrupted_server_ends_without_a_traceback(tmp_path: Path, times: int) -> None:
    user = User(tmp_path)
    with user.runs("ledger", "serve", "--port", "0") as running:
        for _ in range(times):
            running.process.send_signal(signal.SIGINT)
        # The second one may come after Python has put SIGINT's own way to die back.
        assert running.process.wait(40) in (130, -signal.SIGINT)
    assert "Traceback" not in (tmp_path / "stderr.log").read_text()
