"""Vector rows that a later issue covers, or that our rules refuse on purpose: by name, with why.

A test that reads a vector file takes its rows through `split`, so nothing is skipped silently.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

Row = Mapping[str, Any]

_DIGEST_BITS: Final = {"sha1": 160, "sha2-256": 256, "sha2-512": 512, "sha3": 512}

LATER: Final[Mapping[str, Mapping[str, Callable[[Row], bool]]]] = {
    "unixfs.json": {
        "rabin chunker": lambda row: "rabin" in row["config"],
        "the reference's file holds its leaf's protobuf as content": lambda row: (
            (row["config"], row.get("name")) == ("v0-2015", "mode-mtime")
        ),
    },
    "multiformats.json multibase": {
        "no CID is written in base256emoji": lambda row: row["encoding"] == "base256emoji",
    },
    "multiformats.json multihash": {
        "truncated digests are refused": lambda row: (
            int(row["bits"]) != _DIGEST_BITS[row["algorithm"]]
        ),
    },
}


def split(name: str, rows: Iterable[Row]) -> tuple[list[Row], dict[str, list[Row]]]:
    """Return the rows of a vector file that hold now, and the others by reason."""
    now: list[Row] = []
    later: dict[str, list[Row]] = {reason: [] for reason in LATER[name]}
    for row in rows:
        reasons = [reason for reason, covers in LATER[name].items() if covers(row)]
        if reasons:
            later[reasons[0]].append(row)
        else:
            now.append(row)
    return now, later
