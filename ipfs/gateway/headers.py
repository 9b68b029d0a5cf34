"""Headers of answers: what caches may keep, what browsers may do, which bytes are sent."""

import mimetypes
import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import quote

from ipfs.cid import CID
from ipfs.gateway.errors import RangeUnsatisfiable
from ipfs.gateway.request import GatewayRequest

IMMUTABLE: Final = "public, max-age=29030400, immutable"
"""The specification's words for what is under `/ipfs/`."""

LISTING_CACHE: Final = "public, max-age=604800"
"""A page that we made of a folder may look different some day."""

CONTENT_POLICY: Final = (
    "sandbox allow-scripts allow-forms allow-modals allow-downloads"
    " allow-popups allow-popups-to-escape-sandbox"
)
"""All content shares the gateway's host, so each page gets an origin of its own, which nobody else
has: no cookies, no storage, no workers to plant for what others look at. A page that it opens
elsewhere is as it would be without us; here that one has this policy as well."""

_WITHOUT_ORIGIN: Final = frozenset({"application/pdf"})
"""What browsers show by programs of their own, which Chrome does not start in a sandbox."""

LISTING_POLICY: Final = (
    "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

CORS: Final[Mapping[str, str]] = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Methods": "GET, HEAD, OPTIONS",
    "Access-Control-Allow-Headers": (
        "Cache-Control, Content-Type, If-None-Match, Range, X-Requested-With"
    ),
    "Access-Control-Expose-Headers": (
        "Content-Length, Content-Range, Etag, X-Ipfs-Path, X-Ipfs-Roots"
    ),
}
"""Any page may read what is public anyway."""

_RANGE: Final = re.compile(r"bytes=\s*(\d{0,18})-(\d{0,18})\s*", re.ASCII | re.IGNORECASE)
_TYPES: Final = mimetypes.MimeTypes()
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")
_NOT_TOKEN: Final = re.compile(r'[^\x20-\x7e]|["\\%]')
_BINARY_BYTES: Final = frozenset(range(32)) - frozenset(b"\t\n\f\r\x1b")
_SNIFFED_BYTES: Final = 512


def etag_matches(etag: str, condition: str | None) -> bool:
    """Whether an `If-None-Match` names this etag; weak and strong ones count alike (RFC 9110)."""
    if condition is None:
        return False
    if condition.strip() == "*":
        return True
    named = (one.strip().removeprefix("W/") for one in condition.split(","))
    return etag.removeprefix("W/") in named


def byte_range(request: GatewayRequest, etag: str, size_bytes: int) -> range | None:
    """Return which bytes to send; None for all of them.

    Several ranges, units other than bytes and malformed headers are answered with the whole, as
    RFC 9110 allows, and so is a range of another version (`If-Range`).
    Raises `RangeUnsatisfiable`.
    """
    if request.byte_range is None or request.is_head:
        return None
    if request.if_range is not None and request.if_range.strip() != etag:
        return None
    match = _RANGE.fullmatch(request.byte_range)
    if match is None or not (match[1] or match[2]):
        return None
    if not match[1]:
        chosen = range(max(0, size_bytes - int(match[2])), size_bytes)
    else:
        last = int(match[2]) if match[2] else size_bytes - 1
        if match[2] and last < int(match[1]):
            return None
        chosen = range(int(match[1]), min(last + 1, size_bytes))
    if not chosen:
        raise RangeUnsatisfiable(size_bytes)
    return chosen


def content_type(name: str, first_bytes: bytes) -> str:
    """Return the media type of a file by its name; text or bytes where that tells nothing."""
    guessed, encoding = _TYPES.guess_type("file:" + quote(name))
    if encoding is not None:
        return "application/octet-stream"
    if guessed is None:
        guessed = "text/plain" if _is_text(first_bytes) else "application/octet-stream"
    return f"{guessed}; charset=utf-8" if guessed.startswith("text/") else guessed


def content_policy(media_type: str) -> dict[str, str]:
    """Return the header that keeps a file's page to itself, if it would be one of ours."""
    return {} if media_type in _WITHOUT_ORIGIN else {"Content-Security-Policy": CONTENT_POLICY}


def disposition(kind: str, filename: str) -> str:
    """Return a `Content-Disposition`, with the name in ASCII and, if that is not it, in UTF-8."""
    name = _CONTROL.sub("_", filename)
    plain = _NOT_TOKEN.sub("_", name)
    value = f'{kind}; filename="{plain}"'
    return value if plain == name else f"{value}; filename*=UTF-8''{quote(name, safe='')}"


def cid_etag(cid: CID, suffix: str = "") -> str:
    """Return the etag of what is made of one CID alone."""
    return f'"{cid}{suffix}"'


def _is_text(first_bytes: bytes) -> bool:
    start = first_bytes[:_SNIFFED_BYTES]
    if not start or _BINARY_BYTES.intersection(start):
        return False
    try:
        start.decode()
    except UnicodeDecodeError as error:
        # The last character may have been cut in two.
        return len(first_bytes) > len(start) - 4 and error.start >= len(start) - 3
    return True
