"""`holdfast ipfs` without a network: the CIDs that others give, pipes, pins, garbage, scrubbing."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from cli.main import app
from ipfs.block import Block
from ipfs.car import write_car
from ipfs.cid import Codec
from ipfs.dag_pb import PBLink, PBNode
from ipfs.unixfs.header import Header, NodeType
from tests.support.holdfast import NO_LEDGER
from tests.support.unixfs_vectors import content, make_directory
from tests.support.vectors import own

WORDS: Mapping[str, str] = {
    "v0-2015": "--profile unixfs-v0-2015",
    "v1-2025": "--profile unixfs-v1-2025",
    "v1-raw-256k-174": "--cid-version 1 --chunker size-262144 --max-file-links 174",
    "v1-pb-256k-174": "--no-raw-leaves --chunker size-262144 --max-file-links 174",
    "v0-raw-256k-174": "--profile unixfs-v0-2015 --raw-leaves",
    "v1-raw-1m-174": "--max-file-links 174",
    "v1-raw-256B-174": "--chunker size-256 --max-file-links 174",
    "v0-pb-256B-174": "--profile unixfs-v0-2015 --chunker size-256",
    "v0-trickle-256k": "--profile unixfs-v0-2015 --trickle",
    "v1-trickle-raw-256k": "--profile unixfs-v0-2015 --cid-version 1 -t",
    "v1-trickle-raw-256B": "--profile unixfs-v0-2015 --cid-version 1 -t --chunker size-256",
}
NAME = "k51qzi5uqu5dgutdk6i1ynyzgkqngpha5xpgia3a5qqp4jsh0u4csozksxel2r"
SIZES = (0, 1, 256, 1025, 1_048_577)


@dataclass(frozen=True)
class Said:
    exit_code: int
    stdout: bytes

    @property
    def text(self) -> str:
        assert self.exit_code == 0, self
        return self.stdout.decode().strip()

    @property
    def result(self) -> dict[str, Any]:
        last: dict[str, Any] = json.loads(self.stdout.splitlines()[-1])
        return last


@dataclass(frozen=True)
class Home:
    folder: Path

    def says(
        self, *words: str | Path, group: tuple[str, ...] = ("ipfs",), stdin: bytes = b""
    ) -> Said:
        done = CliRunner().invoke(
            app,
            [*group, *map(str, words)],
            input=stdin,
            env={"HOLDFAST_HOME": str(self.folder), "HOLDFAST_LEDGER_URL": NO_LEDGER},
        )
        return Said(done.exit_code, done.stdout_bytes)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home")


@pytest.fixture
def other(tmp_path: Path) -> Home:
    return Home(tmp_path / "other")


def file_rows() -> list[Mapping[str, Any]]:
    rows = [row for row in own("unixfs.json")["files"] if row["config"] in WORDS]
    chosen = [row for row in rows if row["size"] in SIZES and row["input"] == "prng"]
    assert {row["config"] for row in chosen} == set(WORDS)
    return chosen


@pytest.mark.parametrize("row", file_rows(), ids=lambda row: f"{row['config']}-{row['size']}")
def test_a_file_from_a_pipe_gets_the_cid_that_others_give_it(
    row: Mapping[str, Any], home: Home
) -> None:
    words = WORDS[row["config"]].split()
    said = home.says("add", "-Q", "--only-hash", *words, stdin=content(row["size"]))
    assert said.text == row["cid"]
    assert not (home.folder / "client" / "blocks").exists(), "nothing is stored"


@pytest.mark.parametrize("name", ["nested", "names", "symlink"])
def test_a_folder_comes_back_from_its_cid(
    name: str, home: Home, other: Home, tmp_path: Path
) -> None:
    row = next(row for row in own("unixfs.json")["directories"] if row["name"] == name)
    words = WORDS[row["config"]].split()
    make_directory(row, tmp_path / "d")
    assert home.says("add", "-r", "-Q", *words, tmp_path / "d").text == row["cid"]
    car = home.says("export", row["cid"])
    assert other.says("import", stdin=car.stdout).text == f"pinned {row['cid']}"
    assert other.says("export", row["cid"]).stdout == car.stdout
    other.says("get", "--offline", row["cid"], "-o", tmp_path / "back").text  # noqa: B018
    again = other.says("add", "-Q", "-n", *words, tmp_path / "back")
    assert again.text == row["cid"]
    stat = other.says("stat", row["cid"], "--json").result
    assert (stat["blocks"], stat["bytes"]) == (row["blocks"], row["block_bytes"])


def test_a_car_of_version_2_goes_through_a_pipe(home: Home, other: Home) -> None:
    cid = home.says("add", "-Q", "--chunker", "size-1000", stdin=content(20_000)).text
    car = home.says("export", cid, "--car-version", "2").stdout
    assert other.says("import", "--no-pin-roots", "--json", stdin=car).result["blocks"] == 21
    assert other.says("cat", cid).stdout == content(20_000)
    assert (
        other.says("cat", cid, "--offset", "1999", "--length", "3").stdout == content(2_002)[1_999:]
    )
    assert other.says("pin", "ls", "--json").result["pins"] == []
    damaged = bytearray(car)
    damaged[len(car) // 2] ^= 1
    assert other.says("import", stdin=bytes(damaged)).exit_code == 8


def test_a_car_that_lacks_its_last_block_pins_nothing(home: Home, other: Home) -> None:
    cid = home.says("add", "-Q", "--chunker", "size-1000", stdin=content(20_000)).text
    car = home.says("export", cid).stdout
    section_bytes = 2 + 36 + 1_000
    said = other.says("import", "--json", stdin=car[:-section_bytes])
    assert (said.exit_code, said.result["code"]) == (8, "car-incomplete")
    assert other.says("pin", "ls", "--json").result["pins"] == []
    taken = other.says("import", "--no-pin-roots", "--json", stdin=car[:-section_bytes])
    assert taken.result["blocks"] == 20


def test_an_export_that_fails_leaves_no_part_of_a_car(home: Home, tmp_path: Path) -> None:
    cid = home.says("add", "-Q", "--chunker", "size-1000", stdin=content(20_000)).text
    [*_, last] = home.says("refs", cid, "--offline").text.splitlines()
    car, part = tmp_path / "whole.car", tmp_path / "part.car"
    assert home.says("export", cid, "-o", car).text == ""
    assert car.read_bytes() == home.says("export", cid).stdout
    assert home.says("export", cid, "-o", car).exit_code == 1
    assert car.exists(), "what was there before stays"
    home.says("pin", "rm", cid).text  # noqa: B018
    for each in home.says("refs", cid, "--offline").text.splitlines():
        if each != last:
            home.says("pin", "add", each).text  # noqa: B018
    home.says("pin", "add", "--direct", cid).text  # noqa: B018
    assert home.says("gc", "--json").result["removed"] == 1
    assert home.says("export", cid, "--offline", "-o", part).exit_code == 4
    assert not part.exists()


def test_a_reader_that_has_had_enough_is_no_trouble(home: Home) -> None:
    cid = home.says("add", "-Q", stdin=content(1_048_577)).text
    with subprocess.Popen(
        [sys.executable, "-P", "-m", "cli.main", "ipfs", "cat", cid],
        env={**os.environ, "HOLDFAST_HOME": str(home.folder)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.read(1) == content(1)
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 141


def test_what_is_in_a_folder(home: Home, tmp_path: Path) -> None:
    (tmp_path / "d" / "inner").mkdir(parents=True)
    (tmp_path / "d" / "a.txt").write_bytes(b"hello")
    (tmp_path / "d" / "inner" / "b").write_bytes(b"there")
    added = [
        json.loads(line) for line in home.says("add", tmp_path / "d", "--json").stdout.splitlines()
    ]
    assert [each["type"] for each in added] == ["added", "result"]
    root = added[-1]["cid"]
    listed = home.says("ls", root, "--json").result["entries"]
    assert [(each["name"], each["kind"], each["bytes"]) for each in listed] == [
        ("a.txt", "file", 5),
        ("inner", "directory", None),
    ]
    assert home.says("cat", f"/ipfs/{root}/inner/b").stdout == b"there"
    assert home.says("refs", root).text.split() == [each["cid"] for each in listed]
    assert len(home.says("refs", "-r", root).text.split()) == 3
    assert sorted(home.says("refs", "local").text.split()) == sorted(
        [root, *home.says("refs", "-r", root).text.split()]
    )
    assert home.says("cat", f"{root}/inner/nope").exit_code == 4
    assert home.says("cat", root).exit_code == 2, "a folder is no damage"
    again = home.says("get", root, "-o", tmp_path / "d", "--json")
    assert (again.exit_code, again.result["code"]) == (1, "already-exists")
    assert home.says("ls", "--offline", listed[0]["cid"][:-1]).exit_code == 2
    inner = home.says("export", f"{root}/inner").stdout
    assert inner == home.says("export", listed[1]["cid"]).stdout
    assert home.says("pin", "add", f"{root}/inner", "--json").result["cid"] == listed[1]["cid"]


def test_pinned_stays_and_the_rest_goes(home: Home) -> None:
    kept = home.says("add", "-Q", stdin=b"kept").text
    loose = home.says("add", "-Q", "--no-pin", stdin=b"loose").text
    home.says("pin", "add", loose, "--reason", "deal 7", "--until", "50").text  # noqa: B018
    assert home.says("gc", "--json").result["removed"] == 0
    assert home.says("gc", "--epoch", "49", "--json").result["removed"] == 0
    assert home.says("gc", "--epoch", "50", "--json").result == {
        "type": "result",
        "removed": 1,
        "freed_bytes": 5,
    }
    assert home.says("cat", "--offline", loose).exit_code == 4
    assert home.says("cat", "--offline", kept).stdout == b"kept"
    assert home.says("pin", "rm", kept, "--reason", "other").exit_code == 4
    assert home.says("pin", "rm", kept).exit_code == 0
    assert home.says("gc", "--json").result["removed"] == 1
    assert home.says("pin", "add", "--offline", kept).exit_code == 4
    assert home.says("scrub").text.startswith("0 blocks in "), "what is dead is no block"


def test_a_flipped_bit_is_found_and_said(home: Home) -> None:
    cid = home.says("add", "-Q", stdin=content(5_000)).text
    assert home.says("scrub", "--json").result["is_clean"]
    [segment] = (home.folder / "client" / "blocks").glob("*.segment")
    data = bytearray(segment.read_bytes())
    data[2_000] ^= 4
    segment.write_bytes(data)
    read = home.says("get", "--offline", cid, "-o", home.folder / "out", "--json")
    assert (read.exit_code, "damaged here" in read.result["detail"]) == (8, True)
    said = home.says("scrub")
    assert said.exit_code == 8
    assert f"1 damaged place, 1 block lost\nlost {cid}" in said.stdout.decode()
    assert home.says("gc").exit_code == 8, "a pinned DAG lacks a block"
    assert home.says("add", "-Q", stdin=content(5_000)).text == cid
    assert home.says("scrub", "--json").result["is_clean"]


def test_a_folder_is_called_by_its_own_name(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "d" / "inner").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "d" / "inner")
    for words, name in ((".", "inner"), ("..", "d"), (f"{tmp_path}/d/", "d")):
        assert home.says("add", words).text.endswith(f" {name}")


def test_a_cid_that_is_its_own_block_can_be_pinned(home: Home) -> None:
    for word in ("--direct", "--recursive"):
        home.says("pin", "add", "--offline", word, "bafkqaaik").text  # noqa: B018
    assert home.says("gc", "--json").result["removed"] == 0


def test_a_folder_that_could_write_elsewhere_is_told_from_a_failure(
    home: Home, tmp_path: Path
) -> None:
    link = Block.of(Codec.DAG_PB, PBNode((), Header(NodeType.SYMLINK, b"/etc").encode()).encode())
    folder = PBNode((PBLink(link.cid, "l", 0),), Header(NodeType.DIRECTORY).encode()).encode()
    root = Block.of(Codec.DAG_PB, folder)
    car = b"".join(write_car((root.cid,), (root, link)))
    home.says("import", stdin=car).text  # noqa: B018
    said = home.says("get", str(root.cid), "-o", tmp_path / "out", "--json")
    assert (said.exit_code, said.result["code"]) == (8, "unsafe-entry")


@pytest.mark.parametrize(
    "words",
    [
        ("add", "--profile", "v3"),
        ("add", "--chunker", "rabin"),
        ("add", "--chunker", "size-9999999"),
        ("add", "--cid-version", "2"),
        ("add", "--max-file-links", "1"),
        ("add", "--max-file-links", "8193"),
        ("cat", "no-cid"),
        ("cat", NAME),
        ("cat", "--offline", "--peer", "/ip4/127.0.0.1/tcp/1", "bafkqaaa"),
    ],
)
def test_words_that_say_nothing_are_refused(words: tuple[str, ...], home: Home) -> None:
    assert home.says(*words).exit_code == 2


def test_a_name_that_could_steer_a_terminal_is_made_visible(home: Home, tmp_path: Path) -> None:
    (tmp_path / "x\x1b[2Jy").write_bytes(b"x")
    assert b"\x1b" not in home.says("add", tmp_path / "x\x1b[2Jy").stdout


@pytest.mark.parametrize(
    ("words", "exit_code"),
    [
        ("key gen mine", 1),
        ("key gen ../mine", 2),
        ("name publish bafkqaaa --key yours", 4),
        ("name publish bafkqaaa --lifetime soon", 2),
        ("name publish bafkqaaa --key mine", 7),
        ("name resolve", 7),
        ("findprovs bafkqaaa", 7),
        ("pin add --offline /ipns/example.org", 2),
        ("name resolve example.org", 2),
        ("cat --offline /ipns/example.org", 2),
        ("cat bafkqaaa --peer nowhere", 2),
    ],
)
def test_names_and_peers_that_lead_nowhere_are_told_apart(
    words: str, exit_code: int, home: Home
) -> None:
    name = home.says("key", "gen", "mine").text
    assert home.says(*words.split()).exit_code == exit_code
    listed = home.says("key", "list", "--json").result["keys"]
    assert [each["name"] for each in listed] == ["mine", "self"]
    assert listed[0]["id"] == name


def test_who_was_to_be_told_and_is_not_there_is_missed(home: Home) -> None:
    cid = home.says("add", "-Q", stdin=b"to be told of").text
    nobody = f"/ip4/127.0.0.1/tcp/1/p2p/{home.says('id', '--json').result['peer_id']}"
    assert home.says("provide", cid, "--peer", nobody).exit_code == 7


@pytest.mark.parametrize(
    ("path", "exit_code"),
    [("bafkqaaa/inside", 2), ("no-cid", 2), (NAME, 2), (f"/ipns/{NAME}", 7), ("bafkqaaa", 7)],
)
def test_the_market_gives_back_roots_and_what_names_lead_to(
    path: str, exit_code: int, home: Home, tmp_path: Path
) -> None:
    said = home.says("retrieve", path, "-o", tmp_path / "out", group=())
    assert said.exit_code == exit_code
