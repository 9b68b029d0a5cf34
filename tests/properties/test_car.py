"""Laws of CARs."""

import io
from contextlib import suppress
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from ipfs.block import Block
from ipfs.blockstore import MemoryBlockstore
from ipfs.car import CarReader, car_of, car_size_bytes, write_car
from ipfs.cid import CID, Codec
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


@given(st.binary(max_size=100))
def test_any_bytes_are_a_car_or_a_peer_error(data: bytes) -> None:
    with suppress(PeerError):
        list(CarReader(io.BytesIO(data)))
