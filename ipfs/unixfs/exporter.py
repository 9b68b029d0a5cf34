"""Writes a UnixFS DAG to disk, and never outside the place it was told."""

import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, assert_never

from ipfs.block import Block
from ipfs.blockstore import Blockstore
from ipfs.cid import CID
from ipfs.dag import inline_block
from ipfs.errors import LimitExceeded, MalformedBytes
from ipfs.unixfs.errors import UnsafeEntry
from ipfs.unixfs.node import Directory, File, Symlink, check_target, read_node

FILE_DEPTH_MAX: Final = 64
"""Levels of nodes in one file; 1024 links a node pass 2^63 bytes after seven."""

_NEW_FILE: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportLimits:
    """What a DAG may grow to on the disk: a few blocks can name petabytes."""

    content_bytes_max: int = 1 << 50
    entries_max: int = 1 << 20
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
    folder at `out_path` is replaced; anything else there raises `TargetExists`.

    on_progress:  called with the bytes written so far
    Raises `BlockNotFound` where the DAG is not whole; `MalformedBytes`, `LimitExceeded`,
    `ShardingUnsupported`, `UnsafeEntry` (which lists the entry) for a DAG that is not to be
    written; `OSError`.
    """
    require_free(out_path)
    writer = _Writer(store, limits, on_progress)
    with _temporary_sibling(out_path) as (folder_fd, name):
        writer.write(root, folder_fd, name, ())
        os.rename(name, out_path.name, src_dir_fd=folder_fd, dst_dir_fd=folder_fd)


def read_file(store: Blockstore, root: CID) -> Iterator[bytes]:
    """Yield the bytes of a file, a block at a time, every size checked.

    Raises `BlockNotFound`, `MalformedBytes`, `LimitExceeded`.
    """
    node = read_node(_load(store, root))
    if not isinstance(node, File):
        raise MalformedBytes("UnixFS", "not a file")
    return _file_bytes(store, node)


class _Writer:
    """Counts what it writes; each entry is new, so nothing is ever written through a link."""

    def __init__(
        self, store: Blockstore, limits: ExportLimits, on_progress: Callable[[int], None]
    ) -> None:
        self._store = store
        self._limits = limits
        self._on_progress = on_progress
        self._entries = 0
        self._written_bytes = 0
        self._promised_bytes = 0

    def write(self, cid: CID, folder_fd: int, name: str, path: tuple[str, ...]) -> None:
        """Write one node as the entry `name` of an open folder.

        path:  where the node is in the DAG, for messages and for judging links
        """
        self._entries += 1
        if self._entries > self._limits.entries_max:
            raise LimitExceeded(
                "entries of a folder", limit=self._limits.entries_max, asked=self._entries
            )
        node = self._node(cid, path)
        try:
            match node:
                case File():
                    self._write_file(node, folder_fd, name)
                case Directory():
                    self._write_folder(node, folder_fd, name, path)
                case Symlink():
                    check_target(node.target, path=path)
                    os.symlink(node.target, name, dir_fd=folder_fd)
                case _:
                    assert_never(node)
        except FileExistsError as error:
            raise UnsafeEntry("/".join(path), "the same name as another entry, here") from error

    def _node(self, cid: CID, path: tuple[str, ...]) -> File | Directory | Symlink:
        try:
            return read_node(_load(self._store, cid))
        except UnsafeEntry as error:
            raise UnsafeEntry("/".join((*path, error.path)), error.reason) from error

    def _write_file(self, file: File, folder_fd: int, name: str) -> None:
        self._promised_bytes += file.size_bytes
        if self._promised_bytes > self._limits.content_bytes_max:
            raise LimitExceeded(
                "bytes of content",
                limit=self._limits.content_bytes_max,
                asked=self._promised_bytes,
            )
        with os.fdopen(os.open(name, _NEW_FILE, 0o666, dir_fd=folder_fd), "wb") as out:
            for data in _file_bytes(self._store, file):
                out.write(data)
                self._written_bytes += len(data)
                self._on_progress(self._written_bytes)

    def _write_folder(
        self, directory: Directory, folder_fd: int, name: str, path: tuple[str, ...]
    ) -> None:
        if len(path) >= self._limits.folder_depth_max:
            raise LimitExceeded(
                "depth of folders", limit=self._limits.folder_depth_max, asked=len(path) + 1
            )
        os.mkdir(name, dir_fd=folder_fd)
        inner_fd = os.open(name, _FOLDER, dir_fd=folder_fd)
        try:
            for entry in directory.entries:
                self.write(entry.cid, inner_fd, entry.name, (*path, entry.name))
        finally:
            os.close(inner_fd)


def _file_bytes(store: Blockstore, root: File) -> Iterator[bytes]:
    ahead = [iter(root.parts)]
    if root.data:
        yield root.data
    while ahead:
        part = next(ahead[-1], None)
        if part is None:
            ahead.pop()
            continue
        node = read_node(_load(store, part.cid))
        if not isinstance(node, File):
            raise MalformedBytes("UnixFS", "a part of a file that is no file")
        if node.size_bytes != part.size_bytes:
            raise MalformedBytes("UnixFS", f"{node.size_bytes} bytes, {part.size_bytes} claimed")
        if node.data:
            yield node.data
        if node.parts:
            if len(ahead) >= FILE_DEPTH_MAX:
                raise LimitExceeded("depth of a file", limit=FILE_DEPTH_MAX, asked=len(ahead) + 1)
            ahead.append(iter(node.parts))


def _load(store: Blockstore, cid: CID) -> Block:
    return inline_block(cid) or store.get(cid)


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
        sibling = out_path.parent / name
        if sibling.is_dir() and not sibling.is_symlink():
            shutil.rmtree(sibling)
        else:
            sibling.unlink(missing_ok=True)
        os.close(folder_fd)
