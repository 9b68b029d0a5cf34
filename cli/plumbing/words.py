"""What the commands of `holdfast ipfs` have in common."""

from typing import TYPE_CHECKING, Annotated

import typer

from cli.words import parse_cid

if TYPE_CHECKING:
    from ipfs.cid import CID

PathArgument = Annotated[
    str, typer.Argument(metavar="CID[/PATH]", help="A CID, or a path that begins with one.")
]
CidArgument = Annotated[str, typer.Argument(metavar="CID", help="What it is about.")]
PeerOption = Annotated[
    list[str] | None,
    typer.Option(
        "--peer",
        help="Multiaddr with /p2p/ of a peer to ask and to join through; may be said again.",
        show_default=False,
    ),
]
OfflineOption = Annotated[
    bool, typer.Option("--offline", help="Ask nobody for blocks that are not here.")
]


def parse_ipfs_path(text: str) -> "tuple[CID, tuple[str, ...]]":
    """Return the CID and the names in `CID/a/b`, also behind `/ipfs/` or `ipfs://`.

    Raises `Unreadable`.
    """
    bare = text.removeprefix("ipfs://").removeprefix("/ipfs/")
    cid, *names = bare.split("/")
    return parse_cid(cid), tuple(name for name in names if name)
