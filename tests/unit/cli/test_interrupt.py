"""Ctrl-C: once is an orderly end, twice is one at once; neither shows where it met us."""

import os
import signal
from pathlib import Path
from typing import IO

import pytest

from chain.keys import SigningKey
from chain.policy import DEV
from cli.render import ENDS_WITH_STDIN
from tests.support.holdfast import NO_LEDGER, STOP_SECONDS, User


@pytest.mark.parametrize("times", [1, 2])
def test_an_interrupted_server_ends_without_a_traceback(tmp_path: Path, times: int) -> None:
    user = User(tmp_path)
    with user.runs("ledger", "serve", "--port", "0") as running:
        for _ in range(times):
            running.process.send_signal(signal.SIGINT)
        # The second one may come after Python has put SIGINT's own way to die back.
        assert running.process.wait(STOP_SECONDS) in (130, -signal.SIGINT)
    assert "Traceback" not in (tmp_path / "stderr.log").read_text()


def test_a_server_that_was_interrupted_promises_nothing(tmp_path: Path) -> None:
    with User(tmp_path, NO_LEDGER).talks("gateway", "--port", "0", "--no-fetch") as gateway:
        read_until(gateway.stderr, "<CID>\n")
        gateway.send_signal(signal.SIGINT)
        assert gateway.wait(STOP_SECONDS) == 130
        assert read_until(gateway.stderr, "\n") == "interrupted\n"


def test_a_provider_waits_for_its_ledger_and_says_what_to_run(tmp_path: Path) -> None:
    user = User(tmp_path, NO_LEDGER)
    user.says("provider", "init").result  # noqa: B018 - asserts that it was done
    with user.talks("provider", "run") as provider:
        told = read_until(provider.stderr, "\n")
        assert NO_LEDGER in told
        assert "holdfast ledger serve" in told
        provider.send_signal(signal.SIGINT)
        assert provider.wait(STOP_SECONDS) == 130
        assert read_until(provider.stderr, "\n") == "interrupted\n"


def test_a_process_that_must_not_outlive_its_parent_ends_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(ENDS_WITH_STDIN, "1")
    with User(tmp_path).talks("ledger", "serve", "--port", "0") as ledger:
        read_until(ledger.stderr, "schema)\n")
        assert ledger.stdin is not None, "it is a pipe"
        ledger.stdin.close()
        assert ledger.wait(STOP_SECONDS) == 143


def test_a_question_can_be_interrupted(tmp_path: Path) -> None:
    to = SigningKey.generate().address(DEV.address_prefix)
    with User(tmp_path).talks("wallet", "send", to, "1") as sending:
        read_until(sending.stderr, "[y/N]")
        sending.send_signal(signal.SIGINT)
        assert sending.wait(STOP_SECONDS) == 130


def test_a_reader_who_has_had_enough_of_the_help_is_no_failure(tmp_path: Path) -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    with User(tmp_path).talks("--help", stdout=write_end) as helping:
        os.close(write_end)
        assert helping.wait(STOP_SECONDS) == 141
        assert helping.communicate()[1] == ""


def read_until(stream: IO[str] | None, text: str) -> str:
    """Return what a person sees until this is there."""
    assert stream is not None, "it is a pipe"
    seen = ""
    while not seen.endswith(text):
        letter = stream.read(1)
        assert letter, f"it ended with {seen!r}"
        seen += letter
    return seen
