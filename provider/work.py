"""One straight function per duty. Each may be cut off anywhere and begun again.

So each reads what it needs anew, makes its own changes durable in the order in which they must
hold, and has nothing left to do after the ledger has taken its message.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final, assert_never

from chain.deal import Deal
from chain.messages import (
    PostAsk,
    PreCommitSectors,
    ProveCommitSectors,
    PublishDeals,
    SectorPreCommit,
    SectorProof,
    SubmitWindowPost,
)
from chain.sector import Sector
from chain.statements import (
    challenged_epochs,
    piece_commitment,
    replication_statement,
    seed_epoch,
    window_statement,
)
from chain.submission import proofs_bytes_max
from chain.units import SectorNumber
from ipfs.block import Block
from ipfs.cid import CID, Codec
from ipfs.errors import PeerError
from ipfs.exchange import DagLimits, fetch_dag
from proofs.post import WindowStatement
from provider.disk import commitment_of
from provider.duties import (
    AnswerWindow,
    Assign,
    ClearSector,
    DeclareDamage,
    DropPromise,
    Duty,
    FetchPiece,
    Mend,
    OfferAsk,
    PreCommit,
    ProveCommit,
    Publish,
    Scrub,
    Seal,
    Trim,
)
from provider.promise import client_of
from provider.upkeep import (
    clear_sector,
    declare_damage,
    mend,
    scrub_sector,
    seal_sector,
    trim,
)
from provider.workshop import ReplicaLost, Workshop, require_done

CAR_SECTION_BYTES_MIN: Final = 38
"""A CAR's least section: a length, a CID of 36 bytes, and a byte of data."""


async def perform(duty: Duty, shop: Workshop) -> None:
    """Do one duty. It will be on the next agenda again if that did not change the facts."""
    match duty:
        case AnswerWindow():
            await answer_window(duty, shop)
        case DeclareDamage():
            await declare_damage(duty, shop)
        case ProveCommit():
            await prove_commit(duty.number, shop)
        case PreCommit():
            await pre_commit(duty.number, shop)
        case Seal():
            await seal_sector(duty.number, shop)
        case Mend():
            await mend(duty.number, shop)
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
        case Scrub():
            await scrub_sector(duty.number, shop)
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
        require_done(await shop.sender.send(body, tuple(load.values())))


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
    require_done(await shop.sender.send(body, tuple(blocks.values())))


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
    require_done(await shop.sender.send(body))


async def assign(proposal_cids: Sequence[CID], shop: Workshop) -> None:
    """Give published deals a sector number, for good, before anything is done with it."""
    sectors = await shop.ledger.sectors(shop.provider_id)
    above = max((sector.number for sector in sectors), default=None)
    await shop.store.assign(proposal_cids, shop.proof_type, above=above)


async def publish(proposal_cids: Sequence[CID], shop: Workshop) -> None:
    """Open deals on the ledger."""
    body = PublishDeals(provider_id=shop.provider_id, proposal_cids=tuple(proposal_cids))
    require_done(await shop.sender.send(body))


async def fetch_piece(proposal_cid: CID, shop: Workshop) -> None:
    """Bring a deal's blocks here; what is not what was proposed ends the promise."""
    [promise] = await shop.promises_of((proposal_cid,))
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


async def drop_promise(proposal_cid: CID, reason: str, shop: Workshop) -> None:
    """Close a promise and delete the blocks that no other one needs."""
    [promise] = await shop.promises_of((proposal_cid,))
    await shop.free_blocks_of(promise)
    await shop.store.change_promise(proposal_cid, closed_because=reason)


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
