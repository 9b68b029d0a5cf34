"""Which files of a sector that is being sealed are whole, so that sealing goes on where it ended.

`journal.json` lies beside them: for each file its length and SHA-256, entered after the file is on
the disk. What is entered is checked before it is used: a file that is torn, or rotted since, is
made again. It goes with the files that only the proof of replication needs.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from proofs.parameters import ProofType
from proofs.sealed import JOURNAL, replace_file, sync


@dataclass(frozen=True, slots=True)
class WholeFile:
    """What a file was when it was whole."""

    size_bytes: int
    sha256: str

    @classmethod
    def of(cls, path: Path) -> Self:
        """Read a file through. Raises: `OSError` from the disk."""
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            return cls(file.tell(), digest)


class Journal:
    """One sector's journal. Another sector's, or a damaged one, counts as empty."""

    def __init__(self, folder: Path, proof_type: ProofType, replica_id: bytes) -> None:
        self._folder = folder
        self._sector = {"proof_type": str(proof_type), "replica_id": replica_id.hex()}
        self._files = dict(_read(folder / JOURNAL, self._sector))

    def holds(self, *names: str) -> bool:
        """Whether these files are as they were entered; reads them from end to end."""
        return all(self._is_whole(name) for name in names)

    def enter(self, *names: str) -> None:
        """Put files that were just written to the disk for good, then into the journal."""
        for name in names:
            sync(self._folder / name)
            self._files[name] = WholeFile.of(self._folder / name)
        files = {name: asdict(whole) for name, whole in self._files.items()}
        replace_file(self._folder / JOURNAL, json.dumps({**self._sector, "files": files}, indent=2))

    def _is_whole(self, name: str) -> bool:
        path, entered = self._folder / name, self._files.get(name)
        if entered is None or not path.is_file() or path.stat().st_size != entered.size_bytes:
            return False
        return WholeFile.of(path) == entered


def _read(path: Path, sector: Mapping[str, str]) -> dict[str, WholeFile]:
    try:
        found: dict[str, Any] = json.loads(path.read_bytes())
        files = {name: WholeFile(**whole) for name, whole in found.pop("files").items()}
    except (FileNotFoundError, ValueError, LookupError, TypeError, AttributeError):
        return {}
    return files if found == sector else {}
