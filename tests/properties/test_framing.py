"""Laws of frames."""

import tracemalloc
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipfs import varint
from ipfs.errors import LimitExceeded, PeerError
from ipfs.framing import GATHERED_BYTES, FrameReader, encode_frame

PAYLOADS = st.one_of(
    st.binary(max_size=300),
    st.integers(0, 3 * GATHERED_BYTES).map(lambda size: Random(size).randbytes(size)),
)


@given(st.lists(PAYLOADS, max_size=6), st.data())
def test_how_the_bytes_arrive_does_not_matter(payloads: list[bytes], data: st.DataObject) -> None:
    stream = b"".join(map(encode_frame, payloads))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    reader = FrameReader(frame_bytes_max=3 * GATHERED_BYTES)
    read: list[bytes] = []
    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        read += reader.feed(stream[start:end])
        assert reader.held_bytes == end - sum(len(encode_frame(payload)) for payload in read)
    assert read == payloads
    assert reader.is_between_frames


def test_a_trickle_takes_little_more_than_its_bytes() -> None:
    reader = FrameReader(frame_bytes_max=1 << 20)
    tracemalloc.start()
    try:
        for byte in encode_frame(bytes(1 << 16))[:-1]:
            assert list(reader.feed(bytes((byte,)))) == []
        held_bytes, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held_bytes < 2 * reader.held_bytes


@given(st.binary(min_size=1, max_size=200), st.data())
def test_a_frame_cut_short_is_awaited(payload: bytes, data: st.DataObject) -> None:
    frame = encode_frame(payload)
    cut = data.draw(st.integers(1, len(frame) - 1))
    reader = FrameReader(frame_bytes_max=200)
    assert list(reader.feed(frame[:cut])) == []
    assert not reader.is_between_frames
    assert list(reader.feed(frame[cut:])) == [payload]


@given(st.lists(st.binary(max_size=20), min_size=1, max_size=5), st.integers(0, 5))
def test_frames_not_asked_for_yet_are_kept(payloads: list[bytes], taken: int) -> None:
    reader = FrameReader(frame_bytes_max=20)
    frames = reader.feed(b"".join(map(encode_frame, payloads)))
    first = [payload for _, payload in zip(range(taken), frames, strict=False)]
    del frames
    assert first + list(reader.feed(b"")) == payloads


@given(st.integers(101, (1 << 63) - 1), st.binary(max_size=20))
def test_a_frame_over_the_limit_is_refused_by_its_length(length: int, after: bytes) -> None:
    reader = FrameReader(frame_bytes_max=100)
    read: list[bytes] = []
    with pytest.raises(LimitExceeded) as caught:
        read += reader.feed(encode_frame(b"before") + varint.encode(length) + after)
    assert caught.value.asked == length


@given(st.binary(max_size=60))
def test_any_bytes_are_frames_or_a_peer_error(data: bytes) -> None:
    try:
        payloads = list(FrameReader(frame_bytes_max=30).feed(data))
    except PeerError:
        return
    assert (
        b"".join(map(encode_frame, payloads)) == data[: sum(map(len, map(encode_frame, payloads)))]
    )
