"""What the commands of `holdfast ipfs` have in common."""

from typing import TYPE_CHECKING, Annotated

import typer

from cli.words import parse_cid, parse_name, parse_peer

if TYPE_CHECKING:
    from ipfs.cid import CID
    from ipfs.host import PeerAddress
    from ipfs.p2p.peer_id import PeerId

PathArgument = Annotated[
    str, typer.Argument(metavar="CID[/PATH]", help="A CID, or a path from one, or from /ipns/NAME.")
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


def parse_peers(texts: list[str] | None) -> "list[PeerAddress]":
    """Return the peers that were named. Raises `Unreadable`."""
    return [parse_peer(text) for text in texts or ()]


def parse_ipfs_path(text: str) -> "tuple[CID, tuple[str, ...]]":
    """Return the CID and the names in `CID/a/b`, also behind `/ipfs/` or `ipfs://`.

    Raises `Unreadable`.
    """
    bare = text.removeprefix("ipfs://").removeprefix("/ipfs/")
    cid, *names = bare.split("/")
    return parse_cid(cid), tuple(name for name in names if name)


def full_path(text: str) -> str:
    """Return a path as others are told it: `/ipfs/CID/a`, `/ipns/NAME/a`. Raises `Unreadable`."""
    name, inside = split_name(text)
    if name is not None:
        return f"/ipns/{name.to_cid_text()}{inside.rstrip('/')}"
    cid, names = parse_ipfs_path(text)
    return "/".join(("/ipfs", str(cid), *names))


def split_name(text: str) -> "tuple[PeerId | None, str]":
    """Return the name in `/ipns/NAME/a/b` or `ipns://…`, and the rest; None for another path.

    Raises `Unreadable`.
    """
    bare = text.removeprefix("ipns://").removeprefix("/ipns/")
    if bare == text:
        return None, ""
    name, slash, inside = bare.partition("/")
    return parse_name(name), slash + inside
