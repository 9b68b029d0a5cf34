"""Multiaddrs, peer ids and identify: what is written is read back, and nothing else is."""

import contextlib

from hypothesis import given
from hypothesis import strategies as st

from ipfs.errors import PeerError
from ipfs.p2p.identify import PeerInfo
from ipfs.p2p.multiaddr import Multiaddr
from ipfs.p2p.peer_id import Identity, PeerId, PublicKey

ports = st.integers(0, 65535)
hosts = st.one_of(
    st.ip_addresses(v=4).map(lambda ip: f"/ip4/{ip}"),
    st.ip_addresses(v=6).map(lambda ip: f"/ip6/{ip}"),
    st.from_regex(r"[a-z0-9-]{1,20}(\.[a-z]{2,5})?", fullmatch=True).map("/dns4/{}".format),
)
peer_ids = st.one_of(
    st.binary(min_size=32, max_size=32).map(lambda seed: Identity.from_seed(seed).peer_id),
    st.binary(min_size=32, max_size=32).map(lambda digest: PeerId(b"\x12\x20" + digest)),
)
transports = st.sampled_from(["/tcp/{}", "/tcp/{}/ws", "/udp/{}/quic-v1", "/udp/{}/webrtc-direct"])
addresses = st.builds(
    lambda host, transport, port: Multiaddr.parse(host + transport.format(port)),
    hosts,
    transports,
    ports,
)
texts = st.text(max_size=60)
infos = st.builds(
    PeerInfo,
    public_key=st.one_of(st.none(), st.just(Identity.from_seed(bytes(32)).public_key)),
    addresses=st.lists(addresses, unique=True, max_size=5).map(tuple),
    protocol_ids=st.lists(texts, unique=True, max_size=5).map(tuple),
    observed_address=st.one_of(st.none(), addresses),
    protocol_version=texts,
    agent_version=texts,
)


@given(addresses, st.one_of(st.none(), peer_ids))
def test_an_address_reads_back_from_both_its_forms(
    address: Multiaddr, peer_id: PeerId | None
) -> None:
    full = address.with_peer_id(peer_id) if peer_id else address
    assert Multiaddr.parse(str(full)) == Multiaddr.parse_bytes(full.encode()) == full
    assert (full.without_peer_id(), full.peer_id) == (address, peer_id)


@given(peer_ids)
def test_a_peer_id_reads_back_from_both_its_texts(peer_id: PeerId) -> None:
    assert PeerId.parse(str(peer_id)) == PeerId.parse(peer_id.to_cid_text()) == peer_id


@given(infos)
def test_what_a_peer_says_of_itself_reads_back(info: PeerInfo) -> None:
    assert PeerInfo.decode(info.encode()) == info


@given(st.binary(max_size=80))
def test_bytes_that_read_as_an_address_or_a_key_are_their_one_encoding(data: bytes) -> None:
    with contextlib.suppress(PeerError):
        assert Multiaddr.parse_bytes(data).encode() == data
    with contextlib.suppress(PeerError):
        assert PublicKey.decode(data).encode() == data


@given(st.data())
def test_a_changed_address_or_key_is_refused_or_reads_as_itself(data: st.DataObject) -> None:
    """Nearly right bytes reach further into a parser than random ones."""
    message = bytearray(data.draw(addresses).encode())
    message[data.draw(st.integers(0, len(message) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(PeerError):
        assert Multiaddr.parse_bytes(bytes(message)).encode() == message


@given(st.text(max_size=60))
def test_hostile_text_raises_peer_errors_only(text: str) -> None:
    for parse in (Multiaddr.parse, PeerId.parse):
        with contextlib.suppress(PeerError):
            parse(text)


@given(infos, st.data())
def test_hostile_identify_messages_raise_peer_errors_only(
    info: PeerInfo, data: st.DataObject
) -> None:
    message = bytearray(info.encode())
    message[data.draw(st.integers(0, len(message) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(PeerError):
        PeerInfo.decode(bytes(message))
