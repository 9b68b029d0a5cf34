"""Writes a UnixFS DAG to disk, and never outside the place it was told."""

import errno
import os
import secrets
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, assert_never

from ipfs.block import Block
from ipfs.blockstore import Blockstore
from ipfs.cid import CID
from ipfs.dag import inline_block
from ipfs.errors import LimitExceeded
from ipfs.unixfs.errors import UnsafeEntry
from ipfs.unixfs.header import Metadata
from ipfs.unixfs.node import (
    Directory,
    Entry,
    File,
    Node,
    Shard,
    Symlink,
    check_target,
    read_node,
)
from ipfs.unixfs.ranges import RangeReader
from ipfs.unixfs.tree import FolderReader

_READ_AHEAD_BLOCKS: Final = 8
_READERS: Final = 2

_PERMISSION_BITS: Final = 0o777
"""Never setuid, setgid or sticky, whatever the node says."""

_MTIMES_NS: Final = range(-(1 << 63), 1 << 63)
"""What a system call takes; another time is not restored."""

_NEW_FILE: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportLimits:
    """What a DAG may grow to on the disk: a few blocks can name petabytes.

    held_entries_max:  of a folder and those above it together; of a sharded one, the root's links
    """

    content_bytes_max: int = 1 << 50
    entries_max: int = 1 << 20
    held_entries_max: int = 3 << 15
    folder_depth_max: int = 128


DEFAULT_LIMITS: Final = ExportLimits()


class TargetExists(FileExistsError):
    """There is something at the place to write to; nothing was overwritten."""


def export(
    store: Blockstore,
    root: CID,
    out_path: Path,
    *,
    limits: ExportLimits = DEFAULT_LIMITS,
    on_progress: Callable[[int], None] = lambda _: None,
) -> None:
    """Write the file or folder to `out_path`, whole or not at all.

    It grows under a temporary name beside `out_path` and is renamed when complete. An empty
    folder at `out_path` is replaced; anything else there raises `TargetExists`. Permissions and
    times are restored where the DAG has them, setuid, setgid and sticky bits never. It is a copy
    of what the store has on the disk already, so it is not synced to the disk itself.

    on_progress:  called with the bytes written so far
    Raises `BlockNotFound` where the DAG is not whole; `MalformedBytes`, `LimitExceeded`,
    `UnsafeEntry` (which lists the entry) for a DAG that is not to be written; `OSError`.
    """
    require_free(out_path)
    with (
        ThreadPoolExecutor(_READERS) as readers,
        _temporary_sibling(out_path) as (folder_fd, name),
    ):
        writer = _Writer(_ReadAhead(store, readers), limits, on_progress)
        writer.write(root, folder_fd, name, ())
        # Writing takes its time: something may have come to be there.
        require_free(out_path)
        os.rename(name, out_path.name, src_dir_fd=folder_fd, dst_dir_fd=folder_fd)


class _ReadAhead:
    """Gets blocks from a store, and those of a file a few ahead of the one that is due."""

    def __init__(self, store: Blockstore, readers: ThreadPoolExecutor) -> None:
        self._store = store
        self._readers = readers

    def get(self, cid: CID) -> Block:
        """Return one block now."""
        return inline_block(cid) or self._store.get(cid)

    def file_bytes(self, root: CID) -> Iterator[bytes]:
        """Yield the bytes of a file, a block at a time, every size checked."""
        reader = RangeReader(root)
        under_way: dict[CID, Future[Block]] = {}
        while wanted := reader.wanted(_READ_AHEAD_BLOCKS):
            # What is due later is read again then: however deep a file is, no more is held.
            under_way = {cid: under_way[cid] for cid in wanted if cid in under_way}
            if len(wanted) > 1:
                for cid in set(wanted) - under_way.keys():
                    under_way[cid] = self._readers.submit(self.get, cid)
            due = under_way.pop(wanted[0], None)
            if data := reader.receive(due.result() if due else self.get(wanted[0])):
                yield data


class _Writer:
    """Counts what it writes; each entry is new, so nothing is ever written through a link."""

    def __init__(
        self, blocks: _ReadAhead, limits: ExportLimits, on_progress: Callable[[int], None]
    ) -> None:
        self._blocks = blocks
        self._limits = limits
        self._on_progress = on_progress
        self._entry_count = 0
        self._held_entry_count = 0
        self._written_bytes = 0
        self._promised_bytes = 0

    def write(self, cid: CID, folder_fd: int, name: str, path: tuple[str, ...]) -> None:
        """Write one node as the entry `name` of an open folder.

        path:  where the node is in the DAG, for messages and for judging links
        """
        self._entry_count += 1
        if self._entry_count > self._limits.entries_max:
            raise LimitExceeded(
                "entries of a folder", limit=self._limits.entries_max, asked=self._entry_count
            )
        node = self._node(cid, path)
        try:
            match node:
                case File():
                    self._write_file(cid, node, folder_fd, name)
                case Directory() | Shard():
                    self._write_folder(node, folder_fd, name, path)
                case Symlink():
                    check_target(node.target, path=path)
                    os.symlink(node.target, name, dir_fd=folder_fd)
                    _restore_link(node.metadata, folder_fd, name)
                case _:
                    assert_never(node)
        except FileExistsError as error:
            raise UnsafeEntry("/".join(path), "the same name as another entry, here") from error

    def _node(self, cid: CID, path: tuple[str, ...]) -> Node:
        try:
            return read_node(self._blocks.get(cid))
        except UnsafeEntry as error:
            raise UnsafeEntry("/".join((*path, error.path)), error.reason) from error

    def _write_file(self, cid: CID, file: File, folder_fd: int, name: str) -> None:
        self._promised_bytes += file.size_bytes
        if self._promised_bytes > self._limits.content_bytes_max:
            raise LimitExceeded(
                "bytes of content",
                limit=self._limits.content_bytes_max,
                asked=self._promised_bytes,
            )
        _require_room(folder_fd, file.size_bytes)
        with os.fdopen(os.open(name, _NEW_FILE, 0o666, dir_fd=folder_fd), "wb") as out:
            for data in self._blocks.file_bytes(cid) if file.parts else filter(None, [file.data]):
                out.write(data)
                self._written_bytes += len(data)
                self._on_progress(self._written_bytes)
            out.flush()
            _restore(file.metadata, out.fileno())

    def _write_folder(
        self, folder: Directory | Shard, folder_fd: int, name: str, path: tuple[str, ...]
    ) -> None:
        if len(path) >= self._limits.folder_depth_max:
            raise LimitExceeded(
                "depth of folders", limit=self._limits.folder_depth_max, asked=len(path) + 1
            )
        held_count = len(folder.entries if isinstance(folder, Directory) else folder.buckets)
        self._held_entry_count += held_count
        if self._held_entry_count > self._limits.held_entries_max:
            raise LimitExceeded(
                "entries of folders on the way down",
                limit=self._limits.held_entries_max,
                asked=self._held_entry_count,
            )
        os.mkdir(name, dir_fd=folder_fd)
        inner_fd = os.open(name, _FOLDER, dir_fd=folder_fd)
        try:
            for entry in self._entries(folder, path):
                self.write(entry.cid, inner_fd, entry.name, (*path, entry.name))
            _restore(folder.metadata, inner_fd)
        finally:
            os.close(inner_fd)
        self._held_entry_count -= held_count

    def _entries(self, folder: Directory | Shard, path: tuple[str, ...]) -> Iterator[Entry]:
        reader = FolderReader(folder)
        while (found := reader.next()) is not None:
            if isinstance(found, Entry):
                yield found
                continue
            try:
                reader.receive(self._blocks.get(found))
            except UnsafeEntry as error:
                raise UnsafeEntry("/".join((*path, error.path)), error.reason) from error


def _require_room(folder_fd: int, size_bytes: int) -> None:
    """Refuse what can't fit before the disk is full of it."""
    disk = os.fstatvfs(folder_fd)
    if size_bytes > disk.f_frsize * disk.f_bavail:
        raise OSError(errno.ENOSPC, f"{size_bytes} bytes do not fit on the disk")


def _restore(metadata: Metadata, entry_fd: int) -> None:
    if metadata.mode is not None:
        os.fchmod(entry_fd, metadata.mode & _PERMISSION_BITS)
    if metadata.mtime_ns is not None and metadata.mtime_ns in _MTIMES_NS:
        os.utime(entry_fd, ns=(metadata.mtime_ns, metadata.mtime_ns))


def _restore_link(metadata: Metadata, folder_fd: int, name: str) -> None:
    if metadata.mtime_ns is not None and metadata.mtime_ns in _MTIMES_NS:
        times_ns = (metadata.mtime_ns, metadata.mtime_ns)
        os.utime(name, ns=times_ns, dir_fd=folder_fd, follow_symlinks=False)


def require_free(out_path: Path) -> None:
    """Check that nothing would be overwritten. Raises `TargetExists`."""
    if not out_path.name or out_path.name == "..":
        raise TargetExists(f"{str(out_path)!r} is no name for a file or a folder")
    is_empty_folder = (
        out_path.is_dir() and not out_path.is_symlink() and not any(out_path.iterdir())
    )
    if os.path.lexists(out_path) and not is_empty_folder:
        raise TargetExists(f"{str(out_path)!r} is there already")


@contextmanager
def _temporary_sibling(out_path: Path) -> Iterator[tuple[int, str]]:
    """Open the folder of `out_path`; remove what is under the temporary name, if still there."""
    name = f".{secrets.token_hex(8)}.partial"
    folder_fd = os.open(out_path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield folder_fd, name
    finally:
        _remove(name, folder_fd)
        os.close(folder_fd)


def _remove(name: str, folder_fd: int) -> None:
    """Remove an entry of an open folder, if it is there, with all that is below it."""
    try:
        os.unlink(name, dir_fd=folder_fd)
    except FileNotFoundError:
        return
    except (IsADirectoryError, PermissionError):
        _remove_folder(name, folder_fd)


def _remove_folder(name: str, folder_fd: int) -> None:
    # It may have been made read-only by its own mode.
    os.chmod(name, 0o700, dir_fd=folder_fd)
    # By descriptors, as the path of what is deepest may be longer than any call takes.
    inner_fd = os.open(name, _FOLDER, dir_fd=folder_fd)
    try:
        for entry in os.listdir(inner_fd):  # noqa: PTH208 - a `Path` has no descriptors
            _remove(entry, inner_fd)
    finally:
        os.close(inner_fd)
    os.rmdir(name, dir_fd=folder_fd)
