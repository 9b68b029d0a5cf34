"""Laws of DAG-PB."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ipfs.cid import CID
from ipfs.dag_pb import LINKS_MAX, PBLink, PBNode, read_links
from ipfs.errors import LimitExceeded, MalformedBytes, PeerError
from tests.support.ipld import cids

links = st.builds(
    PBLink,
    cids,
    st.none() | st.text(st.characters(exclude_categories=["Cs"]), max_size=12),
    st.none() | st.integers(0, (1 << 64) - 1),
)
unsorted = st.lists(links, max_size=6)
contents = st.none() | st.binary(max_size=40)


def by_name(link: PBLink) -> bytes:
    return (link.name or "").encode()


@st.composite
def nodes(draw: st.DrawFn) -> PBNode:
    return PBNode(tuple(sorted(draw(unsorted), key=by_name)), draw(contents))


@given(nodes())
def test_every_node_comes_back(node: PBNode) -> None:
    assert PBNode.decode(node.encode()) == node


@given(unsorted)
def test_links_are_sorted_or_there_is_no_node(given_links: list[PBLink]) -> None:
    if given_links == sorted(given_links, key=by_name):
        assert PBNode(tuple(given_links)).links == tuple(given_links)
    else:
        with pytest.raises(MalformedBytes, match="sorted"):
            PBNode(tuple(given_links))


@given(st.binary(max_size=80))
@example(b"\x0a\x00\x0a\x00")
@example(b"\x0a\x81\x00x")
def test_bytes_that_read_are_canonical(data: bytes) -> None:
    try:
        node = PBNode.decode(data)
    except PeerError:
        return
    assert node.encode() == data


@given(nodes(), st.data())
def test_a_changed_encoding_is_another_node_or_none(node: PBNode, data: st.DataObject) -> None:
    encoded = bytearray(node.encode() or b"\x0a\x00")
    position = data.draw(st.integers(0, len(encoded) - 1))
    encoded[position] ^= data.draw(st.integers(1, 255))
    try:
        other = PBNode.decode(bytes(encoded))
    except PeerError:
        return
    assert other.encode() == encoded


@given(nodes(), unsorted, st.binary(max_size=4))
def test_links_read_one_by_one_are_those_of_the_node(
    node: PBNode, more: list[PBLink], rest: bytes
) -> None:
    encoded = b"".join(PBNode((link,)).encode() for link in more) + node.encode() + rest
    try:
        expected = PBNode.decode(encoded).links
    except PeerError:
        with pytest.raises(PeerError):
            list(read_links(encoded))
    else:
        assert tuple(read_links(encoded)) == expected


@given(cids, st.binary(min_size=1, max_size=10))
def test_data_before_links_is_refused(cid: CID, data: bytes) -> None:
    links_alone, data_alone = PBNode((PBLink(cid),)).encode(), PBNode(data=data).encode()
    assert PBNode.decode(links_alone + data_alone) == PBNode((PBLink(cid),), data)
    with pytest.raises(MalformedBytes, match="canonical"):
        PBNode.decode(data_alone + links_alone)


def test_links_of_a_few_bytes_each_are_bounded_by_their_number() -> None:
    link = PBLink(CID.decode(bytes.fromhex("01550000"))).encode()
    encoded = bytes((0x12, len(link))) + link
    assert len(PBNode.decode(encoded * LINKS_MAX).links) == LINKS_MAX
    with pytest.raises(LimitExceeded, match="links of a node"):
        PBNode.decode(encoded * (LINKS_MAX + 1))
