"""Which stored blocks a DAG needs, and deleting those that nothing needs any more."""

from collections.abc import Iterable

from ipfs.blockstore import Blockstore
from ipfs.cid import CID
from ipfs.dag import links_of
from ipfs.errors import MalformedBytes


def stored_blocks(store: Blockstore, roots: Iterable[CID]) -> set[CID]:
    """Return the blocks of these DAGs that are in the store; a DAG need not be whole."""
    ahead, found = list(roots), set[CID]()
    while ahead:
        cid = ahead.pop()
        if cid in found or not store.has(cid):
            continue
        found.add(cid)
        try:
            ahead += links_of(store.get(cid))
        except MalformedBytes:
            # A stranger's block that is not what its codec says links to nothing.
            continue
    return found


def free_blocks(store: Blockstore, root: CID, *, kept_roots: Iterable[CID]) -> None:
    """Delete what is stored of a DAG, but for blocks that DAGs to be kept share with it."""
    store.delete(stored_blocks(store, (root,)) - stored_blocks(store, kept_roots))
