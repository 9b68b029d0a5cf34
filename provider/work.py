"""One straight function per duty. Each may be cut off anywhere and begun again.

So each reads what it needs anew, makes its own changes durable in the order in which they must
hold, and has nothing left to do after the ledger has taken its message.
"""

from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Final, assert_never

from chain import randomness
from chain.block import Receipt
from chain.deal import Deal
from chain.ledger import Ledger
from chain.messages import (
    PostAsk,
    PreCommitSectors,
    ProveCommitSectors,
    PublishDeals,
    SectorPreCommit,
    SectorProof,
    SubmitWindowPost,
)
from chain.policy import Policy
from chain.sector import Sector
from chain.sender import Sender
from chain.statements import (
    challenged_epochs,
    data_commitment,
    piece_commitment,
    replication_statement,
    seed_epoch,
    window_statement,
)
from chain.submission import proofs_bytes_max
from chain.units import Epoch, ProviderId, SectorNumber
from ipfs.block import Block
from ipfs.blockstore import Blockstore
from ipfs.cid import CID, Codec
from ipfs.errors import PeerError
from ipfs.exchange import DagLimits, Exchange, fetch_dag
from ipfs.routing import Routing
from proofs.parameters import ProofType
from proofs.post import WindowStatement
from proofs.registry import parameters_of
from proofs.replica import replica_id
from provider.agenda import is_ticket_fresh
from provider.disk import SectorDisk, commitment_of, free_dag
from provider.duties import (
    AnswerWindow,
    Assign,
    ClearSector,
    DropPromise,
    Duty,
    FetchPiece,
    OfferAsk,
    PreCommit,
    ProveCommit,
    Publish,
    Seal,
    Trim,
)
from provider.promise import Commitments, Promise, SectorPlan, client_of
from provider.sealing import SealingPool
from provider.store import ProviderStore

CAR_SECTION_BYTES_MIN: Final = 38
"""A CAR's least section: a length, a CID of 36 bytes, and a byte of data."""


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


async def perform(duty: Duty, shop: Workshop) -> None:
    """Do one duty. It will be on the next agenda again if that did not change the facts."""
    match duty:
        case AnswerWindow():
            await answer_window(duty, shop)
        case ProveCommit():
            await prove_commit(duty.number, shop)
        case PreCommit():
            await pre_commit(duty.number, shop)
        case Seal():
            await seal_sector(duty.number, shop)
        case Assign():
            await assign(duty.proposal_cids, shop)
        case Publish():
            await publish(duty.proposal_cids, shop)
        case FetchPiece(proposal_cids=(proposal_cid,)):
            await fetch_piece(proposal_cid, shop)
        case Trim():
            await trim(duty.number, shop)
        case ClearSector():
            await clear_sector(duty.number, shop)
        case DropPromise(proposal_cids=(proposal_cid,), reason=reason):
            await drop_promise(proposal_cid, reason, shop)
        case OfferAsk(ask=ask):
            await shop.sender.send(PostAsk(ask=ask))
        case FetchPiece() | DropPromise():
            raise AssertionError("one promise at a time")
        case _:
            assert_never(duty)


async def answer_window(duty: AnswerWindow, shop: Workshop) -> None:
    """Prove every sector of the window that is still on the disk, each for itself."""
    known = {sector.number: sector for sector in await shop.ledger.sectors(shop.provider_id)}
    sectors = [
        known[number] for number in duty.numbers if known[number].window_epoch == duty.window_epoch
    ]
    blocks: dict[SectorNumber, Block] = {}
    for number, statement in (await _window_statements(sectors, shop)).items():
        try:
            proof = await shop.disk.prove_window(statement, number)
            blocks[number] = Block.of(Codec.RAW, proof)
        except (OSError, ValueError) as error:
            shop.warn(f"sector {number} can't be proven: {error}")
    if not blocks:
        raise ReplicaLost(f"none of the sectors {duty.numbers} can be proven")
    for load in _loads(blocks, proofs_bytes_max(shop.policy)):
        body = SubmitWindowPost(
            provider_id=shop.provider_id,
            window_epoch=duty.window_epoch,
            proofs=_sector_proofs(load),
        )
        _require_done(await shop.sender.send(body, tuple(load.values())))


async def prove_commit(number: SectorNumber, shop: Workshop) -> None:
    """Answer the replication challenges of a pre-committed sector."""
    sector = await _sector(number, shop)
    statement = replication_statement(
        chain_id=shop.chain_id,
        sector=sector,
        deals=[await shop.ledger.deal(deal_id) for deal_id in sector.deal_ids],
        ticket_beacon=await shop.ledger.beacon(sector.ticket_epoch),
        seed_beacon=await shop.ledger.beacon(seed_epoch(shop.policy, sector)),
    )
    proof = await shop.sealing.prove_replication(statement, shop.disk.replica_folder(number))
    blocks = {number: Block.of(Codec.RAW, proof)}
    body = ProveCommitSectors(provider_id=shop.provider_id, proofs=_sector_proofs(blocks))
    _require_done(await shop.sender.send(body, tuple(blocks.values())))


async def pre_commit(number: SectorNumber, shop: Workshop) -> None:
    """Commit to a sealed replica."""
    plan = await shop.store.plan(number)
    assert plan.sealed is not None, "only a sealed sector is pre-committed"
    assert plan.ticket_epoch is not None, "a sealed sector has a ticket"
    sector = SectorPreCommit(
        number=number,
        proof_type=plan.proof_type,
        comm_d=plan.sealed.comm_d,
        comm_r=plan.sealed.comm_r,
        ticket_epoch=plan.ticket_epoch,
        deal_ids=tuple([deal.id for deal in await _deals(plan.proposal_cids, shop)]),
    )
    body = PreCommitSectors(provider_id=shop.provider_id, sectors=(sector,))
    _require_done(await shop.sender.send(body))


async def seal_sector(number: SectorNumber, shop: Workshop) -> None:
    """Make a replica of a sector's pieces, bound to a ticket that the ledger will take."""
    plan = await _with_fresh_ticket(number, shop)
    assert plan.ticket_epoch is not None, "a ticket was just drawn"
    parameters = parameters_of(plan.proof_type)
    proposals = [promise.proposal for promise in await _promises(plan.proposal_cids, shop)]
    comm_d = data_commitment(plan.proof_type, proposals)
    replica = replica_id(
        provider_id=shop.provider_id,
        sector_number=number,
        ticket=randomness.ticket(
            await shop.ledger.beacon(plan.ticket_epoch),
            chain_id=shop.chain_id,
            provider_id=shop.provider_id,
        ),
        comm_d=comm_d,
        porep_id=parameters.porep_id,
    )
    staged = await shop.disk.stage(
        number,
        replica,
        [(proposal.root_cid, proposal.piece_size_bytes) for proposal in proposals],
        blocks=shop.blocks,
        sector_size_bytes=parameters.sector_size_bytes,
    )
    found = await shop.sealing.seal(number, parameters, replica, staged)
    assert found.comm_d == comm_d, "each piece's commitment was checked when it came"
    await shop.disk.unstage(number)
    await shop.store.change_plan(
        number, sealed=Commitments(comm_d=found.comm_d, comm_r=found.comm_r)
    )


async def assign(proposal_cids: Sequence[CID], shop: Workshop) -> None:
    """Give published deals a sector number, for good, before anything is done with it."""
    sectors = await shop.ledger.sectors(shop.provider_id)
    above = max((sector.number for sector in sectors), default=None)
    await shop.store.assign(proposal_cids, shop.proof_type, above=above)


async def publish(proposal_cids: Sequence[CID], shop: Workshop) -> None:
    """Open deals on the ledger."""
    body = PublishDeals(provider_id=shop.provider_id, proposal_cids=tuple(proposal_cids))
    _require_done(await shop.sender.send(body))


async def fetch_piece(proposal_cid: CID, shop: Workshop) -> None:
    """Bring a deal's blocks here; what is not what was proposed ends the promise."""
    [promise] = await _promises((proposal_cid,), shop)
    proposal = promise.proposal
    expected = piece_commitment(proposal)

    def report(_: int, size_bytes: int) -> None:
        shop.transfers[proposal_cid] = size_bytes

    limits = DagLimits(
        blocks_max=expected.payload_bytes // CAR_SECTION_BYTES_MIN + 1,
        bytes_max=expected.payload_bytes,
    )
    try:
        await fetch_dag(
            shop.exchange,
            proposal.root_cid,
            limits=limits,
            idle_timeout_s=shop.fetch_idle_seconds,
            peers=(client_of(promise.propose),),
            routing=shop.routing,
            on_progress=report,
        )
        found = await commitment_of(shop.blocks, proposal.root_cid)
    except PeerError as error:
        await drop_promise(proposal_cid, f"{error.code}: {error}", shop)
        return
    finally:
        shop.transfers.pop(proposal_cid, None)
    if (found.root, found.padded_size_bytes) != (expected.root, expected.padded_size_bytes):
        await drop_promise(proposal_cid, "the blocks are not the piece that was proposed", shop)
        return
    await shop.store.change_promise(proposal_cid, is_received=True)


async def trim(number: SectorNumber, shop: Workshop) -> None:
    """Keep of a proven sector what its windows need, and the blocks that were to be kept."""
    plan = await shop.store.plan(number)
    await shop.disk.trim(number, parameters_of(plan.proof_type))
    for promise in await _promises(plan.proposal_cids, shop):
        if not promise.proposal.retrieval_terms.keeps_unsealed:
            await _free_blocks_of(promise, shop)
    await shop.store.change_plan(number, is_trimmed=True)


async def clear_sector(number: SectorNumber, shop: Workshop) -> None:
    """Delete a sector that is over."""
    await shop.disk.clear(number)
    await shop.store.change_plan(number, is_cleared=True)


async def drop_promise(proposal_cid: CID, reason: str, shop: Workshop) -> None:
    """Close a promise and delete the blocks that no other one needs."""
    [promise] = await _promises((proposal_cid,), shop)
    await _free_blocks_of(promise, shop)
    await shop.store.change_promise(proposal_cid, closed_because=reason)


async def _free_blocks_of(promise: Promise, shop: Workshop) -> None:
    others = [
        other.proposal.root_cid
        for other in await shop.store.promises()
        if other.proposal_cid != promise.proposal_cid
    ]
    await free_dag(shop.blocks, promise.proposal.root_cid, kept_roots=others)


async def _window_statements(
    sectors: Sequence[Sector], shop: Workshop
) -> dict[SectorNumber, WindowStatement]:
    """Return what each sector must prove; the ledger is asked once for what many of them share."""
    deals = {deal.id: deal for deal in await shop.ledger.deals(provider_id=shop.provider_id)}
    challenged = {sector.number: challenged_epochs(shop.policy, sector) for sector in sectors}
    epochs = sorted({epoch for drawn in challenged.values() for epoch in drawn})
    beacons = {epoch: await shop.ledger.beacon(epoch) for epoch in epochs}
    return {
        sector.number: window_statement(
            chain_id=shop.chain_id,
            policy=shop.policy,
            sector=sector,
            deals=[deals[deal_id] for deal_id in sector.deal_ids],
            beacons={epoch: beacons[epoch] for epoch in challenged[sector.number]},
        )
        for sector in sectors
    }


async def _with_fresh_ticket(number: SectorNumber, shop: Workshop) -> SectorPlan:
    """Return the plan with a ticket that is not too old, chosen durably before it is used."""
    plan = await shop.store.plan(number)
    head_epoch: Epoch = (await shop.ledger.head()).header.epoch
    if is_ticket_fresh(plan, shop.policy, head_epoch):
        return plan
    return await shop.store.change_plan(number, ticket_epoch=head_epoch, sealed=None)


async def _sector(number: SectorNumber, shop: Workshop) -> Sector:
    [sector] = [
        sector for sector in await shop.ledger.sectors(shop.provider_id) if sector.number == number
    ]
    return sector


async def _deals(proposal_cids: Sequence[CID], shop: Workshop) -> list[Deal]:
    found = [await shop.ledger.deal_of(proposal_cid) for proposal_cid in proposal_cids]
    deals = [deal for deal in found if deal is not None]
    assert len(deals) == len(found), "only published deals were assigned"
    return deals


async def _promises(proposal_cids: Sequence[CID], shop: Workshop) -> list[Promise]:
    found = [await shop.store.promise(proposal_cid) for proposal_cid in proposal_cids]
    promises = [promise for promise in found if promise is not None]
    assert len(promises) == len(found), "duties are for what was promised"
    return promises


def _loads(
    blocks: Mapping[SectorNumber, Block], bytes_max: int
) -> Iterator[dict[SectorNumber, Block]]:
    """Yield proofs in as many parts as a message can carry; recovering takes long ones."""
    load: dict[SectorNumber, Block] = {}
    size_bytes = 0
    for number, block in blocks.items():
        if load and size_bytes + len(block.data) > bytes_max:
            yield load
            load, size_bytes = {}, 0
        load[number] = block
        size_bytes += len(block.data)
    yield load


def _sector_proofs(blocks: Mapping[SectorNumber, Block]) -> tuple[SectorProof, ...]:
    return tuple(
        SectorProof(number=number, proof_cid=block.cid) for number, block in blocks.items()
    )


def _require_done(receipt: Receipt) -> None:
    """Raise `DutyRefused` unless the ledger did every item of the message."""
    if receipt.refusals:
        raise DutyRefused(
            receipt.refusals[0].code,
            "; ".join(f"item {refusal.index}: {refusal.detail}" for refusal in receipt.refusals),
        )
