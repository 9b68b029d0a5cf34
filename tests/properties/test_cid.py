"""Laws of CIDs and of the bases they are written in."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipfs import multibase
from ipfs.cid import CID
from ipfs.errors import PeerError
from tests.support.ipld import cids


@given(cids)
def test_bytes_and_text_come_back(cid: CID) -> None:
    assert CID.decode(cid.encode()) == cid
    assert CID.parse(str(cid)) == cid
    assert CID.decode_prefix(b"before" + cid.encode() + b"after", 6) == (
        cid,
        6 + len(cid.encode()),
    )


@given(cids, st.data())
def test_a_cid_cut_short_or_padded_is_refused(cid: CID, data: st.DataObject) -> None:
    encoded = cid.encode()
    cut = data.draw(st.integers(0, len(encoded) - 1))
    for other in (encoded[:cut], encoded + b"\0"):
        with pytest.raises(PeerError):
            CID.decode(other)


@given(st.binary(max_size=60) | cids.map(CID.encode))
def test_bytes_that_read_are_canonical(data: bytes) -> None:
    try:
        cid = CID.decode(data)
    except PeerError:
        return
    assert cid.encode() == data


@given(st.text(max_size=80) | st.text("bkzQm123afF", max_size=80))
def test_any_text_is_a_cid_or_a_peer_error(text: str) -> None:
    try:
        cid = CID.parse(text)
    except PeerError:
        return
    assert CID.parse(str(cid)) == cid


@given(st.sampled_from("bBfFvVkKzmu"), st.binary(max_size=80))
def test_every_base_comes_back(prefix: str, data: bytes) -> None:
    text = multibase.encode(prefix, data)
    assert multibase.decode(text) == data
    if prefix not in "zmu":
        assert multibase.decode(prefix + text[1:].swapcase()) == data
