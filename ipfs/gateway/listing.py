"""The page that shows a folder."""

from collections.abc import Sequence
from html import escape
from typing import Final
from urllib.parse import quote, unquote

from ipfs.gateway.request import ContentPath
from ipfs.unixfs.node import Entry

LISTED_MAX: Final = 1 << 16
"""Entries of a folder that is shown."""

LISTING_VERSION: Final = 2
"""Part of the page's etag: raise it when the page changes."""


def listing(path: ContentPath, entries: Sequence[Entry]) -> str:
    """Return an HTML page of links to a folder's entries; it loads nothing and runs nothing."""
    title = escape(unquote(path.text))
    up = ['<li><a href="..">..</a></li>'] if path.names else []
    links = [
        f'<li><a href="./{quote(entry.name, safe="")}"><bdi>{escape(entry.name)}</bdi></a>'
        f" <small>{entry.cid}</small></li>"
        for entry in sorted(entries, key=lambda entry: entry.name)
    ]
    return "\n".join(
        (
            "<!doctype html>",
            '<html lang="en"><head><meta charset="utf-8">',
            f"<title>{title}</title></head>",
            f"<body><h1><bdi>{title}</bdi></h1><ul>",
            *up,
            *links,
            '</ul><p><a href="?format=car">all of it as a CAR</a></p></body></html>',
            "",
        )
    )
