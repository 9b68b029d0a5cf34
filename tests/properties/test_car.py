"""Laws of CARs."""

import io
from collections.abc import Iterator, Mapping
from contextlib import suppress
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipfs import varint
from ipfs.block import Block
from ipfs.blockstore import MemoryBlockstore
from ipfs.car import CarReader, car_of, car_size_bytes, car_v2_of, write_car
from ipfs.car_v2 import HEADER_BYTES, PRAGMA, CarV2Header
from ipfs.cid import CID, Codec
from ipfs.dag import walk
from ipfs.errors import PeerError
from ipfs.unixfs.chunker import FixedSize
from ipfs.unixfs.importer import import_file
from ipfs.unixfs.profiles import ImportSettings
from tests.support.ipld import cids

blocks = st.builds(Block.of, st.sampled_from([Codec.RAW, Codec.DAG_CBOR]), st.binary(max_size=300))


@given(st.lists(cids, max_size=4), st.lists(blocks, max_size=6))
def test_what_is_written_is_read(roots: list[CID], written: list[Block]) -> None:
    reader = CarReader(io.BytesIO(b"".join(write_car(roots, written))))
    assert reader.roots == tuple(roots)
    assert list(reader) == written


@given(st.binary(max_size=200), st.integers(1, 20), st.integers(2, 4), st.randoms())
def test_the_same_blocks_make_the_same_piece(
    data: bytes, chunk_bytes: int, links: int, random: Random
) -> None:
    settings = ImportSettings(chunker=FixedSize(chunk_bytes), links_per_node_max=links)
    client, provider = MemoryBlockstore(), MemoryBlockstore()
    root = import_file(io.BytesIO(data), client, settings).cid
    cids_in_any_order = list(client)
    random.shuffle(cids_in_any_order)
    provider.put(client.get(cid) for cid in cids_in_any_order)
    piece = b"".join(car_of(client, root))
    assert b"".join(car_of(provider, root)) == piece
    assert car_size_bytes(provider, root) == len(piece)


@given(st.lists(blocks, min_size=1, max_size=4), st.data())
def test_a_changed_car_gives_no_wrong_block(written: list[Block], data: st.DataObject) -> None:
    car = bytearray(b"".join(write_car([written[0].cid], written)))
    position = data.draw(st.integers(0, len(car) - 1))
    car[position] ^= data.draw(st.integers(1, 255))
    try:
        read = list(CarReader(io.BytesIO(car)))
    except PeerError:
        return
    assert all(block.cid.matches(block.data) for block in read)


def unguarded(car: bytes, root: CID) -> Mapping[str, set[int]]:
    """Return by name the bits of a CARv2 that nothing else in it depends on."""
    return {
        "fully indexed, as it is": {8 * len(PRAGMA) + 7},
        "the root, which need not be in it": set(bits(car.index(root.encode()), 36)),
        "the codec of a block, which its hash does not cover": {
            bit for cid_at in sections(car) for bit in bits(cid_at + 1, 1)
        },
    }


def sections(car: bytes) -> Iterator[int]:
    """Yield where the CID of each block is in a CARv2."""
    header = CarV2Header.decode(car[len(PRAGMA) : len(PRAGMA) + HEADER_BYTES])
    length, at = varint.decode(car, header.data_offset)
    while (at := at + length) < header.index_offset:
        length, at = varint.decode(car, at)
        yield at


def bits(start: int, count: int) -> range:
    return range(8 * start, 8 * (start + count))


@given(st.binary(max_size=200), st.integers(1, 40), st.integers(2, 4), st.data())
def test_any_flipped_bit_of_a_car_of_version_two_is_refused_or_named(
    content: bytes, chunk_bytes: int, links: int, data: st.DataObject
) -> None:
    store = MemoryBlockstore()
    settings = ImportSettings(chunker=FixedSize(chunk_bytes), links_per_node_max=links)
    root = import_file(io.BytesIO(content), store, settings).cid
    car = bytearray(b"".join(car_v2_of(store, root)))
    passed_over = set[int]().union(*unguarded(bytes(car), root).values())
    for bit in bits(data.draw(st.integers(0, len(car) - 1)), 1):
        car[bit // 8] ^= 1 << bit % 8
        with suppress(PeerError) if bit in passed_over else pytest.raises(PeerError):
            read = [block.cid.multihash for block in CarReader(io.BytesIO(car))]
            assert read == [cid.multihash for cid in walk(store, root)]
        car[bit // 8] ^= 1 << bit % 8


@given(st.binary(max_size=100))
def test_any_bytes_are_a_car_or_a_peer_error(data: bytes) -> None:
    with suppress(PeerError):
        list(CarReader(io.BytesIO(data)))
