"""A provider whose disk is full: it declines in words, answers its windows, and goes on."""

from pathlib import Path

from market.messages import Accept, Progress, Reject, RejectCode
from market.stream import request_status
from provider.node import ProviderNode
from tests.support.disks import filled, small_disk
from tests.support.provider_town import client_of, town


def windows_proven(node: ProviderNode) -> list[int]:
    return [deal.windows_proven for deal in node.facts.deals.values()]


async def test_a_full_disk_takes_no_deal_and_costs_none(tmp_path: Path) -> None:
    with small_disk(tmp_path / "provider") as disk:
        async with town(tmp_path) as place, client_of(place) as client:
            provider = await place.start()
            kept = await client.propose(provider, client.add_dag(b"a" * 300))
            assert isinstance(await client.negotiate(provider, kept), Accept)
            await client.reserve(kept)
            await place.until(lambda node: windows_proven(node) == [1])

            with filled(disk):
                more = await client.propose(provider, client.add_dag(b"b" * 300))
                declined = await client.negotiate(provider, more)
                assert isinstance(declined, Reject)
                assert declined.code is RejectCode.NO_SPACE
                assert "are needed, 0 are free" in declined.reason
                peer = client.address_of(provider)
                status = await request_status(client.host, peer, kept.cid)
                assert status.progress is Progress.PROVEN
                await place.until(lambda node: windows_proven(node) == [2])

            more = await client.propose(provider, client.add_dag(b"c" * 300))
            assert isinstance(await client.negotiate(provider, more), Accept)
            await client.reserve(more)
            await place.until(
                lambda node: len(windows_proven(node)) == 2 and all(windows_proven(node))
            )
            assert all(not deal.windows_missed for deal in await place.deals())
