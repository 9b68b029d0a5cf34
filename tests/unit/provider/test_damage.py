"""A replica rots while its provider runs: known, declared, mended and proven again by itself."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from chain.audit import audit_folder
from chain.deal import Deal, DealState, RetrievalTerms
from chain.messages import DeclareFaults
from chain.sector import Sector, SectorState
from chain.units import Epoch, SectorNumber
from proofs.sealed import REPLICA, TREE_R_LAST
from provider.disk import SectorDisk
from provider.duties import Mend
from provider.node import ProviderNode
from tests.support.provider_town import Town, client_of, town
from tests.support.sectors import flip_bit

PERIODS = 10


@asynccontextmanager
async def proven_once(folder: Path, *, keeps_unsealed: bool) -> AsyncIterator[Town]:
    """Return a town whose provider scrubs at every head, with a sector that answered a window."""
    async with town(folder) as place, client_of(place) as client:
        place.config = place.config.model_copy(update={"scrub_interval_epochs": 1})
        provider = await place.start()
        root = client.add_dag(b"a" * 300)
        asked = await client.propose(provider, root)
        period_epochs = place.genesis.policy.proving_period_epochs
        end_epoch = Epoch(asked.start_epoch + PERIODS * period_epochs)
        proposal = asked.evolve(
            end_epoch=end_epoch,
            collateral_atto=place.genesis.policy.collateral_atto(
                piece_size_bytes=asked.piece_size_bytes,
                duration_epochs=end_epoch - asked.start_epoch,
                price_atto_per_epoch=asked.price_atto_per_epoch,
            ),
            retrieval_terms=RetrievalTerms(keeps_unsealed=keeps_unsealed),
        )
        await client.negotiate(provider, proposal)
        await client.reserve(proposal)
        await place.until(lambda node: any(deal.windows_proven for deal in deals(node)))
        yield place


def deals(node: ProviderNode) -> tuple[Deal, ...]:
    return tuple(node.facts.deals.values())


def only_deal(node: ProviderNode) -> Deal:
    [deal] = deals(node)
    return deal


def only_sector(node: ProviderNode) -> Sector:
    [sector] = node.facts.sectors.values()
    return sector


async def declarations(place: Town) -> list[tuple[int, DeclareFaults]]:
    """Return what the ledger's blocks hold of them, and in which epochs."""
    head_epoch = (await place.ledger.head()).header.epoch
    blocks = [await place.ledger.block(Epoch(epoch)) for epoch in range(head_epoch + 1)]
    return [
        (block.signed_header.header.epoch, message.message.body)
        for block in blocks
        for message in block.messages
        if isinstance(message.message.body, DeclareFaults)
    ]


async def test_rot_is_declared_before_its_window_and_costs_what_a_declared_fault_costs(
    tmp_path: Path,
) -> None:
    async with proven_once(tmp_path, keeps_unsealed=False) as place:
        assert place.node is not None
        before, window_epoch = only_deal(place.node), only_sector(place.node).window_epoch
        assert window_epoch is not None
        flip_bit(tmp_path / "provider/sectors/0/replica" / REPLICA, 0)
        await place.until(lambda node: only_sector(node).is_declared)
        assert only_sector(place.node).state is SectorState.FAULTY
        [(declared_at, fault)] = await declarations(place)
        assert (fault.window_epoch, fault.numbers) == (window_epoch, (0,))
        assert declared_at < window_epoch
        # There are no blocks left to mend it from; that is found out when it is tried.
        await place.until(lambda node: any(key[0] is Mend for key in node._troubles))
        told = (await place.node.status()).troubles
        assert any("sector 0 is damaged: replica, bytes 0 to 64" in trouble for trouble in told)
        assert any(trouble.startswith("mending sector 0") for trouble in told)

        await place.until(lambda node: only_deal(node).windows_missed == 1)
        missed = only_deal(place.node)
        assert (missed.state, missed.paid_atto) == (DealState.FAULTY, before.paid_atto)
        assert missed.refunded_atto > before.refunded_atto
        assert missed.compensation_atto == 0, "no fee for what was declared"
        assert only_sector(place.node).forgiven_epoch is None, "nor was it the forgiven miss"
        report = await asyncio.to_thread(audit_folder, tmp_path)
        assert report.blocks > window_epoch


async def test_a_damaged_replica_is_made_again_even_after_a_crash_and_proven(
    tmp_path: Path,
) -> None:
    async with proven_once(tmp_path, keeps_unsealed=True) as place:
        folder = tmp_path / "provider/sectors/0/replica"
        whole = {name: (folder / name).read_bytes() for name in (REPLICA, TREE_R_LAST)}
        flip_bit(folder / REPLICA, 700)
        await place.until(lambda node: any(isinstance(duty, Mend) for duty in node.under_way))
        await place.kill()
        await place.start()
        await place.until(lambda node: only_sector(node).is_declared)
        await place.until(lambda node: not node.facts.damaged)
        assert {name: (folder / name).read_bytes() for name in whole} == whole
        assert sorted(path.name for path in folder.parent.iterdir()) == ["replica"]

        await place.until(lambda node: only_deal(node).windows_proven == 2)
        assert place.node is not None
        deal = only_deal(place.node)
        assert (deal.state, deal.windows_missed) == (DealState.ACTIVE, 0)
        assert only_sector(place.node).state is SectorState.ACTIVE
        assert (await place.node.status()).troubles == ()


async def test_a_mended_replica_put_half_way_is_put_again(tmp_path: Path) -> None:
    disk = SectorDisk(tmp_path)
    sector = tmp_path / "sectors/3"
    for folder, content in (("replica", b"damaged"), ("mended", b"whole")):
        (sector / folder).mkdir(parents=True)
        for name in (REPLICA, TREE_R_LAST, "manifest.json"):
            (sector / folder / name).write_bytes(content)
    (sector / "mended" / REPLICA).rename(sector / "replica" / REPLICA)
    await disk.put_mended(SectorNumber(3))
    assert {path.read_bytes() for path in (sector / "replica").iterdir()} == {b"whole"}
    assert not (sector / "mended").exists()
