"""Which stored blocks a DAG needs, and deleting those that nothing needs any more."""

from collections.abc import Iterable
from contextlib import suppress

from ipfs.blockstore import Blockstore
from ipfs.cid import CID
from ipfs.dag import links_of
from ipfs.errors import PeerError


def stored_blocks(store: Blockstore, roots: Iterable[CID]) -> set[CID]:
    """Return the blocks of these DAGs that are in the store; a DAG need not be whole."""
    found = {root for root in roots if store.has(root)}
    ahead = list(found)
    while ahead:
        block = store.get(ahead.pop())
        # A stranger's block that is not what its codec says links to nothing.
        with suppress(PeerError):
            fresh = {cid for cid in links_of(block) if cid not in found and store.has(cid)}
            found |= fresh
            ahead += fresh
    return found


def free_blocks(store: Blockstore, root: CID, *, kept_roots: Iterable[CID]) -> None:
    """Delete what is stored of a DAG, but for blocks that DAGs to be kept share with it."""
    store.delete(stored_blocks(store, (root,)) - stored_blocks(store, kept_roots))
