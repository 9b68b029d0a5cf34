"""What a provider's duties are done with, and how they fail."""

from collections.abc import Callable, MutableMapping, Sequence
from dataclasses import dataclass

from chain.block import Receipt
from chain.ledger import Ledger
from chain.policy import Policy
from chain.sender import Sender
from chain.units import ProviderId
from ipfs.blockstore import Blockstore
from ipfs.cid import CID
from ipfs.exchange import Exchange
from ipfs.routing import Routing
from proofs.parameters import ProofType
from provider.disk import SectorDisk, free_dag
from provider.promise import Promise
from provider.sealing import SealingPool
from provider.store import ProviderStore


class DutyRefused(Exception):
    """The ledger took the message and refused items of it. `code` is the first one's."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(f"{code}: {detail}" if detail else code)
        self.code = code


class ReplicaLost(Exception):
    """No sector of a window could be proven from what is on the disk."""

    code = "replica-lost"


@dataclass(frozen=True, slots=True, kw_only=True)
class Workshop:
    """What duties are done with.

    sender:       speaks to the ledger as the worker
    transfers:    bytes that have come of each piece on its way, for whoever asks
    warn:         told what went wrong and is not the end of the duty
    """

    chain_id: str
    policy: Policy
    provider_id: ProviderId
    proof_type: ProofType
    fetch_idle_seconds: float
    scrub_bytes_per_second: int
    ledger: Ledger
    sender: Sender
    store: ProviderStore
    disk: SectorDisk
    sealing: SealingPool
    blocks: Blockstore
    exchange: Exchange
    routing: Routing
    transfers: MutableMapping[CID, int]
    warn: Callable[[str], None]

    async def promises_of(self, proposal_cids: Sequence[CID]) -> list[Promise]:
        """Return what was promised for these proposals, in their order."""
        found = [await self.store.promise(proposal_cid) for proposal_cid in proposal_cids]
        promises = [promise for promise in found if promise is not None]
        assert len(promises) == len(found), "duties are for what was promised"
        return promises

    async def free_blocks_of(self, promise: Promise) -> None:
        """Delete a promise's blocks that no other open one needs."""
        others = [
            other.proposal.root_cid
            for other in await self.store.promises()
            if other.proposal_cid != promise.proposal_cid
        ]
        await free_dag(self.blocks, promise.proposal.root_cid, kept_roots=others)


def require_done(receipt: Receipt) -> None:
    """Raise `DutyRefused` unless the ledger did every item of the message."""
    if receipt.refusals:
        raise DutyRefused(
            receipt.refusals[0].code,
            "; ".join(f"item {refusal.index}: {refusal.detail}" for refusal in receipt.refusals),
        )
