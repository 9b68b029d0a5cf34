"""Multiaddrs as text and bytes: the examples of the specification, then what is refused."""

import pytest

from ipfs.errors import LimitExceeded, MalformedBytes, PeerError
from ipfs.p2p.multiaddr import Multiaddr, Part, TcpEndpoint
from ipfs.p2p.peer_id import PeerId

PEER = "12D3KooWQFqVTQxxCReV9DmjN4EF3P1v3nZNShDMk8tAEFrtVrad"
CERTHASH = "uEiAkH5a4DPGKUuOBjYw0CgwjvcJCJMD2K_1aluKR_tpevQ"


@pytest.mark.parametrize(
    ("text", "encoded", "endpoint"),
    [
        ("/ip4/127.0.0.1/tcp/4001", "047f000001060fa1", TcpEndpoint("127.0.0.1", 4001)),
        ("/ip6/::1/tcp/1", "29" + "00" * 15 + "01060001", TcpEndpoint("::1", 1)),
        ("/dns/a.example/tcp/443", "3509612e6578616d706c650601bb", TcpEndpoint("a.example", 443)),
        ("/dns4/a/tcp/443", "3601610601bb", TcpEndpoint("a", 443)),
        ("/dns6/a/tcp/443", "3701610601bb", TcpEndpoint("a", 443)),
        ("/ip4/127.0.0.1/tcp/4001/ws", "047f000001060fa1dd03", None),
        ("/ip4/127.0.0.1/udp/4001/quic-v1", "047f00000191020fa1cd03", None),
    ],
)
def test_both_forms_are_those_of_the_table(
    text: str, encoded: str, endpoint: TcpEndpoint | None
) -> None:
    address = Multiaddr.parse(text)
    assert str(address) == text
    assert address.encode().hex() == encoded
    assert Multiaddr.parse_bytes(bytes.fromhex(encoded)) == address
    assert address.tcp_endpoint == endpoint


@pytest.mark.parametrize(
    "text",
    [
        f"/ip4/1.2.3.4/udp/1/quic-v1/webtransport/certhash/{CERTHASH}/p2p/{PEER}",
        f"/ip4/1.2.3.4/tcp/1/p2p/{PEER}/p2p-circuit",
        f"/ip4/1.2.3.4/tcp/1/p2p/{PEER}/p2p-circuit/p2p/{PEER}",
        "/dnsaddr/bootstrap.example",
        "/dns4/a.example/tcp/443/tls/sni/a.example/ws",
        "/ip4/1.2.3.4/udp/1/webrtc-direct",
    ],
)
def test_what_we_do_not_dial_is_still_read(text: str) -> None:
    address = Multiaddr.parse(text)
    assert str(Multiaddr.parse_bytes(address.encode())) == text
    assert address.tcp_endpoint is None


def test_a_peer_at_the_end_comes_off_and_goes_on() -> None:
    bare = Multiaddr.parse("/ip4/127.0.0.1/tcp/4001")
    peer_id = PeerId.parse(PEER)
    full = bare.with_peer_id(peer_id)
    assert str(full) == f"/ip4/127.0.0.1/tcp/4001/p2p/{PEER}"
    assert (bare.peer_id, full.peer_id) == (None, peer_id)
    assert full.without_peer_id() == bare.without_peer_id() == bare
    assert full.with_peer_id(peer_id) == full
    assert Multiaddr.parse(f"/ipfs/{PEER}").without_peer_id() is None
    assert full.tcp_endpoint == bare.tcp_endpoint


@pytest.mark.parametrize(
    ("text", "endpoint"),
    [
        ("/ip4/127.0.0.1/tcp/4001/ws", TcpEndpoint("127.0.0.1", 4001)),
        (f"/dns4/a.example/tcp/80/ws/p2p/{PEER}", TcpEndpoint("a.example", 80)),
        ("/ip4/127.0.0.1/tcp/4001", None),
        ("/ip4/127.0.0.1/tcp/4001/ws/ws", None),
        ("/dns4/a.example/tcp/443/wss", None),
        ("/dns4/a.example/tcp/443/tls/ws", None),
        (f"/ip4/1.2.3.4/tcp/1/ws/p2p/{PEER}/p2p-circuit", None),
        (f"/p2p/{PEER}", None),
    ],
)
def test_a_websocket_is_dialled_where_it_is_plain(text: str, endpoint: TcpEndpoint | None) -> None:
    address = Multiaddr.parse(text)
    assert address.websocket_endpoint == endpoint
    assert endpoint is None or address.tcp_endpoint is None


def test_an_endpoint_of_a_websocket_has_its_address() -> None:
    address = Multiaddr.websocket(TcpEndpoint("::1", 7))
    assert str(address) == "/ip6/::1/tcp/7/ws"


def test_values_are_kept_in_their_canonical_text() -> None:
    assert str(Multiaddr.parse("/ip6/2001:DB8:0::1/tcp/1")) == "/ip6/2001:db8::1/tcp/1"
    assert Multiaddr.tcp(TcpEndpoint("::1", 7)) == Multiaddr.parse("/ip6/0::1/tcp/7")


@pytest.mark.parametrize(
    "hostile",
    [
        "",
        "/",
        "//",
        "ip4/1.2.3.4",
        "/ip4",
        "/ip4/",
        "/ip4/1.2.3",
        "/ip4/1.2.3.4/",
        "/ip4/01.2.3.4",
        "/ip6/::1%25eth0/tcp/1",
        "/tcp/",
        "/tcp/00",
        "/tcp/65536",
        "/tcp/-1",
        "/tcp/٣",
        "/ws/",
        "/unknown/1",
        "/p2p",
        "/p2p/1",
        "/dns/ä",
        "/dns/a b",
        "/certhash/zabc",
        "/certhash/u!",
        "/certhash/u=",
    ],
)
def test_what_is_no_address_is_refused_as_text(hostile: str) -> None:
    with pytest.raises(PeerError):
        Multiaddr.parse(hostile)


@pytest.mark.parametrize(
    "hostile",
    [
        "",
        "ff",
        "ffffff",
        "04",
        "047f0000",
        "8400" + "7f000001",
        "0600",
        "3500",
        "3580808080808080808001",
        "35ffffffff0f",
        "3502c3a4",
        "35032f612f",
        "a5030100",
        "a50322122000",
    ],
)
def test_what_is_no_address_is_refused_as_bytes(hostile: str) -> None:
    with pytest.raises(PeerError):
        Multiaddr.parse_bytes(bytes.fromhex(hostile))


def test_an_address_is_bounded() -> None:
    with pytest.raises(LimitExceeded):
        Multiaddr.parse("/ws" * 1000)
    with pytest.raises(LimitExceeded):
        Multiaddr.parse_bytes(bytes.fromhex("dd03") * 1000)


@pytest.mark.parametrize(
    "parts",
    [
        (),
        (Part("ip4", "01.2.3.4"),),
        (Part("ip6", "::0:1"),),
        (Part("ws", "x"),),
        (Part("ipfs", PEER),),
        (Part("nothing"),),
    ],
)
def test_an_address_that_exists_is_canonical(parts: tuple[Part, ...]) -> None:
    with pytest.raises(MalformedBytes):
        Multiaddr(parts)
