from random import Random

from ipfs.cid import CID
from ipfs.kad.keyspace import KEY_BITS, distance, key_of, preimage_near, shared_prefix_bits
from ipfs.p2p.peer_id import PeerId
from tests.support.kad import peer
from tests.support.vectors import foreign


def test_a_peer_and_a_block_lie_where_everybody_says() -> None:
    vectors = foreign("kad.json")
    peer_id = PeerId.parse(vectors["peer"]["peer_id"])
    assert peer_id.multihash.hex() == vectors["peer"]["bytes"]
    assert f"{key_of(peer_id.multihash):064x}" == vectors["peer"]["kad"]

    cid = CID.parse(vectors["content"]["cid"])
    assert cid.multihash.hex() == vectors["content"]["multihash"]
    assert f"{key_of(cid.multihash):064x}" == vectors["content"]["kad"]


def test_versions_of_a_cid_lie_at_one_place() -> None:
    cid = CID.of(0x70, b"a block", version=0)
    assert key_of(cid.multihash) == key_of(cid.as_v1().multihash)


def test_distance_is_a_metric_with_one_point_at_each_distance() -> None:
    a, b, c = (key_of(peer(number).multihash) for number in range(3))
    assert distance(a, a) == 0
    assert distance(a, b) == distance(b, a) > 0
    assert distance(a, c) <= distance(a, b) + distance(b, c)


def test_shared_prefixes_read_as_bits_do() -> None:
    a, b = key_of(b"one"), key_of(b"other")
    bits = [f"{key:0256b}" for key in (a, b)]
    agree = next(at for at, (x, y) in enumerate(zip(*bits, strict=True)) if x != y)
    assert shared_prefix_bits(a, b) == agree
    assert shared_prefix_bits(a, a) == KEY_BITS


def test_a_key_is_found_in_every_bucket_that_is_refreshed() -> None:
    own = key_of(peer(0).multihash)
    for prefix_bits in range(10):
        multihash = preimage_near(own, prefix_bits, Random(prefix_bits))
        assert shared_prefix_bits(own, key_of(multihash)) == prefix_bits
        assert PeerId(multihash), "Kubo refuses to look for what is no peer id"
