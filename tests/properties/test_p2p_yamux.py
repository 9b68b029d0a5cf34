"""Two Yamux sessions back to back, over a wire that cuts as it likes; then a hostile one."""

import contextlib
import random

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from ipfs.errors import PeerHungUp
from ipfs.p2p.budget import MemoryBudget
from ipfs.p2p.limits import NetworkLimits
from ipfs.p2p.noise import PAYLOAD_BYTES_MAX
from ipfs.p2p.yamux import INITIAL_WINDOW_BYTES, Substream, YamuxFault, YamuxSession

LIMITS = NetworkLimits(
    streams_per_connection_max=4,
    stream_window_bytes_max=600_000,
    connection_growth_bytes_max=500_000,
    unsent_reply_bytes_max=1200,
)


class Side:
    """One session, what it has under way, and what its streams have said and heard."""

    def __init__(self, *, is_client: bool) -> None:
        self.budget = MemoryBudget(LIMITS)
        self.session = YamuxSession(is_client=is_client, limits=LIMITS, budget=self.budget)
        self.wire = bytearray()
        self.streams: dict[int, Substream] = {}
        self.said: dict[int, bytearray] = {}
        self.heard: dict[int, bytearray] = {}

    def add(self, stream: Substream) -> None:
        self.streams[stream.id] = stream
        self.said[stream.id] = bytearray()
        self.heard[stream.id] = bytearray()

    def send(self) -> None:
        while outgoing := self.session.take_outgoing():
            assert len(outgoing) <= PAYLOAD_BYTES_MAX, "it fits one Noise message"
            self.wire += outgoing

    def receive_from(self, other: "Side", bytes_max: int) -> None:
        other.send()
        data = bytes(other.wire[:bytes_max])
        del other.wire[:bytes_max]
        for stream in self.session.receive(data).opened:
            self.add(stream)

    def read(self, stream_id: int, bytes_max: int) -> None:
        try:
            self.heard[stream_id] += self.session.read(self.streams[stream_id], bytes_max)
        except PeerHungUp:
            assert self.streams[stream_id].is_reset


class YamuxPair(RuleBasedStateMachine):
    """What one side says, the other hears: in order, whole unless reset, within the window."""

    def __init__(self) -> None:
        super().__init__()
        self.sides = (Side(is_client=True), Side(is_client=False))
        self.random = random.Random(0)

    @precondition(lambda self: any(side.session.can_open for side in self.sides))
    @rule(which=st.integers(0, 1))
    def open(self, which: int) -> None:
        side = self.sides[which]
        if side.session.can_open:
            side.add(side.session.open())

    @rule(which=st.integers(0, 1), data=st.data(), size_bytes=st.integers(0, 700_000))
    def write(self, which: int, data: st.DataObject, size_bytes: int) -> None:
        side = self.sides[which]
        writable = [
            stream
            for stream in side.streams.values()
            if not stream.is_reset and not stream.is_write_closed
        ]
        if writable:
            stream = data.draw(st.sampled_from(writable))
            payload = self.random.randbytes(size_bytes)
            sent_bytes = side.session.write(stream, memoryview(payload))
            side.said[stream.id] += payload[:sent_bytes]

    @rule(which=st.integers(0, 1), data=st.data(), bytes_max=st.integers(1, 700_000))
    def read(self, which: int, data: st.DataObject, bytes_max: int) -> None:
        side = self.sides[which]
        if side.streams:
            side.read(data.draw(st.sampled_from(sorted(side.streams))), bytes_max)

    @rule(which=st.integers(0, 1), data=st.data(), is_reset=st.booleans())
    def end(self, which: int, data: st.DataObject, is_reset: bool) -> None:
        side = self.sides[which]
        if side.streams:
            stream = side.streams[data.draw(st.sampled_from(sorted(side.streams)))]
            if is_reset:
                side.session.reset(stream)
            else:
                side.session.close_write(stream)

    @rule(which=st.integers(0, 1), bytes_max=st.one_of(st.integers(0, 40), st.just(1 << 20)))
    def carry(self, which: int, bytes_max: int) -> None:
        self.sides[which].receive_from(self.sides[1 - which], bytes_max)

    @rule(which=st.integers(0, 1), data=st.data(), rounds=st.integers(1, 6))
    def talk(self, which: int, data: st.DataObject, rounds: int) -> None:
        """One side says a lot to a reader that keeps up, so that windows are used up and grow."""
        side, other = self.sides[which], self.sides[1 - which]
        common = sorted(side.streams.keys() & other.streams.keys())
        stream = side.streams[data.draw(st.sampled_from(common))] if common else None
        for _ in range(rounds):
            if stream is None or stream.is_reset or stream.is_write_closed:
                return
            payload = self.random.randbytes(1 << 18)
            sent_bytes = side.session.write(stream, memoryview(payload))
            side.said[stream.id] += payload[:sent_bytes]
            other.receive_from(side, 1 << 30)
            other.read(stream.id, 1 << 30)
            side.receive_from(other, 1 << 30)

    @invariant()
    def what_is_heard_was_said(self) -> None:
        for side, other in (self.sides, self.sides[::-1]):
            for stream_id, heard in side.heard.items():
                assert other.said.get(stream_id, b"").startswith(heard)

    @invariant()
    def nobody_holds_more_than_its_limits(self) -> None:
        for side in self.sides:
            growth_bytes = 0
            for stream in side.session.streams:
                held_bytes = len(stream.unread) + stream.receive_window_bytes
                assert held_bytes <= stream.capacity_bytes <= LIMITS.stream_window_bytes_max
                growth_bytes += stream.capacity_bytes - INITIAL_WINDOW_BYTES
            assert growth_bytes <= LIMITS.connection_growth_bytes_max
            assert side.budget.grown_bytes == growth_bytes
            unread_bytes = sum(len(stream.unread) for stream in side.streams.values())
            assert side.budget.held_bytes == side.session.held_bytes == unread_bytes

    def teardown(self) -> None:
        one, other = self.sides
        for _ in range(4):
            one.receive_from(other, 1 << 30)
            other.receive_from(one, 1 << 30)
            for side in self.sides:
                for stream_id in side.streams:
                    side.read(stream_id, 1 << 30)
        for side, peer in (self.sides, self.sides[::-1]):
            for stream_id, stream in side.streams.items():
                if not stream.is_reset:
                    assert side.heard[stream_id] == peer.said[stream_id], "all that was said"
                    assert stream.is_read_ended == peer.streams[stream_id].is_write_closed


TestYamuxPair = YamuxPair.TestCase
TestYamuxPair.settings = settings(max_examples=100, stateful_step_count=50, deadline=None)

headers = st.builds(
    lambda version, kind, flags, stream_id, value: (
        bytes([version, kind]) + flags.to_bytes(2) + stream_id.to_bytes(4) + value.to_bytes(4)
    ),
    st.sampled_from([0, 0, 0, 0, 0, 0, 0, 1]),
    st.integers(0, 4),
    st.integers(0, 17),
    st.integers(0, 12),
    st.one_of(st.integers(0, 64), st.integers(0, (1 << 32) - 1)),
)


@given(st.lists(st.one_of(headers, st.binary(max_size=64)), max_size=60), st.booleans())
def test_a_hostile_session_is_refused_by_one_error_and_costs_little(
    pieces: list[bytes], is_client: bool
) -> None:
    session = YamuxSession(is_client=is_client, limits=LIMITS)
    ours = session.open()
    with contextlib.suppress(YamuxFault):
        for piece in pieces:
            session.receive(piece)
    held_bytes = sum(len(stream.unread) for stream in {*session.streams, ours})
    assert held_bytes <= sum(map(len, pieces))
    assert len(session.streams) <= 1 + LIMITS.streams_per_connection_max
    assert len(session.take_outgoing(1 << 30)) <= LIMITS.unsent_reply_bytes_max + 12 + 64
