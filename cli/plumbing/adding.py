"""`holdfast ipfs add`: files into the client's own blocks."""

import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.render import HomeOption, JsonFlag, Output, finish, progress
from cli.settings import client_settings
from cli.words import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ipfs.cid import CID
    from ipfs.unixfs.importer import BlockSink, Imported
    from ipfs.unixfs.profiles import ImportSettings

STDIN = Path("-")

PathsArgument = Annotated[
    list[Path] | None,
    typer.Argument(metavar="PATH", help="Files or folders; - or nothing: standard input."),
]
OnlyHashOption = Annotated[
    bool, typer.Option("-n", "--only-hash", help="Tell the CID, store nothing.")
]
QuietOption = Annotated[bool, typer.Option("-q", "--quiet", help="Print CIDs only.")]
QuieterOption = Annotated[bool, typer.Option("-Q", "--quieter", help="Print the last CID only.")]
ProfileOption = Annotated[
    str | None,
    typer.Option(help="unixfs-v1-2025 or unixfs-v0-2015. Default: import_profile."),
]
VersionOption = Annotated[int | None, typer.Option("--cid-version", min=0, max=1)]
RawLeavesOption = Annotated[bool | None, typer.Option("--raw-leaves/--no-raw-leaves")]
ChunkerOption = Annotated[
    str | None, typer.Option(help="size-N, or gear-N: content-defined, our own.")
]
LinksOption = Annotated[
    int | None, typer.Option("--max-file-links", min=2, help="Links in a node of a file.")
]
TrickleOption = Annotated[bool, typer.Option("-t", "--trickle", help="Trickle layout.")]
ModeOption = Annotated[bool, typer.Option("--preserve-mode", help="Store permission bits.")]
MtimeOption = Annotated[bool, typer.Option("--preserve-mtime", help="Store times of change.")]
PinOption = Annotated[bool, typer.Option("--pin/--no-pin", help="Keep it from gc.")]
RecursiveOption = Annotated[
    bool, typer.Option("-r", "--recursive", help="Kubo's word; folders are added whole anyway.")
]


def add(  # noqa: PLR0917 - one for each word of the command
    paths: PathsArgument = None,
    only_hash: OnlyHashOption = False,
    quiet: QuietOption = False,
    quieter: QuieterOption = False,
    profile: ProfileOption = None,
    cid_version: VersionOption = None,
    raw_leaves: RawLeavesOption = None,
    chunker: ChunkerOption = None,
    max_file_links: LinksOption = None,
    trickle: TrickleOption = False,
    preserve_mode: ModeOption = False,
    preserve_mtime: MtimeOption = False,
    pin: PinOption = True,
    recursive: RecursiveOption = True,  # noqa: ARG001 - only accepted
    home: HomeOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Import files and folders, hidden entries included, and print their CIDs."""

    async def work(out: Output) -> None:
        from client.plumbing.adding import import_settings
        from client.plumbing.session import open_repository
        from ipfs.pins.pin import Pin
        from ipfs.unixfs.importer import Forgotten

        folder, config = client_settings(home, None)
        settings = import_settings(
            profile or config.import_profile,
            cid_version=cid_version,
            raw_leaves=raw_leaves,
            chunker=chunker,
            links_per_node_max=max_file_links,
            is_trickle=trickle,
            keeps_mode=preserve_mode,
            keeps_mtime=preserve_mtime,
        )
        told = _Told(out, is_quiet=quiet, is_quieter=quieter)
        if only_hash:
            await _add_all(paths or [STDIN], Forgotten(), settings, told.added, as_json)
        else:
            with open_repository(folder) as repository, repository.hold() as blocks:

                def keep(path: Path, added: "Imported") -> None:
                    if pin:
                        repository.pin(Pin(root=added.cid))
                    told.added(path, added)

                await _add_all(paths or [STDIN], blocks, settings, keep, as_json)
        told.last()

    finish(as_json, work)


class _Told:
    """Tells what was added, as much as was asked for."""

    def __init__(self, out: Output, *, is_quiet: bool, is_quieter: bool) -> None:
        self._out = out
        self._is_quiet = is_quiet
        self._is_quieter = is_quieter
        self._last: CID | None = None

    def added(self, path: Path, added: "Imported") -> None:
        self._last = added.cid
        if self._is_quieter and not self._out.as_json:
            return
        named = path.resolve() if path.name in {"", ".."} else path
        name = str(added.cid) if path == STDIN else named.name
        text = str(added.cid) if self._is_quiet else f"added {added.cid} {name}"
        self._out.item("added", text, cid=added.cid, name=name, bytes=added.file_bytes)

    def last(self) -> None:
        self._out.result(str(self._last) if self._is_quieter else "", cid=self._last)


async def _add_all(
    paths: list[Path],
    blocks: "BlockSink",
    settings: "ImportSettings",
    keep: "Callable[[Path, Imported], None]",
    as_json: bool,
) -> None:
    import asyncio

    for path in paths:
        with _bar(path, as_json) as on_progress:
            added = await asyncio.to_thread(_import, path, blocks, settings, on_progress)
        keep(path, added)


def _import(
    path: Path,
    blocks: "BlockSink",
    settings: "ImportSettings",
    on_progress: "Callable[[int], None]",
) -> "Imported":
    from ipfs.unixfs.disk import import_path, import_stream

    if path == STDIN:
        return import_stream(sys.stdin.buffer, blocks, settings, on_progress=on_progress)
    return import_path(path, blocks, settings, on_progress=on_progress)


@contextmanager
def _bar(path: Path, as_json: bool) -> "Iterator[Callable[[int], None]]":
    with progress(as_json) as bars:
        task = bars.add_task(f"adding {printable(path.name)}", total=None) if bars else None

        def on_progress(read_bytes: int) -> None:
            if bars is not None and task is not None:
                bars.update(task, completed=read_bytes)

        yield on_progress
