"""The plan that follows a content path, through folders and through links in DAG-CBOR and -JSON."""

import re
from collections.abc import Sequence
from typing import Final

from ipfs import dag_cbor, dag_json
from ipfs.block import Block
from ipfs.cid import CID, Codec
from ipfs.gateway.errors import ContentNotFound, PathIntoValue
from ipfs.plan import Plan
from ipfs.unixfs.tree import NoSuchEntry, resolve

_INDEX: Final = re.compile(r"0|[1-9]\d{0,8}", re.ASCII)


def follow(root: CID, names: Sequence[str]) -> Plan[tuple[CID, ...]]:
    """Plan to follow a path; the result is the CIDs on it, the root's first, then one a link.

    Raises `ContentNotFound` with the part of the path that is not there, `PathIntoValue` for a
    path that ends inside a block, and as `ipfs.unixfs.tree.resolve` does.
    """
    cids = [root]
    done = 0
    while done < len(names):
        cid, rest = cids[-1], names[done:]
        if cid.codec in (Codec.DAG_CBOR, Codec.DAG_JSON):
            found, used = _link_in((yield cid), rest)
        else:
            try:
                found, used = (yield from resolve(cid, rest[:1])), 1
            except NoSuchEntry:
                raise _missing(names[: done + 1]) from None
        cids.append(found)
        done += used
    return tuple(cids)


def _link_in(block: Block, names: Sequence[str]) -> tuple[CID, int]:
    """Return the first link on the way into a block, and how many names led to it."""
    is_json = block.cid.codec == Codec.DAG_JSON
    value: dag_cbor.Value = (dag_json if is_json else dag_cbor).decode(block.data)
    for count, name in enumerate(names, start=1):
        value = _child(value, name, names[:count])
        if isinstance(value, CID):
            return value, count
    raise PathIntoValue(f"{'/'.join(names)!r} is a value inside of {block.cid}, which has no CID")


def _child(value: dag_cbor.Value, name: str, path: Sequence[str]) -> dag_cbor.Value:
    found: dag_cbor.Value
    match value:
        case dict() if name in value:
            found = value[name]
        case list() if _INDEX.fullmatch(name) and int(name) < len(value):
            found = value[int(name)]
        case _:
            raise _missing(path)
    return found


def _missing(names: Sequence[str]) -> ContentNotFound:
    return ContentNotFound(f"no {'/'.join(names)!r} there")
