"""`holdfast verdict`: whether a file is safe, as far as the ledger knows."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.clock import Clock
from cli.render import HomeOption, JsonFlag, LedgerOption, Output, finish, table
from cli.settings import client_settings
from cli.words import parse_cid, spoken

if TYPE_CHECKING:
    from client.verdict import Verdict


def verdict(
    cid: Annotated[str, typer.Argument(metavar="CID", help="The CID that `store` printed.")],
    everybody: Annotated[
        bool, typer.Option("--all", help="By everybody's deals, not mine alone.")
    ] = False,
    home: HomeOption = None,
    ledger: LedgerOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Is my file safe? What the ledger's proofs say, and what they rest on.

    Ends with 8 if it is lost.
    """

    async def work(out: Output) -> None:
        from client.session import WALLET_NAME, open_ledger
        from client.verdict import FileLost, Safety, judge
        from client.wallet import load_wallet

        root_cid = parse_cid(cid)
        folder, config = client_settings(home, ledger)
        client = (
            None if everybody else load_wallet(folder / WALLET_NAME).address(config.address_prefix)
        )
        async with open_ledger(config) as (remote, genesis):
            found = await judge(
                remote, root_cid, beacon_is_drand=genesis.beacon_is_drand, client=client
            )
            clock = await Clock.of(remote, genesis)
        text, fields = _told_verdict(found, clock)
        if found.safety is Safety.LOST:
            out.item("verdict", text, root_cid=root_cid, **fields)
            raise FileLost(root_cid)
        out.result(text, root_cid=root_cid, **fields)

    finish(as_json, work)


def _told_verdict(found: "Verdict", clock: Clock) -> tuple[str, dict[str, Any]]:
    rows = [
        (
            copy.deal_id,
            copy.provider_id,
            f"{copy.state} (declared)" if copy.is_declared else copy.state,
            copy.windows_proven,
            copy.windows_missed,
            clock.told_window(copy.next_window_epoch),
            f"{copy.caught_percent:.0f} times in 100",
        )
        for copy in found.copies
    ]
    headings = (
        "deal",
        "provider",
        "state",
        "proven",
        "missed",
        "next window",
        "a window shows 1 % lost",
    )
    caveat = (
        ""
        if found.beacon_is_drand
        else "\nThe beacon is the ledger's own: its operator could have known the challenges."
    )
    text = (
        f"{spoken(found.safety)}: {found.proven_copies} of {found.due_copies} copies are proven\n"
        f"{table(headings, rows)}{caveat}"
    )
    fields = {
        "safety": found.safety,
        "proven_copies": found.proven_copies,
        "beacon_is_drand": found.beacon_is_drand,
        "copies": [
            {
                "deal_id": copy.deal_id,
                "provider_id": copy.provider_id,
                "state": copy.state,
                "windows_proven": copy.windows_proven,
                "windows_missed": copy.windows_missed,
                "is_declared": copy.is_declared,
                "next_window_epoch": copy.next_window_epoch,
                "next_window_time": clock.iso(copy.next_window_epoch),
                "caught_percent": round(copy.caught_percent, 1),
            }
            for copy in found.copies
        ],
    }
    return text, fields
