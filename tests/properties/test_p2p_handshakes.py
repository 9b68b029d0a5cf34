"""Multistream, Noise and the whole upgrade, back to back over a wire that cuts as it likes."""

import contextlib
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ipfs.errors import PeerError
from ipfs.p2p.multistream import Dialer, Listener, encode_line
from ipfs.p2p.noise import NoiseChannel, NoiseHandshake
from ipfs.p2p.peer_id import Identity
from ipfs.p2p.upgrade import Upgrade

ALICE, BOB = (Identity.from_seed(bytes([number]) * 32) for number in (1, 2))

Receive = Callable[[bytes], bytes]
protocol_names = st.text("abc/", min_size=1, max_size=8).map(lambda text: f"/{text}")
cuts = st.lists(st.integers(1, 200), min_size=1, max_size=20)


def cut(data: bytes, sizes: list[int]) -> Iterator[bytes]:
    """Yield `data` in pieces of these sizes, over and over."""
    position = index = 0
    while position < len(data):
        size = sizes[index % len(sizes)]
        yield data[position : position + size]
        position, index = position + size, index + 1


def converse(
    opening: bytes,
    listener: Receive,
    dialer: Receive,
    sizes: list[int],
    is_over: Callable[[], bool],
) -> None:
    """Carry bytes between two machines until neither has anything to say."""
    to_listener, to_dialer = opening, b""
    while to_listener or to_dialer:
        to_dialer += b"".join(map(listener, cut(to_listener, sizes)))
        to_listener = b"".join(map(dialer, cut(to_dialer, sizes)))
        to_dialer = b""
        if is_over():
            return


@given(st.lists(protocol_names, min_size=1, max_size=6), st.sets(protocol_names), cuts)
def test_two_peers_agree_on_the_first_common_protocol(
    wanted: list[str], spoken: set[str], sizes: list[int]
) -> None:
    dialer, listener = Dialer(wanted), Listener(spoken)
    converse(dialer.start(), listener.receive, dialer.receive, sizes, lambda: False)
    expected = next((protocol_id for protocol_id in wanted if protocol_id in spoken), None)
    assert dialer.agreed == listener.agreed == expected
    assert dialer.is_refused == (expected is None)


@given(st.binary(max_size=300))
def test_what_is_said_behind_the_proposal_is_kept(rest: bytes) -> None:
    dialer, listener = Dialer(["/a"]), Listener({"/a"})
    out = listener.receive(dialer.start() + rest)
    dialer.receive(out + rest)
    assert dialer.rest == listener.rest == rest


@given(st.binary(max_size=200), st.booleans())
def test_a_hostile_negotiation_raises_peer_errors_only(data: bytes, has_header: bool) -> None:
    if has_header:
        data = encode_line("/multistream/1.0.0") + data
    for receive in (Dialer(["/a", "/b"]).receive, Listener({"/a"}).receive):
        with contextlib.suppress(PeerError):
            receive(data)


def channels(sizes: list[int]) -> tuple[NoiseChannel, NoiseChannel]:
    alice = NoiseHandshake(ALICE, is_initiator=True, expected_peer=BOB.peer_id)
    bob = NoiseHandshake(BOB, is_initiator=False)
    converse(alice.start(), bob.receive, alice.receive, sizes, lambda: bob.is_finished)
    assert (alice.peer_id, bob.peer_id) == (BOB.peer_id, ALICE.peer_id)
    return alice.channel, bob.channel


def opened(channel: NoiseChannel, *pieces: bytes | bytearray) -> bytes:
    """Open pieces of a wire one by one, each in a buffer that is overwritten afterwards."""
    plaintexts = []
    for piece in pieces:
        buffer = bytearray(piece)
        plaintexts += channel.decrypt(memoryview(buffer))
        buffer[:] = bytes(len(buffer))
    return b"".join(plaintexts)


@given(cuts, st.lists(st.binary(max_size=500), max_size=5), st.integers(0, 150_000))
@settings(deadline=None)
def test_a_noise_channel_carries_what_it_was_given(
    sizes: list[int], messages: list[bytes], long_bytes: int
) -> None:
    alice, bob = channels(sizes)
    messages.append(bytes(long_bytes))
    wire = b"".join(map(alice.encrypt, messages))
    # A cut of some bytes through megabytes would only take time.
    sizes = [size * 100 for size in sizes] if long_bytes > 10_000 else sizes
    assert opened(bob, *cut(wire, sizes)) == b"".join(messages)
    back = bob.encrypt(b"back")
    assert alice.decrypt(back) == [b"back"]


@given(st.data())
@settings(deadline=None)
def test_a_changed_byte_never_opens(data: st.DataObject) -> None:
    alice, bob = channels([1000])
    wire = bytearray(alice.encrypt(b"pay bob") + alice.encrypt(b"pay carol"))
    wire[data.draw(st.integers(2, len(wire) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        plaintext = opened(bob, wire, bytes(1 << 16))
    except PeerError:
        return
    pytest.fail(f"opened as {plaintext!r}")


@given(cuts)
@settings(deadline=None)
def test_two_peers_upgrade_however_the_bytes_are_cut(sizes: list[int]) -> None:
    alice = Upgrade(ALICE, is_initiator=True, expected_peer=BOB.peer_id)
    bob = Upgrade(BOB, is_initiator=False)
    converse(
        alice.start(),
        bob.receive,
        alice.receive,
        sizes,
        lambda: alice.result is not None and bob.result is not None,
    )
    assert alice.result is not None
    assert bob.result is not None
    assert (alice.result.peer_id, bob.result.peer_id) == (BOB.peer_id, ALICE.peer_id)
    assert opened(bob.result.channel, alice.result.channel.encrypt(b"hello")) == b"hello"


@given(st.binary(max_size=400), st.integers(0, 3), st.booleans())
@settings(deadline=None)
def test_a_hostile_upgrade_raises_peer_errors_only(
    garbage: bytes, honest_turns: int, is_initiator: bool
) -> None:
    """The peer follows the protocol for some turns, then says anything at all."""
    ours = Upgrade(ALICE, is_initiator=is_initiator)
    theirs = Upgrade(BOB, is_initiator=not is_initiator)
    to_theirs, to_ours = (ours.start(), b"") if is_initiator else (b"", theirs.start())
    for _ in range(honest_turns):
        if ours.result is None and theirs.result is None:
            to_ours += theirs.receive(to_theirs)
            to_theirs, to_ours = ours.receive(to_ours), b""
    if ours.result is None:
        # Enough zeros complete any length that the garbage claims: nothing is just awaited.
        with pytest.raises(PeerError):
            ours.receive(garbage + bytes(1 << 17))
