"""`holdfast provider unseal`: a piece comes back out of its sector, and its price is told first."""

import asyncio
import json
from pathlib import Path

from typer.testing import CliRunner

from chain.deal import DealProposal
from cli.exits import FAILED, NOT_FOUND, OK, VERIFICATION_FAILED
from cli.main import app
from ipfs.car import car_of
from proofs.sealed import REPLICA
from provider.node import ProviderNode
from tests.support.provider_town import client_of, town
from tests.support.sectors import flip_bit

RUN = CliRunner()


def is_proven(node: ProviderNode) -> bool:
    return any(deal.windows_proven for deal in node.facts.deals.values())


async def sealed_piece(folder: Path) -> tuple[DealProposal, bytes]:
    """Return a piece that a provider in this folder sealed and proved, and its CAR."""
    async with town(folder) as place, client_of(place) as client:
        provider = await place.start()
        root = client.add_dag(b"u" * 300)
        proposal = await client.propose(provider, root)
        await client.negotiate(provider, proposal)
        await client.reserve(proposal)
        await place.until(is_proven)
        return proposal, b"".join(car_of(client.blocks, root))


def test_a_piece_comes_back_by_any_of_its_names_and_is_told_from_a_rotten_one(
    tmp_path: Path,
) -> None:
    proposal, car = asyncio.run(sealed_piece(tmp_path))
    [replica] = tmp_path.glob(f"provider/sectors/*/replica/{REPLICA}")
    target = tmp_path / "back.car"

    def unseal(*arguments: object) -> tuple[int, list[dict[str, object]]]:
        command = ["provider", "unseal", "--home", str(tmp_path), "--json", "-o", str(target)]
        ended = RUN.invoke(app, [*command, *map(str, arguments)])
        return ended.exit_code, [json.loads(line) for line in ended.stdout.splitlines()]

    for name in (proposal.root_cid, proposal.piece_cid, proposal.cid):
        exit_code, [cost, result] = unseal(name)
        assert exit_code == OK, result
        assert cost["type"] == "cost"
        assert 64 < int(str(cost["labels"])) <= 128, "one layer, and the next up to the piece's end"
        assert result["size_bytes"] == len(car)
        assert target.read_bytes() == car
        target.unlink()

    flip_bit(replica, 40)
    exit_code, [_, error] = unseal(proposal.root_cid)
    assert (exit_code, error["code"]) == (VERIFICATION_FAILED, "sector-damaged")
    replica.unlink()
    exit_code, [_, error] = unseal(proposal.root_cid)
    assert (exit_code, error["code"]) == (FAILED, "sealing-failed")
    assert list(tmp_path.glob("back.car*")) == [], "nothing is left of what did not come"

    exit_code, [error] = unseal("bafkqaaa")
    assert (exit_code, error["code"]) == (NOT_FOUND, "not-found")


def test_nothing_is_begun_before_yes(tmp_path: Path) -> None:
    proposal, _ = asyncio.run(sealed_piece(tmp_path))
    target = tmp_path / "back.car"
    command = ["provider", "unseal", "--home", str(tmp_path), "-o", str(target)]
    asked = RUN.invoke(app, [*command, str(proposal.root_cid)], input="n\n")
    assert asked.exit_code == FAILED
    assert "labels, at least" in asked.stderr
    assert "of memory" in asked.stderr
    assert not target.exists()
