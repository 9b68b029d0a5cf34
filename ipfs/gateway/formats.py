"""In which form content is asked for: by `format`, else by `Accept` (path-gateway, IPIP-0412)."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from ipfs.cid import Codec
from ipfs.gateway.errors import BadRequest, FormatNotAcceptable

_ACCEPT_ITEMS_MAX: Final = 64

JSON_CODEC: Final = 0x0200
CBOR_CODEC: Final = 0x51
"""Plain JSON and CBOR: no links are known in them (multicodec table)."""


class Format(StrEnum):
    """A form that must be asked for; the value is what `format` says."""

    RAW = "raw"
    CAR = "car"
    TAR = "tar"
    DAG_JSON = "dag-json"
    DAG_CBOR = "dag-cbor"
    JSON = "json"
    CBOR = "cbor"
    IPNS_RECORD = "ipns-record"


MEDIA_TYPES: Final[Mapping[Format, str]] = {
    Format.RAW: "application/vnd.ipld.raw",
    Format.CAR: "application/vnd.ipld.car",
    Format.TAR: "application/x-tar",
    Format.DAG_JSON: "application/vnd.ipld.dag-json",
    Format.DAG_CBOR: "application/vnd.ipld.dag-cbor",
    Format.JSON: "application/json",
    Format.CBOR: "application/cbor",
    Format.IPNS_RECORD: "application/vnd.ipfs.ipns-record",
}
CODEC_FORMATS: Final[Mapping[int, Format]] = {
    Codec.DAG_JSON: Format.DAG_JSON,
    Codec.DAG_CBOR: Format.DAG_CBOR,
    JSON_CODEC: Format.JSON,
    CBOR_CODEC: Format.CBOR,
}
"""The form of a block whose codec is a form: nothing is converted."""

_FORMATS: Final = {media_type: form for form, media_type in MEDIA_TYPES.items()}


@dataclass(frozen=True, slots=True)
class Choice:
    """The form that is asked for, None for the content as it is, and what is said of it."""

    format: Format | None
    parameters: Mapping[str, str]


def choose_format(query_format: str | None, accept: str) -> Choice:
    """Return what is asked for; the query goes before the header.

    Raises `BadRequest` for a format that is none, `FormatNotAcceptable` if only CARs are accepted
    of a kind that is not made here.
    """
    said = list(_accepted(accept))
    if query_format is None:
        return _best(said)
    try:
        asked = Format(query_format)
    except ValueError:
        raise BadRequest("there is no such format") from None
    matching = [choice for choice in said if choice.format is asked]
    return _best(matching) if matching else Choice(asked, {})


def _best(choices: list[Choice]) -> Choice:
    refused: FormatNotAcceptable | None = None
    for choice in choices:
        if choice.format is not Format.CAR:
            return choice
        try:
            check_car(choice.parameters)
        except FormatNotAcceptable as error:
            refused = refused or error
        else:
            return choice
    if refused is not None:
        raise refused
    return Choice(None, {})


def check_car(parameters: Mapping[str, str]) -> None:
    """Refuse a kind of CAR that is not made here. Raises `FormatNotAcceptable`."""
    if parameters.get("version", "1") != "1":
        raise FormatNotAcceptable("CARs are made of version 1 only")
    if parameters.get("order", "dfs") not in {"dfs", "unk"}:
        raise FormatNotAcceptable("the blocks of CARs are in order dfs")
    if parameters.get("dups", "n") not in {"y", "n"}:
        raise FormatNotAcceptable("dups is y or n")


def _accepted(accept: str) -> Iterator[Choice]:
    """Yield the forms that are known here, best first; a page or anything is the content itself."""
    weighted = []
    for item in accept.split(",")[:_ACCEPT_ITEMS_MAX]:
        media_type, *pairs = (word.strip() for word in item.split(";"))
        parameters = {
            name.strip().lower(): value.strip().strip('"')
            for name, _, value in (pair.partition("=") for pair in pairs)
        }
        weighted.append((_weight(parameters.pop("q", "1")), media_type.lower(), parameters))
    for weight, media_type, parameters in sorted(weighted, key=lambda one: -one[0]):
        if not weight:
            continue
        if form := _FORMATS.get(media_type):
            yield Choice(form, parameters)
        elif media_type in {"*/*", "text/html", "text/*", "application/*"}:
            yield Choice(None, {})


def _weight(text: str) -> float:
    try:
        weight = float(text)
    except ValueError:
        return 0.0
    return weight if 0 <= weight <= 1 else 0.0
