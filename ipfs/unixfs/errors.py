"""What cannot be imported (our own files) and what must not be exported (a stranger's blocks)."""

from typing import ClassVar

from ipfs.cid import CID
from ipfs.errors import PeerError


class ImportRefused(Exception):
    """The file or folder cannot be imported as it is; its message says what to change."""

    code: ClassVar[str]


class EntryUnsupported(ImportRefused):
    """A directory entry is nothing that UnixFS can hold and an export could bring back."""

    code = "entry-unsupported"

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"{path!r}: {reason}")
        self.path = path
        self.reason = reason


class UnsafeEntry(PeerError):
    """An entry must not be written to a disk: its name or its target could leave the folder."""

    code = "unsafe-entry"

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"{path!r}: {reason}")
        self.path = path
        self.reason = reason


class NotAFile(PeerError):
    """The bytes of a file were asked for, where there is a folder or a symbolic link."""

    code = "not-a-file"

    def __init__(self, cid: CID) -> None:
        super().__init__(f"{cid} is a folder or a symbolic link, not a file")
        self.cid = cid
