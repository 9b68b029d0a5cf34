"""Every reader of a stranger's bytes, under the name that `hostile.json` gives its kind."""

import io
from collections.abc import Callable, Mapping
from typing import Final

from chain.deal import DealProposal
from ipfs import dag_cbor, dag_json
from ipfs.bitswap.messages import Message
from ipfs.block import Block
from ipfs.blockstore import MemoryBlockstore
from ipfs.car import CarReader
from ipfs.cid import CID, Codec
from ipfs.dag_pb import PBNode
from ipfs.ipns import IpnsRecord
from ipfs.kad.messages import decode_request
from ipfs.p2p.identify import PeerInfo
from ipfs.plan import run
from ipfs.unixfs.node import Shard, read_node
from ipfs.unixfs.tree import entries_of


def read_unixfs(data: bytes) -> object:
    """Read a node; of a sharded directory also its entries, as far as one block has them."""
    node = read_node(Block.of(Codec.DAG_PB, data))
    if isinstance(node, Shard):
        return run(entries_of(node), MemoryBlockstore().get)
    return node


def read_car(data: bytes) -> object:
    """Read all blocks."""
    return list(CarReader(io.BytesIO(data)))


BORDERS: Final[Mapping[str, Callable[[bytes], object]]] = {
    "cid-bytes": CID.decode,
    "dag-cbor": dag_cbor.decode,
    "dag-json": dag_json.decode,
    "dag-pb": PBNode.decode,
    "unixfs": read_unixfs,
    "car": read_car,
    "ipns": IpnsRecord.decode,
    "bitswap": Message.decode,
    "kad": decode_request,
    "identify": PeerInfo.decode,
    "deal": DealProposal.decode,
}
