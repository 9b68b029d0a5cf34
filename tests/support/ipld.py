"""Hypothesis strategies for CIDs and values of the IPLD data model."""

from typing import Any

from hypothesis import strategies as st

from ipfs.cid import CID, Codec, HashCode

cids = st.one_of(
    st.builds(CID.of, st.sampled_from(list(Codec)), st.binary(max_size=40)),
    st.builds(lambda data: CID.of(Codec.DAG_PB, data, version=0), st.binary(max_size=40)),
    st.builds(
        lambda data: CID.from_digest(Codec.RAW, HashCode.IDENTITY, data), st.binary(max_size=128)
    ),
)

_text = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
_scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(1 << 64), (1 << 64) - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    _text,
    st.binary(max_size=40),
    cids,
)


def _nested(children: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.lists(children, max_size=5) | st.dictionaries(_text, children, max_size=5)


values: st.SearchStrategy[Any] = st.recursive(_scalars, _nested, max_leaves=20)
