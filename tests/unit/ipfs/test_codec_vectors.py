"""DAG-CBOR and DAG-PB against the IPLD project's fixtures."""

import base64
import json
from collections.abc import Callable
from typing import Any

import pytest

from ipfs import dag_cbor, dag_json
from ipfs.cid import CID, Codec
from ipfs.dag_pb import PBLink, PBNode
from ipfs.errors import MalformedBytes
from tests.support.vectors import foreign

ENCODE_REFUSALS = ("dag-pb/encode/basic-datamodel-kinds.json", "dag-pb/encode/invalid-forms.json")


def encode_dag_cbor(data: bytes) -> bytes:
    return dag_cbor.encode(dag_cbor.decode(data))


def encode_dag_json(data: bytes) -> bytes:
    return dag_json.encode(dag_json.decode(data))


def encode_dag_pb(data: bytes) -> bytes:
    return PBNode.decode(data).encode()


CODECS: dict[str, tuple[Codec, Callable[[bytes], bytes]]] = {
    "dag-cbor": (Codec.DAG_CBOR, encode_dag_cbor),
    "dag-json": (Codec.DAG_JSON, encode_dag_json),
    "dag-pb": (Codec.DAG_PB, encode_dag_pb),
}


@pytest.mark.parametrize("name", CODECS)
def test_fixtures_read_and_write_the_same_bytes(name: str) -> None:
    codec, recode = CODECS[name]
    forms = [
        case["forms"][name]
        for case in foreign("ipld_codec.json")["positive"]
        if name in case["forms"]
    ]
    assert len(forms) == {"dag-cbor": 128, "dag-json": 128, "dag-pb": 17}[name]
    for form in forms:
        data = bytes.fromhex(form["hex"])
        assert recode(data) == data
        assert str(CID.of(codec, data)) == form["cid"]


def test_all_codecs_hold_the_same_value() -> None:
    for case in foreign("ipld_codec.json")["positive"]:
        forms = {name: bytes.fromhex(form["hex"]) for name, form in case["forms"].items()}
        value = dag_cbor.decode(forms["dag-cbor"])
        assert dag_json.decode(forms["dag-json"]) == value
        if "dag-pb" in forms:
            assert as_model(PBNode.decode(forms["dag-pb"])) == value


def as_model(node: PBNode) -> dict[str, Any]:
    """Return the node in the data model's form of DAG-PB."""
    links = []
    for link in node.links:
        form: dict[str, Any] = {"Hash": link.cid}
        if link.name is not None:
            form["Name"] = link.name
        if link.tsize is not None:
            form["Tsize"] = link.tsize
        links.append(form)
    return {"Links": links} if node.data is None else {"Data": node.data, "Links": links}


def test_what_the_fixtures_refuse_to_read_is_refused() -> None:
    files = foreign("ipld_codec.json")["negative"]
    refused = 0
    for name in files.keys() - set(ENCODE_REFUSALS):
        _, recode = CODECS[name.split("/")[0]]
        for case in files[name]:
            with pytest.raises(MalformedBytes):
                recode(bytes.fromhex(case["hex"]))
            refused += 1
    assert refused == 11


def test_what_the_fixtures_refuse_to_write_cannot_be_written() -> None:
    """Their forms are untyped; most of ours cannot be made at all, and sorting is checked."""
    files = foreign("ipld_codec.json")["negative"]
    cases = [case for name in ENCODE_REFUSALS for case in files[name]]
    assert len(cases) == 78
    for case in cases:
        with pytest.raises((MalformedBytes, TypeError, KeyError, AttributeError)):
            from_model(from_dag_json(case["dag-json"])).encode()


def from_dag_json(value: Any) -> Any:
    match value:
        case {"/": str(text), **rest} if not rest:
            return CID.parse(text)
        case {"/": {"bytes": str(text)}, **rest} if not rest:
            return base64.b64decode(text + "=" * (-len(text) % 4))
        case dict():
            return {key: from_dag_json(item) for key, item in value.items()}
        case list():
            return [from_dag_json(item) for item in value]
        case _:
            return value


def from_model(form: Any) -> PBNode:
    """Return the node of a data-model form, as strictly as our types are declared."""
    if not isinstance(form, dict) or form.keys() - {"Data", "Links"}:
        raise TypeError(json.dumps(repr(form)))
    links = []
    for link in typed(form["Links"], list):
        if not isinstance(link, dict) or link.keys() - {"Hash", "Name", "Tsize"}:
            raise TypeError(repr(link))
        name = typed(link["Name"], str) if "Name" in link else None
        tsize = typed(link["Tsize"], int) if "Tsize" in link else None
        if tsize is not None and tsize < 0:
            raise TypeError("Tsize")
        links.append(PBLink(typed(link["Hash"], CID), name, tsize))
    return PBNode(tuple(links), typed(form["Data"], bytes) if "Data" in form else None)


def typed(value: Any, kind: type) -> Any:
    if type(value) is not kind:
        raise TypeError(f"{value!r} is no {kind.__name__}")
    return value
