"""Laws of DAG-JSON."""

import sys
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipfs import dag_json
from ipfs.errors import MalformedBytes, PeerError
from tests.support.ipld import values


def has_reserved_key(value: Any) -> bool:
    if isinstance(value, dict):
        return "/" in value or any(map(has_reserved_key, value.values()))
    return isinstance(value, list) and any(map(has_reserved_key, value))


@given(values.filter(lambda value: not has_reserved_key(value)))
def test_every_value_comes_back(value: Any) -> None:
    data = dag_json.encode(value)
    decoded = dag_json.decode(data)
    assert decoded == value
    assert dag_json.encode(decoded) == data


@given(st.binary(max_size=60) | st.text('{}[]":/,ab1e-. ', max_size=30).map(str.encode))
def test_bytes_that_read_are_canonical(data: bytes) -> None:
    with suppress(PeerError):
        assert dag_json.encode(dag_json.decode(data)) == data


@pytest.mark.parametrize(
    "text",
    [
        "",
        " 1",
        "1 2",
        '{"b":1,"a":2}',
        '{"a":1,"a":1}',
        "[1, 2]",
        "1e3",
        "01",
        "1.50",
        "NaN",
        "-Infinity",
        "1e999",
        str(1 << 64),
        "9" * 5000,
        '"\\u0041"',
        '"\\ud800"',
        '"\\/"',
        '{"/":"x"}',
        '{"/":1}',
        '{"/":"bafkqaaa","a":1}',
        '{"/":{"bytes":"oQ=="}}',
        '{"/":{"bytes":"oR"}}',
        '{"/":{"bytes":"o!"}}',
        '{"/":{"bytes":"oQ","a":1}}',
        '{"/":{}}',
        '{"/":"zdpuAtX7ZibcWdSKQwiDCkPjWwRvtcKCPku9H7LhgA4qJW4Wk"}',
        "[" * 130 + "]" * 130,
        "[" * 100_000,
        "[" + "0," * (1 << 18) + "0]",
    ],
    ids=lambda text: text[:20],
)
def test_what_is_not_canonical_is_refused(text: str) -> None:
    with pytest.raises(MalformedBytes):
        dag_json.decode(text.encode())


@pytest.mark.parametrize("piece", [b"[", b'{"a":', b'["]",', b'["\\"]",', b'{"}":'])
def test_nesting_ends_in_an_error_whatever_the_recursion_limit(piece: bytes) -> None:
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(100_000)
    try:
        with pytest.raises(MalformedBytes):
            dag_json.decode(piece * 100_000)
    finally:
        sys.setrecursionlimit(before)
