import stat
import subprocess
import sys
from pathlib import Path

import pytest

from chain.disk import FolderLocked, KeyFileOpen, locked, read_secret, write_secret

HOLD = """
import pathlib, sys
from chain.disk import locked
with locked(pathlib.Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_folder_is_one_processs_until_it_ends_however_it_ends(tmp_path: Path) -> None:
    script = [sys.executable, "-c", HOLD, str(tmp_path / "data")]
    with subprocess.Popen(script, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"held\n"
        with pytest.raises(FolderLocked, match="in use"), locked(tmp_path / "data"):
            pass
        other.kill()
    with locked(tmp_path / "data"):
        pass


def test_a_secret_is_its_owners_alone_and_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "secret"
    assert read_secret(path) is None
    write_secret(path, b"seed")
    assert read_secret(path) == b"seed"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with pytest.raises(FileExistsError):
        write_secret(path, b"another")
    assert read_secret(path) == b"seed"
    path.chmod(0o640)
    with pytest.raises(KeyFileOpen, match="chmod 600"):
        read_secret(path)
