"""The client's names: keys on the disk, each with what it was last pointed at.

`self` is also who the client is among its peers when it provides. Deals are made under another
key (`client/session.py`): a provider that was promised blocks asks for it, and it must not be
answered by a process that only serves.
"""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from chain.disk import read_secret, write_secret
from client.errors import KeyExists, KeyNameUnusable, KeyNotFound, WalletUnreadable
from ipfs.file_lock import LockHeld, take
from ipfs.ipns import IpnsRecord
from ipfs.p2p.peer_id import SEED_BYTES, Identity

SELF: Final = "self"
_NAME: Final = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]{0,63}", re.ASCII)
_SUFFIX: Final = ".key"


class Keys:
    """The keys in a folder; `self` is made when it is first asked for."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def make(self, name: str) -> Identity:
        """Make a new key. Raises `KeyExists`, `KeyNameUnusable`."""
        identity = Identity.generate()
        try:
            write_secret(self._path(name), identity.seed)
        except FileExistsError:
            raise KeyExists(name) from None
        return identity

    def find(self, name: str) -> Identity:
        """Return a key. Raises `KeyNotFound`, `KeyFileOpen`, `WalletUnreadable`."""
        path = self._path(name)
        seed = read_secret(path)
        if seed is not None:
            if len(seed) != SEED_BYTES:
                raise WalletUnreadable(path)
            return Identity.from_seed(seed)
        if name != SELF:
            raise KeyNotFound(name)
        try:
            return self.make(SELF)
        except KeyExists:
            # Another process was as quick as we.
            return self.find(SELF)

    def names(self) -> list[str]:
        """Return the names of all keys, in order."""
        self.find(SELF)
        return sorted(path.name.removesuffix(_SUFFIX) for path in self._folder.glob("*" + _SUFFIX))

    @contextmanager
    def being_self(self) -> Iterator[Identity]:
        """Lend who we are to one process at a time; a second one is somebody new meanwhile.

        Of two processes with one peer id, each would get answers that the other asked for.
        """
        identity = self.find(SELF)
        try:
            lock = take(self._folder / "lock")
        except LockHeld:
            yield Identity.generate()
            return
        try:
            yield identity
        finally:
            os.close(lock)

    def last_record(self, name: str) -> IpnsRecord | None:
        """Return what the name was last pointed at from here. Raises `PeerError` if it rotted."""
        path = self._path(name).with_suffix(".ipns")
        return IpnsRecord.decode(path.read_bytes()) if path.exists() else None

    def remember(self, name: str, record: IpnsRecord) -> None:
        """Keep what a name was pointed at, for the time when the network has forgotten it."""
        path = self._path(name).with_suffix(".ipns")
        draft = path.with_name(f"{path.name}.{os.getpid()}.new")
        draft.write_bytes(record.encode())
        draft.replace(path)

    def _path(self, name: str) -> Path:
        if not _NAME.fullmatch(name):
            raise KeyNameUnusable(name)
        return self._folder / (name + _SUFFIX)
