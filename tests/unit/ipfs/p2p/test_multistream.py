"""multistream-select line by line: the bytes that are on every wire, and what is refused."""

import pytest

from ipfs.errors import PeerError
from ipfs.p2p.multistream import PROPOSALS_MAX, Dialer, Listener, encode_line

HEADER = b"\x13/multistream/1.0.0\n"
NA = b"\x03na\n"


def test_the_bytes_are_those_of_the_specification() -> None:
    dialer, listener = Dialer(["/noise"]), Listener({"/noise"})
    assert dialer.start() == HEADER + b"\x07/noise\n"
    assert listener.receive(dialer.start()) == HEADER + b"\x07/noise\n"
    assert dialer.receive(HEADER + b"\x07/noise\n") == b""
    assert dialer.agreed == listener.agreed == "/noise"


def test_a_refused_proposal_is_followed_by_the_next() -> None:
    dialer = Dialer(["/a", "/b"])
    assert dialer.receive(HEADER + NA) == b"\x03/b\n"
    assert not dialer.is_refused
    assert dialer.receive(NA) == b""
    assert dialer.is_refused


@pytest.mark.parametrize(
    "hostile",
    [
        b"\x00",
        b"\xff\xff\xff",
        b"\x81\x08" + b"a" * 1025,
        b"\x80\x00",
        b"\x05/a/b/",
        b"\x03\xff\xff\n",
        encode_line("/http/1.1"),
        encode_line("na"),
    ],
)
def test_what_is_no_greeting_is_refused(hostile: bytes) -> None:
    for receive in (Dialer(["/a"]).receive, Listener({"/a"}).receive):
        with pytest.raises(PeerError):
            receive(hostile)


def test_an_answer_to_what_was_not_proposed_is_refused() -> None:
    with pytest.raises(PeerError):
        Dialer(["/a", "/b"]).receive(HEADER + encode_line("/b"))


def test_a_peer_that_never_agrees_is_refused() -> None:
    listener = Listener({"/a"})
    listener.receive(HEADER + encode_line("/z") * PROPOSALS_MAX)
    with pytest.raises(PeerError):
        listener.receive(encode_line("/z"))
