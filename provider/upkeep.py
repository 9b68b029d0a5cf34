"""Making replicas, keeping them whole, and owning up to it where they are not."""

from chain import randomness
from chain.messages import DeclareFaults
from chain.statements import data_commitment
from chain.units import Epoch, SectorNumber
from proofs.registry import parameters_of
from proofs.replica import replica_id
from proofs.sealed import SealedCommitments
from provider.agenda import is_ticket_fresh
from provider.duties import DeclareDamage
from provider.promise import Commitments, SectorPlan
from provider.workshop import Workshop, require_done


async def seal_sector(number: SectorNumber, shop: Workshop) -> None:
    """Make a replica of a sector's pieces, bound to a ticket that the ledger will take."""
    plan = await _with_fresh_ticket(number, shop)
    found = await _seal(plan, shop)
    await shop.disk.unstage(number)
    await shop.store.change_plan(
        number, sealed=Commitments(comm_d=found.comm_d, comm_r=found.comm_r)
    )


async def trim(number: SectorNumber, shop: Workshop) -> None:
    """Keep of a proven sector what its windows need, and the blocks that were to be kept."""
    plan = await shop.store.plan(number)
    await shop.disk.trim(number, parameters_of(plan.proof_type))
    for promise in await shop.promises_of(plan.proposal_cids):
        if not promise.proposal.retrieval_terms.keeps_unsealed:
            await shop.free_blocks_of(promise)
    await shop.store.change_plan(number, is_trimmed=True)


async def scrub_sector(number: SectorNumber, shop: Workshop) -> None:
    """Read a replica again; what is wrong with it is written down, and a fact from then on."""
    found = await shop.disk.scrub(
        number, bytes_per_second=shop.scrub_bytes_per_second, report=lambda _: None
    )
    for damage in found:
        shop.warn(f"sector {number} is damaged: {damage}")
    await shop.store.change_plan(number, scrubbed_epoch=await _head_epoch(shop))


async def declare_damage(duty: DeclareDamage, shop: Workshop) -> None:
    """Tell the ledger of sectors that will miss their next window."""
    body = DeclareFaults(
        provider_id=shop.provider_id, window_epoch=duty.window_epoch, numbers=duty.numbers
    )
    require_done(await shop.sender.send(body))


async def mend(number: SectorNumber, shop: Workshop) -> None:
    """Make a damaged replica again, byte for byte, from the blocks of its pieces.

    The damaged one stays until then: most of it can still answer. Raises `BlockNotFound` where
    the blocks were not to be kept.
    """
    plan = await shop.store.plan(number)
    found = await _seal(plan, shop, is_mending=True)
    assert plan.sealed is not None, "what is damaged was sealed"
    assert found.comm_r == plan.sealed.comm_r, "the same pieces under the same ticket"
    await shop.disk.unstage(number)
    await shop.disk.put_mended(number)
    await scrub_sector(number, shop)


async def clear_sector(number: SectorNumber, shop: Workshop) -> None:
    """Delete a sector that is over."""
    await shop.disk.clear(number)
    await shop.store.change_plan(number, is_cleared=True)


async def _seal(plan: SectorPlan, shop: Workshop, *, is_mending: bool = False) -> SealedCommitments:
    assert plan.ticket_epoch is not None, "a replica is bound to a ticket"
    parameters = parameters_of(plan.proof_type)
    proposals = [promise.proposal for promise in await shop.promises_of(plan.proposal_cids)]
    comm_d = data_commitment(plan.proof_type, proposals)
    replica = replica_id(
        provider_id=shop.provider_id,
        sector_number=plan.number,
        ticket=randomness.ticket(
            await shop.ledger.beacon(plan.ticket_epoch),
            chain_id=shop.chain_id,
            provider_id=shop.provider_id,
        ),
        comm_d=comm_d,
        porep_id=parameters.porep_id,
    )
    staged = await shop.disk.stage(
        plan.number,
        replica,
        [(proposal.root_cid, proposal.piece_size_bytes) for proposal in proposals],
        blocks=shop.blocks,
        sector_size_bytes=parameters.sector_size_bytes,
        is_mending=is_mending,
    )
    found = await shop.sealing.seal(plan.number, parameters, replica, staged)
    assert found.comm_d == comm_d, "each piece's commitment was checked when it came"
    return found


async def _with_fresh_ticket(number: SectorNumber, shop: Workshop) -> SectorPlan:
    """Return the plan with a ticket that is not too old, chosen durably before it is used."""
    plan = await shop.store.plan(number)
    head_epoch = await _head_epoch(shop)
    if is_ticket_fresh(plan, shop.policy, head_epoch):
        return plan
    return await shop.store.change_plan(number, ticket_epoch=head_epoch, sealed=None)


async def _head_epoch(shop: Workshop) -> Epoch:
    return (await shop.ledger.head()).header.epoch
