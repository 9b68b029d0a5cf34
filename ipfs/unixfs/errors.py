"""What cannot be imported (our own files) and what must not be exported (a stranger's blocks)."""

from typing import ClassVar

from ipfs.errors import PeerError


class ImportRefused(Exception):
    """The file or folder cannot be imported as it is; its message says what to change."""

    code: ClassVar[str]


class LayoutUnsupported(ImportRefused):
    """The settings name a DAG layout that is not built."""

    code = "layout-unsupported"

    def __init__(self, layout: str) -> None:
        super().__init__(f"layout {layout!r} is not supported; use 'balanced'")
        self.layout = layout


class DirectoryTooLarge(ImportRefused):
    """A directory would have to be sharded (HAMT), which is not built."""

    code = "directory-too-large"

    def __init__(self, path: str, *, size_bytes: int, size_bytes_max: int) -> None:
        super().__init__(
            f"directory {path!r} needs {size_bytes} bytes for its entries; above {size_bytes_max} "
            "it must be sharded, which is not supported: spread the entries over subdirectories"
        )
        self.path = path
        self.size_bytes = size_bytes
        self.size_bytes_max = size_bytes_max


class EntryUnsupported(ImportRefused):
    """A directory entry is nothing that UnixFS can hold and an export could bring back."""

    code = "entry-unsupported"

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"{path!r}: {reason}")
        self.path = path
        self.reason = reason


class ShardingUnsupported(PeerError):
    """The directory is sharded (HAMT), which is not built."""

    code = "sharding-unsupported"

    def __init__(self) -> None:
        super().__init__("a sharded directory (HAMT) is not supported")


class UnsafeEntry(PeerError):
    """An entry must not be written to a disk: its name or its target could leave the folder."""

    code = "unsafe-entry"

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"{path!r}: {reason}")
        self.path = path
        self.reason = reason
