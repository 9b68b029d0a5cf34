"""From a path that people write to what it leads to."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from cli.plumbing.words import parse_ipfs_path, parse_peers, split_name
from cli.settings import client_settings
from cli.words import Unreadable

if TYPE_CHECKING:
    from client.plumbing.session import Source
    from ipfs.cid import CID


async def find(path: str, source: "Source") -> "CID":
    """Return what a path leads to: through a name first, then through folders.

    Raises `Unreadable`, and what `Source.resolve`, `ipfs.unixfs.tree.resolve` and `Source.get` do.
    """
    from ipfs import plan
    from ipfs.unixfs.tree import resolve

    name, inside = split_name(path)
    start = path if name is None else await source.resolve(name) + inside
    root, names = parse_ipfs_path(start)
    return await plan.fetch(resolve(root, names), source.get)


@asynccontextmanager
async def opened(
    path: str, home: Path | None, ledger: str | None, peers: list[str] | None, offline: bool
) -> "AsyncIterator[tuple[Source, CID]]":
    """Open the client's blocks and what is around them; find what the path leads to."""
    from client.plumbing.session import Source, open_fetching, open_reader

    if offline and peers:
        raise Unreadable("--offline asks nobody: leave --peer out")
    named = parse_peers(peers)
    folder, config = client_settings(home, ledger)
    with open_reader(folder) as blocks:
        join = None if offline else lambda: open_fetching(folder, config, blocks, named)
        async with Source(blocks, join) as source:
            yield source, await find(path, source)
