"""The demo's story, with the real processes and the real kill."""

import os
import signal
from pathlib import Path

import pytest

from tests.support.bitswap import until
from tests.support.holdfast import User


@pytest.fixture
def demos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Let demos work where nobody else's do; return how the names of their folders begin."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    return str(tmp_path / "holdfast-demo-")


def test_a_folder_is_stored_proven_lost_in_one_place_and_comes_back(
    tmp_path: Path, demos: str
) -> None:
    folder = tmp_path / "letters"
    (folder / "old").mkdir(parents=True)
    (folder / "old" / "one.txt").write_text("Dear Bob, keep this.\n" * 1_000)
    (folder / "two.bin").write_bytes(os.urandom(300_000))
    (folder / "empty").write_bytes(b"")

    done = User(tmp_path / "home").says("demo", str(folder))
    result = done.result

    paid = [event for event in done.objects if event["type"] == "window-proven"]
    assert {event["deal_id"] for event in paid} == set(result["deal_ids"])
    for deal_id in result["deal_ids"]:
        earned = [int(event["paid_atto"]) for event in paid if event["deal_id"] == deal_id]
        assert sum(atto > 0 for atto in earned) >= 2, "paid for two windows"

    [missed] = [event for event in done.objects if event["type"] == "window-missed"]
    assert missed["state"] == "faulty"
    assert any(event["type"] == "retrieved" for event in done.objects)

    before, after = result["balances_before_atto"], result["balances_after_atto"]
    assert sum(map(int, before.values())) == sum(map(int, after.values()))
    assert (result["safety"], result["proven_copies"]) == ("at-risk", 1)
    assert not processes_that_mention(demos), "nothing is left running"


def test_ctrl_c_in_the_middle_leaves_nothing_running(tmp_path: Path, demos: str) -> None:
    with User(tmp_path).runs("demo", until='"step"') as demo:
        assert processes_that_mention(demos)
        assert demo.end(signal.SIGINT) == 130
    assert not processes_that_mention(demos)


async def test_a_second_ctrl_c_leaves_nothing_either(tmp_path: Path, demos: str) -> None:
    with User(tmp_path).runs("demo", until='"provider"') as demo:
        [ledger] = processes_that_mention("/ledger", demos)
        os.kill(ledger, signal.SIGSTOP)
        demo.process.send_signal(signal.SIGINT)
        await until(lambda: processes_that_mention(demos) == [ledger])
        assert demo.end(signal.SIGINT) == 130, "it did not wait for the ledger"
    await until(lambda: not processes_that_mention(demos))
    assert not folders_of(demos)


async def test_a_demo_that_is_killed_leaves_nothing_running(tmp_path: Path, demos: str) -> None:
    with User(tmp_path).runs("demo", until='"provider"') as demo:
        assert processes_that_mention(demos)
        demo.end(signal.SIGKILL)
        await until(lambda: not processes_that_mention(demos))


def test_a_path_that_no_sector_takes_is_refused_before_anything_starts(tmp_path: Path) -> None:
    large = tmp_path / "large.bin"
    with large.open("wb") as file:
        file.truncate(9 << 20)
    done = User(tmp_path / "home").says("demo", str(large))
    assert done.exit_code == 1
    assert done.error_code == "piece-too-large"
    assert "--sector-size 512MiB" in done.objects[-1]["detail"]
    assert len(done.objects) == 1, "not even the ledger was started"


def test_a_path_that_is_not_there_is_not_found(tmp_path: Path) -> None:
    done = User(tmp_path).says("demo", str(tmp_path / "nothing"))
    assert (done.exit_code, done.error_code) == (4, "not-found")


def folders_of(demos: str) -> list[Path]:
    """Return the folders that demos have left."""
    return list(Path(demos).parent.glob("holdfast-demo-*"))


def processes_that_mention(*texts: str) -> list[int]:
    """Return the live processes whose home is a demo's folder."""
    if not Path("/proc/self/environ").exists():
        pytest.skip("left-over processes are looked for in /proc")
    return [
        int(entry.name)
        for entry in Path("/proc").iterdir()
        if entry.name.isdecimal() and all(text.encode() in home_of(entry) for text in texts)
    ]


def home_of(process: Path) -> bytes:
    """Return the HOLDFAST_HOME of a process; nothing if it is gone or somebody else's."""
    try:
        variables = (process / "environ").read_bytes().split(b"\0")
    except OSError:
        return b""
    return next((one for one in variables if one.startswith(b"HOLDFAST_HOME=")), b"")
