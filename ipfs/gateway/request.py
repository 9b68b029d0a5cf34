"""What an HTTP request asks of a gateway, read strictly: a path, a form, conditions."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final
from urllib.parse import parse_qsl, quote, unquote_to_bytes, urlencode

from ipfs.cid import CID
from ipfs.errors import MalformedBytes, PeerError
from ipfs.gateway.errors import BadRequest, PathTooLong
from ipfs.gateway.formats import Choice, Format, check_car, choose_format
from ipfs.p2p.peer_id import PeerId
from ipfs.unixfs.errors import UnsafeEntry
from ipfs.unixfs.node import check_name

PATH_BYTES_MAX: Final = 4096
NAMES_MAX: Final = 128
QUERY_BYTES_MAX: Final = 4096
_QUERY_FIELDS_MAX: Final = 32

_ENTITY_BYTES: Final = re.compile(r"(-?\d{1,18}):(-?\d{1,18}|\*)", re.ASCII)
_CAR_WORDS: Final = ("version", "order", "dups")


class Scope(StrEnum):
    """How much of the DAG below the path a CAR holds."""

    ALL = "all"
    ENTITY = "entity"
    BLOCK = "block"


@dataclass(frozen=True, slots=True)
class ContentPath:
    """`/ipfs/<cid>/a/b` or `/ipns/<name>/a/b`: where it begins, and the names from there.

    is_folder:  whether it ends in a slash
    """

    root: CID | PeerId
    names: tuple[str, ...] = ()
    is_folder: bool = False

    @classmethod
    def parse(cls, raw_path: bytes) -> "ContentPath":
        """Read the path of a URL, still percent-encoded.

        Raises `PathTooLong`; `BadRequest` for what begins nowhere, and for names that no folder
        may hold: empty ones, `.`, `..`, such with a slash or a control character.
        """
        if len(raw_path) > PATH_BYTES_MAX:
            raise PathTooLong(f"a path has at most {PATH_BYTES_MAX} bytes")
        match raw_path.split(b"/"):
            case [b"", b"ipfs" | b"ipns" as namespace, root, *names]:
                pass
            case _:
                raise BadRequest("a path begins with /ipfs/ or /ipns/")
        is_folder = bool(names) and not names[-1]
        if is_folder:
            names.pop()
        if len(names) > NAMES_MAX:
            raise PathTooLong(f"a path has at most {NAMES_MAX} names")
        return cls(_root(namespace, _decoded(root)), tuple(map(_name, names)), is_folder)

    @property
    def text(self) -> str:
        """Return the path, percent-encoded: ASCII without blanks or control characters."""
        match self.root:
            case CID() as cid:
                start = f"/ipfs/{cid}"
            case PeerId() as name:
                start = f"/ipns/{name.to_cid_text()}"
        names = (quote(name, safe="") for name in self.names)
        return "/".join((start, *names)) + ("/" if self.is_folder else "")


@dataclass(frozen=True, slots=True)
class EntityRange:
    """Bytes of a file, both ends included; negative ones count from its end, None is the end."""

    first: int = 0
    last: int | None = None

    @classmethod
    def parse(cls, text: str) -> "EntityRange":
        """Read `from:to`. Raises `BadRequest`."""
        match = _ENTITY_BYTES.fullmatch(text)
        if match is None:
            raise BadRequest("entity-bytes is from:to")
        return cls(int(match[1]), None if match[2] == "*" else int(match[2]))

    def within(self, size_bytes: int) -> range:
        """Return which bytes of a file of this size are meant; empty if none are."""
        first = self.first if self.first >= 0 else max(0, size_bytes + self.first)
        last = size_bytes - 1 if self.last is None else self.last
        last = last if last >= 0 or self.last is None else size_bytes + last
        return range(first, min(last + 1, size_bytes))


@dataclass(frozen=True, slots=True)
class CarOptions:
    """Which blocks a CAR holds, and how often."""

    scope: Scope = Scope.ALL
    entity_range: EntityRange | None = None
    has_duplicates: bool = False

    @property
    def media_type(self) -> str:
        """Return the whole content type, as a client must check it."""
        duplicates = "y" if self.has_duplicates else "n"
        return f"application/vnd.ipld.car; version=1; order=dfs; dups={duplicates}"


@dataclass(frozen=True, slots=True)
class GatewayRequest:
    """One request, valid in itself.

    content_location:  the URL that says the form as well, where the header alone said it
    byte_range:        the `Range` header, if there is one
    """

    path: ContentPath
    is_head: bool = False
    format: Format | None = None
    car: CarOptions = CarOptions()
    query: str = ""
    content_location: str | None = None
    filename: str | None = None
    is_download: bool = False
    only_if_cached: bool = False
    if_none_match: str | None = None
    if_range: str | None = None
    byte_range: str | None = None

    @classmethod
    def parse(
        cls, method: str, raw_path: bytes, query: bytes, headers: Mapping[str, str]
    ) -> "GatewayRequest":
        """Read a request; names of headers are in lower case.

        Raises `BadRequest`, `PathTooLong`, `FormatNotAcceptable`.
        """
        path = ContentPath.parse(raw_path)
        fields = _fields(query)
        choice = choose_format(fields.get("format"), headers.get("accept", ""))
        if headers.get("service-worker", "").lower() == "script" and not path.names:
            raise BadRequest("a service worker may not rule more than one content root")
        if choice.format is Format.IPNS_RECORD and (path.names or isinstance(path.root, CID)):
            raise BadRequest("a record belongs to a name alone")
        return cls(
            path=path,
            is_head=method == "HEAD",
            format=choice.format,
            car=_car_options(fields, choice),
            query=urlencode(fields),
            content_location=_content_location(path, fields, choice),
            filename=fields.get("filename") or None,
            is_download=fields.get("download") == "true",
            only_if_cached="only-if-cached" in headers.get("cache-control", "").lower(),
            if_none_match=headers.get("if-none-match"),
            if_range=headers.get("if-range"),
            byte_range=headers.get("range"),
        )


def _root(namespace: bytes, text: str) -> CID | PeerId:
    try:
        return CID.parse(text) if namespace == b"ipfs" else PeerId.parse(text)
    except MalformedBytes as error:
        raise BadRequest(f"no {'CID' if namespace == b'ipfs' else 'IPNS name'}: {error}") from None
    except PeerError as error:
        raise BadRequest(str(error)) from None


def _name(raw: bytes) -> str:
    name = _decoded(raw)
    try:
        check_name(name)
    except UnsafeEntry as error:
        raise BadRequest(f"a path that no folder can have: {error.reason}") from None
    return name


def _decoded(raw: bytes) -> str:
    try:
        return unquote_to_bytes(raw).decode()
    except UnicodeDecodeError:
        raise BadRequest("a path is UTF-8") from None


def _fields(query: bytes) -> dict[str, str]:
    """Return the query's fields; of several with a name, the first."""
    if len(query) > QUERY_BYTES_MAX:
        raise BadRequest(f"a query has at most {QUERY_BYTES_MAX} bytes")
    try:
        pairs = parse_qsl(
            query.decode("ascii"),
            keep_blank_values=True,
            max_num_fields=_QUERY_FIELDS_MAX,
            errors="strict",
        )
    except ValueError:
        raise BadRequest("a query that can't be read") from None
    return dict(reversed(pairs))


def _car_options(fields: Mapping[str, str], choice: Choice) -> CarOptions:
    said = dict(choice.parameters) if choice.format is Format.CAR else {}
    said |= {word: fields[f"car-{word}"] for word in _CAR_WORDS if f"car-{word}" in fields}
    if choice.format is not Format.CAR:
        return CarOptions()
    check_car(said)
    entity_range = EntityRange.parse(fields["entity-bytes"]) if "entity-bytes" in fields else None
    try:
        scope = Scope(fields.get("dag-scope", Scope.ENTITY if entity_range else Scope.ALL))
    except ValueError:
        raise BadRequest("dag-scope is all, entity or block") from None
    if entity_range is not None and scope is not Scope.BLOCK:
        scope = Scope.ENTITY
    return CarOptions(scope, entity_range, said.get("dups") == "y")


def _content_location(path: ContentPath, fields: Mapping[str, str], choice: Choice) -> str | None:
    """Return the URL under which caches may keep an answer whose form a header alone chose."""
    if choice.format is None:
        return None
    words = {"format": choice.format.value}
    if choice.format is Format.CAR:
        words |= {
            f"car-{word}": choice.parameters[word]
            for word in _CAR_WORDS
            if word in choice.parameters
        }
    if words.items() <= fields.items():
        return None
    return f"{path.text}?{urlencode({**words, **fields})}"
