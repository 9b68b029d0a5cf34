from hypothesis import given
from hypothesis import strategies as st

from ipfs.errors import PeerError
from ipfs.host import PeerAddress
from ipfs.kad.messages import (
    KEY_BYTES_MAX,
    PEERS_MAX,
    AddProvider,
    FindNode,
    GetProviders,
    GetValue,
    MessageType,
    Ping,
    PutValue,
    Request,
    Response,
    decode_request,
    decode_response,
    encode_request,
)
from ipfs.p2p.multiaddr import Multiaddr
from tests.support.kad import peer

keys = st.binary(min_size=1, max_size=KEY_BYTES_MAX)
addresses = st.builds(
    lambda ip, port: Multiaddr.parse(f"/ip4/{ip}/tcp/{port}"),
    st.ip_addresses(v=4),
    st.integers(0, 65535),
)
peers = st.builds(
    PeerAddress,
    st.integers(0, 1000).map(peer),
    st.lists(addresses, max_size=4, unique=True).map(tuple),
)
lists_of_peers = st.lists(peers, max_size=PEERS_MAX).map(tuple)
requests = st.one_of(
    st.just(Ping()),
    st.builds(FindNode, keys),
    st.builds(GetProviders, keys),
    st.builds(AddProvider, keys, lists_of_peers),
    st.builds(GetValue, keys),
    st.builds(PutValue, keys, st.binary(max_size=1000)),
)


@given(requests)
def test_a_request_comes_out_as_it_went_in(request: Request) -> None:
    assert decode_request(encode_request(request)) == request


@given(lists_of_peers, lists_of_peers)
def test_a_response_comes_out_as_it_went_in(
    closer: tuple[PeerAddress, ...], providers: tuple[PeerAddress, ...]
) -> None:
    response = Response(MessageType.GET_PROVIDERS, closer, providers)
    assert decode_response(response.encode(), GetProviders(b"k")) == response


@given(st.binary(max_size=300))
def test_any_bytes_are_a_message_or_a_peers_fault(data: bytes) -> None:
    for decode in (decode_request, lambda it: decode_response(it, Ping())):
        try:
            decode(data)
        except PeerError:
            continue


@given(requests, st.data())
def test_damage_to_a_message_is_another_message_or_a_peers_fault(
    request: Request, data: st.DataObject
) -> None:
    wire = bytearray(encode_request(request))
    for _ in range(data.draw(st.integers(1, 4))):
        wire[data.draw(st.integers(0, len(wire) - 1))] = data.draw(st.integers(0, 255))
    try:
        decoded = decode_request(bytes(wire))
    except PeerError:
        return
    assert decode_request(encode_request(decoded)) == decoded
