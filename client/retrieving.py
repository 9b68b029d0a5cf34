"""The walk from a CID back to a file: find, fetch, check, write."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from chain.ledger import LedgerUnreachable
from chain.provider import Provider
from client.registry import gateways_of, registered_peers
from client.session import Session
from ipfs.cid import CID
from ipfs.exchange import DagLimits, DagUnavailable, FetchedDag
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
    CID are asked too: nothing depends on the DHT alone. Where Bitswap gets through to nobody, the
    HTTP gateways that providers have registered are asked.

    on_progress:  called with the blocks and bytes that are here so far
    Raises `DagUnavailable` (which says what every peer answered), and what `export` raises:
    `TargetExists` before anything is fetched, its own for a DAG that is no file. Can be repeated:
    what came already stays.
    """
    require_free(out_path)
    try:
        fetched = await session.fetch(root_cid, limits=limits, on_progress=on_progress)
    except DagUnavailable as error:
        session.log(f"the DHT did not lead to every block ({error}); asking whom the ledger names")
        fetched = await _fetch_from_providers(session, root_cid, error, limits, on_progress)
    await session.export(root_cid, out_path)
    return _retrieved(fetched, out_path)


async def _fetch_from_providers(
    session: Session,
    root_cid: CID,
    failure: DagUnavailable,
    limits: DagLimits,
    on_progress: Callable[[int, int], None],
) -> FetchedDag:
    """Fetch from those with a deal, then from the gateways of all; raise the last failure."""
    keepers, others = await _known_providers(session, root_cid)
    peers = registered_peers(keepers)
    if peers:
        try:
            return await session.fetch(
                root_cid, limits=limits, peers=peers, on_progress=on_progress
            )
        except DagUnavailable as error:
            failure = error
    gateways = gateways_of([*peers, *registered_peers(others)])
    if not gateways:
        raise failure
    session.log(f"no peer gave every block ({failure}); asking {len(gateways)} gateways")
    return await session.fetch_over_http(root_cid, gateways, limits=limits, on_progress=on_progress)


async def _known_providers(
    session: Session, root_cid: CID
) -> tuple[list[Provider], list[Provider]]:
    """Return the providers with a live deal for the CID, and all others; none without a ledger."""
    try:
        deals = await session.ledger.deals(root_cid=root_cid)
        providers = await session.ledger.providers()
    except LedgerUnreachable as error:
        session.log(str(error))
        return [], []
    ids = {deal.proposal.provider_id for deal in deals if deal.state.is_live}
    return (
        [provider for provider in providers if provider.id in ids],
        [provider for provider in providers if provider.id not in ids],
    )


def _retrieved(fetched: FetchedDag, out_path: Path) -> Retrieved:
    return Retrieved(
        root_cid=fetched.root,
        out_path=out_path,
        block_count=fetched.block_count,
        size_bytes=fetched.size_bytes,
        dropped=tuple((str(peer_id), reason) for peer_id, reason in fetched.dropped.items()),
    )
