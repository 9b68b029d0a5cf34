"""The answers that content has: blocks, files and folders, with the headers that belong to them."""

from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import dataclass, replace
from http import HTTPStatus

from ipfs.cid import CID, Codec
from ipfs.gateway import headers
from ipfs.gateway.errors import ContentNotFound, FormatNotAcceptable
from ipfs.gateway.formats import MEDIA_TYPES, Format
from ipfs.gateway.listing import LISTED_MAX, LISTING_VERSION, listing
from ipfs.gateway.pathing import follow
from ipfs.gateway.request import GatewayRequest
from ipfs.gateway.supply import Blocks
from ipfs.ipns import IpnsRecord
from ipfs.plan import fetch
from ipfs.unixfs.node import Directory, File, Shard, Symlink, read_node
from ipfs.unixfs.tree import entries_of

_INDEX = "index.html"

FileBody = Callable[["Found", CID, range], AsyncGenerator[bytes, None]]
"""Yields a range of a file that a path led to, however long it takes."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What is sent: status, headers, and a body that may come bit by bit.

    rest:  what comes after `body`; None if that is all
    """

    status: HTTPStatus
    headers: Mapping[str, str]
    body: bytes = b""
    rest: AsyncGenerator[bytes, None] | None = None

    async def begun(self) -> "Answer":
        """Return the answer with the first bytes of the rest in its body: so far, all went well."""
        if self.rest is None:
            return self
        return replace(self, body=await anext(self.rest, b""))


@dataclass(frozen=True, slots=True)
class Found:
    """Where a path leads.

    names:  from the first of the CIDs on, those of the request after those of an IPNS record
    cids:   one for the root and one for each link of the path
    """

    request: GatewayRequest
    names: tuple[str, ...]
    cids: tuple[CID, ...]
    cache_control: str

    @property
    def terminus(self) -> CID:
        """Return the CID at the end of the path."""
        return self.cids[-1]

    @property
    def headers(self) -> dict[str, str]:
        """Return the headers that every answer to the path has."""
        request = self.request
        named = {
            "Cache-Control": self.cache_control,
            "X-Ipfs-Path": request.path.text,
            "X-Ipfs-Roots": ",".join(map(str, self.cids)),
        }
        if request.content_location is not None:
            named["Content-Location"] = request.content_location
        if request.is_download or request.filename is not None:
            kind = "attachment" if request.is_download else "inline"
            named["Content-Disposition"] = headers.disposition(kind, self.filename)
        return named

    @property
    def filename(self) -> str:
        """Return what the content is called: as the request says, else by the path."""
        return self.request.filename or (self.names[-1] if self.names else str(self.terminus))


def is_unchanged(found: Found, named: Mapping[str, str]) -> bool:
    """Whether the client says that it has this answer already."""
    return headers.etag_matches(named["Etag"], found.request.if_none_match)


def unchanged(named: Mapping[str, str]) -> Answer:
    """Return the answer to who has it already."""
    return Answer(HTTPStatus.NOT_MODIFIED, named)


def record_answer(record: IpnsRecord, *, seconds: int) -> Answer:
    """Return an IPNS record, to be verified by who asked."""
    body = record.encode()
    named = {
        "Content-Type": MEDIA_TYPES[Format.IPNS_RECORD],
        "Content-Disposition": headers.disposition("attachment", "name.ipns-record"),
        "Cache-Control": f"public, max-age={seconds}",
        "Etag": headers.cid_etag(CID.of(Codec.RAW, body), ".ipns-record"),
    }
    return Answer(HTTPStatus.OK, named, body)


def car_headers(found: Found) -> dict[str, str]:
    """Return the headers of a CAR; its etag has all that its blocks depend on."""
    options = found.request.car
    words = [options.scope, "y" if options.has_duplicates else "n", found.cids[0], found.terminus]
    if (span := options.entity_range) is not None:
        words.insert(1, f"{span.first}:{'*' if span.last is None else span.last}")
    name = found.request.filename or f"{found.terminus}.car"
    return {
        **found.headers,
        "Content-Type": options.media_type,
        "Content-Disposition": headers.disposition("attachment", name),
        "Accept-Ranges": "none",
        "Etag": f'"{".".join(map(str, words))}.car"',
    }


async def block_answer(found: Found, blocks: Blocks, format: Format) -> Answer:
    """Return a block as it is, of the type that its codec has, or raw."""
    cid = found.terminus
    named = {
        **found.headers,
        "Content-Type": MEDIA_TYPES[format],
        "Etag": headers.cid_etag(cid, f".{format}"),
    }
    if format is Format.RAW:
        name = found.request.filename or f"{cid}.bin"
        named["Content-Disposition"] = headers.disposition("attachment", name)
    if is_unchanged(found, named):
        return unchanged(named)
    data = (await blocks.get(cid)).data
    status, ranged, chosen = _ranged(found.request, named, len(data))
    return Answer(status, ranged, data[chosen.start : chosen.stop])


async def json_file_answer(found: Found, blocks: Blocks, file_body: FileBody) -> Answer:
    """Return a file that its name says is JSON. Raises `FormatNotAcceptable`."""
    answer = await unixfs_answer(found, blocks, file_body)
    if answer.headers.get("Content-Type", "application/json") != "application/json":
        raise FormatNotAcceptable("this is no JSON; ask for format=raw")
    return answer


async def unixfs_answer(found: Found, blocks: Blocks, file_body: FileBody) -> Answer:
    """Return a file, or a folder: its `index.html`, else a page that lists it.

    Raises `RangeUnsatisfiable`, and as reading the blocks does.
    """
    node = read_node(await blocks.get(found.terminus))
    match node:
        case File():
            return _file(found, found.terminus, node, found.filename, file_body)
        case Symlink():
            named = {
                **found.headers,
                "Content-Type": "inode/symlink",
                "Etag": headers.cid_etag(found.terminus),
            }
            return Answer(HTTPStatus.OK, named, node.target.encode())
        case Directory() | Shard():
            return await _folder(found, node, blocks, file_body)


async def _folder(
    found: Found, node: Directory | Shard, blocks: Blocks, file_body: FileBody
) -> Answer:
    path = found.request.path
    if not path.is_folder:
        query = f"?{found.request.query}" if found.request.query else ""
        named = {**found.headers, "Location": f"{path.text}/{query}"}
        return Answer(HTTPStatus.MOVED_PERMANENTLY, named)
    if (index := await _index(found.terminus, blocks)) is not None:
        cid, file = index
        return _file(found, cid, file, found.request.filename or _INDEX, file_body)
    named = {
        **found.headers,
        "Content-Type": "text/html; charset=utf-8",
        "Content-Security-Policy": headers.LISTING_POLICY,
        "Etag": f'"DirIndex-{LISTING_VERSION}_CID-{found.terminus}"',
    }
    if found.cache_control == headers.IMMUTABLE:
        named["Cache-Control"] = headers.LISTING_CACHE
    if is_unchanged(found, named):
        return unchanged(named)
    entries = await fetch(entries_of(node, entries_max=LISTED_MAX), blocks.get)
    return Answer(HTTPStatus.OK, named, listing(path, entries).encode())


async def _index(folder: CID, blocks: Blocks) -> tuple[CID, File] | None:
    try:
        cid = (await fetch(follow(folder, (_INDEX,)), blocks.get))[-1]
    except ContentNotFound:
        return None
    node = read_node(await blocks.get(cid))
    return (cid, node) if isinstance(node, File) else None


def _file(found: Found, cid: CID, file: File, name: str, file_body: FileBody) -> Answer:
    media_type = headers.content_type(name, file.data)
    named = {
        **found.headers,
        **headers.content_policy(media_type),
        "Content-Type": media_type,
        "Etag": headers.cid_etag(cid),
    }
    if is_unchanged(found, named):
        return unchanged(named)

    status, ranged, chosen = _ranged(found.request, named, file.size_bytes)
    if not file.parts:
        return Answer(status, ranged, file.data[chosen.start : chosen.stop])
    return Answer(status, ranged, rest=file_body(found, cid, chosen))


def _ranged(
    request: GatewayRequest, named: Mapping[str, str], size_bytes: int
) -> tuple[HTTPStatus, dict[str, str], range]:
    """Return status and headers of all bytes, or of a range if one is asked for, and which."""
    chosen = headers.byte_range(request, named["Etag"], size_bytes)
    sent = range(size_bytes) if chosen is None else chosen
    sized = {**named, "Accept-Ranges": "bytes", "Content-Length": str(len(sent))}
    if chosen is None:
        return HTTPStatus.OK, sized, sent
    sized["Content-Range"] = f"bytes {chosen.start}-{chosen.stop - 1}/{size_bytes}"
    return HTTPStatus.PARTIAL_CONTENT, sized, sent
