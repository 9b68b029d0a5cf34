"""Yamux frame by frame: what the specification says of each, and what is refused."""

import pytest

from ipfs.errors import PeerHungUp
from ipfs.p2p.budget import MemoryBudget
from ipfs.p2p.limits import NetworkLimits
from ipfs.p2p.noise import PAYLOAD_BYTES_MAX
from ipfs.p2p.yamux import (
    ACK,
    DATA,
    DATA_BYTES_MAX,
    FIN,
    GO_AWAY,
    HEADER_BYTES,
    INITIAL_WINDOW_BYTES,
    PING,
    RST,
    SYN,
    WINDOW_UPDATE,
    Substream,
    YamuxFault,
    YamuxSession,
)

LIMITS = NetworkLimits(streams_per_connection_max=2, unsent_reply_bytes_max=120)


def frame(kind: int, flags: int, stream_id: int, value: int, *, version: int = 0) -> bytes:
    return bytes([version, kind]) + flags.to_bytes(2) + stream_id.to_bytes(4) + value.to_bytes(4)


def data(stream_id: int, body: bytes, *, flags: int = 0) -> bytes:
    return frame(DATA, flags, stream_id, len(body)) + body


@pytest.fixture
def server() -> YamuxSession:
    return YamuxSession(is_client=False, limits=LIMITS)


@pytest.fixture
def client() -> YamuxSession:
    return YamuxSession(is_client=True, limits=LIMITS)


def accept(server: YamuxSession, stream_id: int = 1) -> Substream:
    [stream] = server.receive(frame(WINDOW_UPDATE, SYN, stream_id, 0)).opened
    server.take_outgoing()
    return stream


def test_ids_are_odd_for_who_dialled_and_even_for_who_listened(
    client: YamuxSession, server: YamuxSession
) -> None:
    assert [client.open().id, client.open().id] == [1, 3]
    assert [server.open().id, server.open().id] == [2, 4]
    opening = frame(WINDOW_UPDATE, SYN, 1, 0) + frame(WINDOW_UPDATE, SYN, 3, 0)
    assert client.take_outgoing() == opening


@pytest.mark.parametrize("kind", [DATA, WINDOW_UPDATE])
def test_a_stream_opens_with_either_frame_and_is_acknowledged(
    server: YamuxSession, kind: int
) -> None:
    arrivals = server.receive(frame(kind, SYN, 1, 3) + (b"abc" if kind == DATA else b""))
    [stream] = arrivals.opened
    assert server.take_outgoing() == frame(WINDOW_UPDATE, ACK, 1, 0)
    if kind == DATA:
        assert server.read(stream, 10) == b"abc"
    else:
        assert stream.send_window_bytes == INITIAL_WINDOW_BYTES + 3


def test_data_with_its_own_end_is_read_before_the_end(server: YamuxSession) -> None:
    stream = accept(server)
    message = data(1, b"last words", flags=FIN)
    for position in range(len(message) - 1):
        server.receive(message[position : position + 1])
        assert not stream.is_read_ended
    server.receive(message[-1:])
    assert stream.is_read_ended
    assert server.read(stream, 100) == b"last words"
    assert server.read(stream, 100) == b""


def test_writing_stops_at_the_window_and_goes_on_when_it_is_granted(client: YamuxSession) -> None:
    stream = client.open()
    payload = memoryview(bytes(INITIAL_WINDOW_BYTES + 10))
    assert client.write(stream, payload) == DATA_BYTES_MAX
    assert client.write(stream, payload[DATA_BYTES_MAX:]) == INITIAL_WINDOW_BYTES - DATA_BYTES_MAX
    assert client.write(stream, payload) == 0
    arrivals = client.receive(frame(WINDOW_UPDATE, ACK, 1, 10))
    assert arrivals.changed == {stream}
    assert client.write(stream, payload[INITIAL_WINDOW_BYTES:]) == 10


def test_a_frame_of_ours_fills_four_noise_messages(client: YamuxSession) -> None:
    stream = client.open()
    client.take_outgoing()
    payload = memoryview(bytes(DATA_BYTES_MAX + 1))
    assert client.write(stream, payload) == DATA_BYTES_MAX
    assert client.write(stream, payload[DATA_BYTES_MAX:]) == 1
    pieces = list(iter(client.take_outgoing, b""))
    assert b"".join(pieces) == data(1, bytes(DATA_BYTES_MAX)) + data(1, b"\0")
    assert [len(piece) for piece in pieces] == [PAYLOAD_BYTES_MAX] * 4 + [HEADER_BYTES + 1]
    assert client.outgoing_bytes == 0


def test_a_frame_as_large_as_the_window_is_taken_whole(server: YamuxSession) -> None:
    stream = accept(server)
    server.receive(data(1, bytes(INITIAL_WINDOW_BYTES)))
    assert len(server.read(stream, 1 << 30)) == INITIAL_WINDOW_BYTES


def test_a_window_grown_to_16_mib_takes_one_frame_as_large() -> None:
    size_bytes = 16 << 20
    limits = NetworkLimits(
        stream_window_bytes_max=size_bytes, connection_growth_bytes_max=size_bytes
    )
    server = YamuxSession(is_client=False, limits=limits)
    stream = accept(server)
    while stream.receive_window_bytes < size_bytes:
        server.receive(data(1, bytes(stream.receive_window_bytes)))
        server.read(stream, size_bytes)
    server.receive(data(1, bytes(size_bytes)))
    assert server.read(stream, size_bytes) == bytes(size_bytes)


def test_windows_of_all_connections_share_one_allowance() -> None:
    limits = NetworkLimits(growth_bytes_max=INITIAL_WINDOW_BYTES)
    budget = MemoryBudget(limits)
    sessions = [YamuxSession(is_client=False, limits=limits, budget=budget) for _ in range(2)]
    streams = [accept(session) for session in sessions]
    for session, stream in zip(sessions, streams, strict=True):
        session.receive(data(1, bytes(INITIAL_WINDOW_BYTES)))
        session.read(stream, INITIAL_WINDOW_BYTES)
    assert streams[0].capacity_bytes == 2 * INITIAL_WINDOW_BYTES
    assert streams[1].capacity_bytes == INITIAL_WINDOW_BYTES
    sessions[0].abort()
    sessions[1].receive(data(1, bytes(INITIAL_WINDOW_BYTES)))
    sessions[1].read(streams[1], INITIAL_WINDOW_BYTES)
    assert streams[1].capacity_bytes == 2 * INITIAL_WINDOW_BYTES


def test_what_is_held_is_counted_until_it_is_read_or_lost() -> None:
    budget = MemoryBudget(LIMITS)
    server = YamuxSession(is_client=False, limits=LIMITS, budget=budget)
    one, other = accept(server, 1), accept(server, 3)
    server.receive(data(1, b"four") + data(3, b"fives"))
    assert budget.held_bytes == server.held_bytes == 9
    server.read(one, 3)
    server.reset(other)
    assert budget.held_bytes == 1
    server.abort()
    assert budget.held_bytes == 0


def test_credit_is_granted_only_for_what_was_read(server: YamuxSession) -> None:
    stream = accept(server)
    server.receive(data(1, bytes(INITIAL_WINDOW_BYTES)))
    assert server.take_outgoing() == b""
    server.read(stream, 1000)
    assert server.take_outgoing() == b"", "a small credit would cost a frame for little"
    server.read(stream, INITIAL_WINDOW_BYTES // 2)
    granted = int.from_bytes(server.take_outgoing()[8:12])
    assert granted + len(stream.unread) == stream.capacity_bytes


def test_both_ends_close_a_stream_and_it_is_forgotten(server: YamuxSession) -> None:
    stream = accept(server)
    server.close_write(stream)
    server.close_write(stream)
    assert server.take_outgoing() == frame(DATA, FIN, 1, 0)
    assert stream in server.streams
    server.receive(frame(WINDOW_UPDATE, FIN, 1, 0))
    assert not server.streams


def test_a_reset_stream_fails_both_ways(client: YamuxSession, server: YamuxSession) -> None:
    ours = client.open()
    client.receive(frame(WINDOW_UPDATE, RST, 1, 0))
    theirs = accept(server)
    server.reset(theirs)
    server.reset(theirs)
    assert server.take_outgoing() == frame(WINDOW_UPDATE, RST, 1, 0)
    for session, stream in ((client, ours), (server, theirs)):
        assert not session.streams
        with pytest.raises(PeerHungUp):
            session.read(stream, 1)
        with pytest.raises(PeerHungUp):
            session.write(stream, memoryview(b"x"))


def test_a_reset_or_a_loss_after_the_end_takes_nothing_away(server: YamuxSession) -> None:
    one, other = accept(server, 1), accept(server, 3)
    server.receive(data(1, b"all", flags=FIN) + data(3, b"all", flags=FIN))
    server.receive(frame(WINDOW_UPDATE, RST, 1, 0))
    server.abort()
    for stream in (one, other):
        assert (server.read(stream, 10), server.read(stream, 10)) == (b"all", b"")
        with pytest.raises(PeerHungUp):
            server.write(stream, memoryview(b"x"))


def test_what_was_under_way_to_a_reset_stream_is_skipped(server: YamuxSession) -> None:
    gone, stays = accept(server, 1), accept(server, 3)
    server.receive(data(1, b"abc")[:13])
    server.reset(gone)
    late = b"bc" + data(1, b"more") + frame(WINDOW_UPDATE, 0, 1, 5) + data(1, b"", flags=FIN)
    server.receive(late + data(3, b"ok"))
    assert server.read(stays, 10) == b"ok"


def test_one_stream_too_many_is_reset_and_the_others_live(server: YamuxSession) -> None:
    accept(server, 1)
    accept(server, 3)
    arrivals = server.receive(frame(WINDOW_UPDATE, SYN, 5, 0))
    assert arrivals.opened == []
    assert server.take_outgoing() == frame(WINDOW_UPDATE, RST, 5, 0)


def test_a_stream_of_ours_too_many_is_not_opened(client: YamuxSession) -> None:
    verdicts = [client.can_open]
    streams = [client.open(), client.open()]
    verdicts.append(client.can_open)
    client.reset(streams[0])
    verdicts.append(client.can_open)
    client.receive(frame(GO_AWAY, 0, 0, 0))
    verdicts.append(client.can_open)
    assert verdicts == [True, False, True, False]


def test_a_ping_is_echoed_and_its_echo_is_not(client: YamuxSession) -> None:
    client.ping()
    assert client.take_outgoing() == frame(PING, SYN, 0, 0)
    client.receive(frame(PING, ACK, 0, 0) + frame(PING, SYN, 0, 99))
    assert client.take_outgoing() == frame(PING, ACK, 0, 99)


def test_a_lost_connection_resets_its_streams(client: YamuxSession) -> None:
    stream = client.open()
    assert client.abort() == (stream,)
    assert stream.is_reset


@pytest.mark.parametrize(
    "hostile",
    [
        frame(DATA, 0, 1, 0, version=1),
        frame(4, 0, 1, 0),
        frame(255, 0, 1, 0),
        frame(DATA, 16, 1, 0),
        frame(DATA, 0x8000, 1, 0),
        frame(DATA, 0, 0, 0),
        frame(WINDOW_UPDATE, 0, 0, 1),
        frame(WINDOW_UPDATE, SYN, 2, 0),
        frame(WINDOW_UPDATE, SYN, 1, 0) * 2,
        frame(WINDOW_UPDATE, SYN, 1, 0) + frame(DATA, 0, 1, INITIAL_WINDOW_BYTES + 1),
        frame(DATA, SYN, 1, INITIAL_WINDOW_BYTES + 1),
        frame(DATA, SYN, 1, (1 << 32) - 1),
        frame(WINDOW_UPDATE, SYN, 1, 0) + frame(DATA, 0, 1, 16 << 20),
        frame(DATA, 0, 9, LIMITS.stream_window_bytes_max + 1),
        frame(WINDOW_UPDATE, SYN, 1, (1 << 32) - 1),
        frame(WINDOW_UPDATE, SYN, 1, 0) + frame(WINDOW_UPDATE, 0, 1, (1 << 32) - 1),
        frame(DATA, SYN | FIN, 1, 0) + data(1, b"x"),
        frame(PING, SYN, 1, 0),
        frame(GO_AWAY, 0, 1, 0),
        frame(PING, SYN, 0, 0) * 11,
        b"".join(frame(WINDOW_UPDATE, SYN, stream_id, 0) for stream_id in range(1, 23, 2)),
    ],
)
def test_a_frame_against_the_rules_is_refused(server: YamuxSession, hostile: bytes) -> None:
    with pytest.raises(YamuxFault):
        server.receive(hostile)
