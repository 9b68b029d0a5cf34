"""The digest of a file while it is closed: a bit that flips in it is noticed wherever it lies."""

import hashlib
from contextlib import suppress
from pathlib import Path


class Fingerprint:
    """SHA-256 of one file, in a file beside it; there is none while somebody may write."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._kept = path.with_name(f"{path.name}.sha256")

    def take(self) -> None:
        """Write down what the file is."""
        draft = self._kept.with_name(f"{self._kept.name}.new")
        # On a full disk there is none, as after a crash.
        with suppress(OSError):
            draft.write_text(self._digest() + "\n")
            draft.replace(self._kept)

    def drop(self) -> None:
        """Forget it: the file is about to change."""
        self._kept.unlink(missing_ok=True)

    def fits(self) -> bool:
        """Whether the file is what it was, or nothing was written down."""
        try:
            return self._kept.read_bytes() == f"{self._digest()}\n".encode()
        except FileNotFoundError:
            return True

    def _digest(self) -> str:
        with self._path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
