"""The walk from a CID back to a file: find, fetch, check, write."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from chain.ledger import LedgerUnreachable
from client.session import Session
from ipfs.cid import CID
from ipfs.exchange import DagLimits, DagUnavailable, FetchedDag
from ipfs.host import PeerAddress
from ipfs.unixfs.exporter import require_free

DEFAULT_LIMITS = DagLimits(blocks_max=1 << 22, bytes_max=1 << 40)
"""A retrieval by CID alone has no quote to bound it: a terabyte, in four million blocks."""


@dataclass(frozen=True, slots=True)
class Retrieved:
    """A file or folder that is whole again, every block checked against its CID."""

    root_cid: CID
    out_path: Path
    block_count: int
    size_bytes: int
    dropped: tuple[tuple[str, str], ...]
    """Peers that failed on the way, each with the code of its reason."""


async def retrieve(
    session: Session,
    root_cid: CID,
    out_path: Path,
    *,
    limits: DagLimits = DEFAULT_LIMITS,
    on_progress: Callable[[int, int], None] = lambda _blocks, _bytes: None,
) -> Retrieved:
    """Write what a CID names to `out_path`.

    Providers come from the DHT; if they don't have it all, those that the ledger names for the
    CID are asked too: nothing depends on the DHT alone.

    on_progress:  called with the blocks and bytes that are here so far
    Raises `DagUnavailable` (which says what every peer answered), and what `export` raises:
    `TargetExists` before anything is fetched, its own for a DAG that is no file. Can be repeated:
    what came already stays.
    """
    require_free(out_path)
    try:
        fetched = await session.fetch(root_cid, limits=limits, on_progress=on_progress)
    except DagUnavailable as error:
        peers = await _promised_by(session, root_cid)
        if not peers:
            raise
        session.log(f"the DHT did not lead to every block ({error}); asking who has deals")
        fetched = await session.fetch(root_cid, limits=limits, peers=peers, on_progress=on_progress)
    await session.export(root_cid, out_path)
    return _retrieved(fetched, out_path)


async def _promised_by(session: Session, root_cid: CID) -> tuple[PeerAddress, ...]:
    """Return the peers of providers with a live deal for the CID; none if the ledger is down."""
    try:
        deals = await session.ledger.deals(root_cid=root_cid)
        keepers = {deal.proposal.provider_id for deal in deals if deal.state.is_live}
        providers = [await session.ledger.provider(provider_id) for provider_id in sorted(keepers)]
    except LedgerUnreachable as error:
        session.log(str(error))
        return ()
    peers = map(session.registered_peer, providers)
    return tuple(peer for peer in peers if peer is not None)


def _retrieved(fetched: FetchedDag, out_path: Path) -> Retrieved:
    return Retrieved(
        root_cid=fetched.root,
        out_path=out_path,
        block_count=fetched.block_count,
        size_bytes=fetched.size_bytes,
        dropped=tuple((str(peer_id), reason) for peer_id, reason in fetched.dropped.items()),
    )
