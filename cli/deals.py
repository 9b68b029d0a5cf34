"""`holdfast deals`: what was agreed, how it stands, whose move it is."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.clock import Clock
from cli.render import HomeOption, JsonFlag, LedgerOption, Output, finish, table
from cli.settings import client_settings
from cli.words import parse_cid

if TYPE_CHECKING:
    from chain.deal import Deal

app = typer.Typer(
    help="Deals: list them, show one, explain whose move it is.", no_args_is_help=True
)

DealArgument = Annotated[int, typer.Argument(metavar="DEAL", min=1, help="The deal's number.")]


@app.command("list")
def list_deals(
    everybody: Annotated[bool, typer.Option("--all", help="Everybody's, not mine alone.")] = False,
    provider_id: Annotated[int | None, typer.Option("--provider", help="One provider's.")] = None,
    cid: Annotated[str | None, typer.Option("--cid", help="Those that keep this CID.")] = None,
    home: HomeOption = None,
    ledger: LedgerOption = None,
    as_json: JsonFlag = False,
) -> None:
    """List deals, oldest first: mine, unless other ones are asked for."""

    async def work(out: Output) -> None:
        from chain.units import ProviderId
        from client.session import WALLET_NAME, open_ledger
        from client.wallet import load_wallet

        root_cid = None if cid is None else parse_cid(cid)
        folder, config = client_settings(home, ledger)
        is_mine = not everybody and provider_id is None and cid is None
        client = (
            load_wallet(folder / WALLET_NAME).address(config.address_prefix) if is_mine else None
        )
        async with open_ledger(config) as (remote, genesis):
            deals = await remote.deals(
                client=client,
                provider_id=None if provider_id is None else ProviderId(provider_id),
                root_cid=root_cid,
            )
            clock = await Clock.of(remote, genesis)
        headings = ("deal", "state", "provider", "until epoch", "proven", "missed", "cid", "label")
        out.result(
            table(headings, [_row(deal, clock) for deal in deals]) if deals else "no deals",
            deals=[_fields(deal, clock) for deal in deals],
        )

    finish(as_json, work)


@app.command()
def show(
    deal_id: DealArgument,
    home: HomeOption = None,
    ledger: LedgerOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Show everything the ledger holds about a deal."""

    async def work(out: Output) -> None:
        from chain.amount import format_amount
        from chain.units import DealId
        from client.session import open_ledger

        _, config = client_settings(home, ledger)
        async with open_ledger(config) as (remote, genesis):
            deal = await remote.deal(DealId(deal_id))
            clock = await Clock.of(remote, genesis)
        proposal = deal.proposal
        rows: list[tuple[str, Any]] = [
            ("state", deal.state),
            ("cid", proposal.root_cid),
            ("label", proposal.label),
            ("piece", f"{proposal.piece_cid}, {proposal.piece_size_bytes} bytes"),
            ("client", proposal.client),
            ("provider", proposal.provider_id),
            ("sector", "-" if deal.sector_number is None else deal.sector_number),
            ("from epoch", clock.told(proposal.start_epoch)),
            ("until epoch", clock.told(proposal.end_epoch)),
            ("price", f"{format_amount(proposal.payment_atto)} tokens in all"),
            ("paid", f"{format_amount(deal.paid_atto)} tokens"),
            ("refunded", f"{format_amount(deal.refunded_atto)} tokens"),
            ("still held", f"{format_amount(deal.unsettled_atto)} tokens"),
            ("collateral left", f"{format_amount(deal.collateral_atto)} tokens"),
            ("compensation", f"{format_amount(deal.compensation_atto)} tokens"),
            ("windows", f"{deal.windows_proven} proven, {deal.windows_missed} missed"),
        ]
        out.result(table(("deal", str(deal_id)), rows), deal=_fields(deal, clock))

    finish(as_json, work)


@app.command()
def explain(
    deal_id: DealArgument,
    home: HomeOption = None,
    ledger: LedgerOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Say whose move it is, until when, and what happens by itself otherwise."""

    async def work(out: Output) -> None:
        from chain.units import DealId
        from client.session import open_ledger

        _, config = client_settings(home, ledger)
        async with open_ledger(config) as (remote, genesis):
            told = await remote.explanation(DealId(deal_id))
            clock = await Clock.of(remote, genesis)
        until = "" if told.until_epoch is None else f" by epoch {clock.told(told.until_epoch)}"
        out.result(
            f"Deal {deal_id} is {told.state}.\n"
            f"Next: the {told.whose_move} is to {told.now}{until}.\n"
            f"{'Then' if told.whose_move == 'ledger' else 'Otherwise'}: {told.then}."
            if told.whose_move != "nobody"
            else f"Deal {deal_id} is {told.state}: {told.then}.",
            deal_id=deal_id,
            state=told.state,
            whose_move=told.whose_move,
            until_epoch=told.until_epoch,
            until_time=clock.iso(told.until_epoch),
            now=told.now,
            then=told.then,
        )

    finish(as_json, work)


def _fields(deal: "Deal", clock: Clock) -> dict[str, Any]:
    """Return a deal for programs: the record, and when its epochs are."""
    return deal.model_dump(mode="json") | {
        "start_time": clock.iso(deal.proposal.start_epoch),
        "end_time": clock.iso(deal.proposal.end_epoch),
    }


def _row(deal: "Deal", clock: Clock) -> tuple[object, ...]:
    return (
        deal.id,
        deal.state,
        deal.proposal.provider_id,
        clock.told(deal.proposal.end_epoch),
        deal.windows_proven,
        deal.windows_missed,
        deal.proposal.root_cid,
        deal.proposal.label,
    )
