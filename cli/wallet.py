"""`holdfast wallet`: the key, what it owns, and giving some of it away."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.render import HomeOption, JsonFlag, LedgerOption, Output, confirm, finish
from cli.settings import client_settings
from cli.words import parse_address, parse_tokens

if TYPE_CHECKING:
    from chain.messages import Body

AmountArgument = Annotated[
    str, typer.Argument(metavar="AMOUNT", help='Tokens such as 12.5, or "17 atto".')
]

app = typer.Typer(help="Your key and your money.", no_args_is_help=True)


@app.command()
def new(home: HomeOption = None, as_json: JsonFlag = False) -> None:
    """Make a wallet: one key, in a file that only you can read. Keep a copy of it."""

    async def work(out: Output) -> None:
        from client.session import WALLET_NAME
        from client.wallet import create_wallet

        folder, config = client_settings(home, None)
        key = create_wallet(folder / WALLET_NAME)
        where = key.address(config.address_prefix)
        out.result(
            f"{where}\nThe key is in {folder / WALLET_NAME}: whoever has it has the money.",
            address=where,
            path=folder / WALLET_NAME,
        )

    finish(as_json, work)


@app.command()
def address(home: HomeOption = None, as_json: JsonFlag = False) -> None:
    """Print the address that others pay to."""

    async def work(out: Output) -> None:
        from client.session import WALLET_NAME
        from client.wallet import load_wallet

        folder, config = client_settings(home, None)
        where = load_wallet(folder / WALLET_NAME).address(config.address_prefix)
        out.result(where, address=where)

    finish(as_json, work)


@app.command()
def balance(
    of: Annotated[
        str | None,
        typer.Argument(metavar="ADDRESS", help="Whose. Default: mine.", show_default=False),
    ] = None,
    home: HomeOption = None,
    ledger: LedgerOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Tell what an address owns, and how much of it deals hold."""

    async def work(out: Output) -> None:
        from chain.amount import format_amount
        from client.session import WALLET_NAME, open_ledger
        from client.wallet import load_wallet

        folder, config = client_settings(home, ledger)
        where = (
            load_wallet(folder / WALLET_NAME).address(config.address_prefix)
            if of is None
            else parse_address(of)
        )
        async with open_ledger(config) as (remote, _):
            account = (await remote.sender(where)).account
        out.result(
            f"{format_amount(account.free_atto)} tokens free, "
            f"{format_amount(account.locked_atto)} held by deals",
            address=where,
            balance_atto=str(account.balance_atto),
            free_atto=str(account.free_atto),
            locked_atto=str(account.locked_atto),
        )

    finish(as_json, work)


@app.command()
def send(
    to: Annotated[str, typer.Argument(metavar="ADDRESS", help="Address to pay.")],
    amount: AmountArgument,
    yes: Annotated[bool, typer.Option("--yes", help="Don't ask.")] = False,
    home: HomeOption = None,
    ledger: LedgerOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Give tokens to somebody; done when the ledger has it in a block."""

    async def work(out: Output) -> None:
        from chain.amount import format_amount
        from chain.messages import Transfer

        transfer = Transfer(to=parse_address(to), amount_atto=parse_tokens(amount))
        told = f"{format_amount(transfer.amount_atto)} tokens to {to}"
        if not (yes or as_json):
            confirm(f"Send {told}?")
        await _tell_ledger(out, transfer, f"Sent {told}", home, ledger)

    finish(as_json, work)


@app.command()
def faucet(
    amount: AmountArgument = "100",
    home: HomeOption = None,
    ledger: LedgerOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Get tokens for nothing, on a DEV network."""

    async def work(out: Output) -> None:
        from chain.amount import format_amount
        from chain.messages import DrawFaucet

        draw = DrawFaucet(amount_atto=parse_tokens(amount))
        told = f"{format_amount(draw.amount_atto)} tokens are yours"
        await _tell_ledger(out, draw, told, home, ledger)

    finish(as_json, work)


async def _tell_ledger(
    out: Output, body: "Body", done: str, home: Path | None, ledger_url: str | None
) -> None:
    """Sign and send a message, and tell once it is in a block."""
    from chain.sender import Sender
    from client.session import WALLET_NAME, open_ledger
    from client.wallet import load_wallet

    folder, config = client_settings(home, ledger_url)
    key = load_wallet(folder / WALLET_NAME)
    async with open_ledger(config) as (remote, _):
        receipt = await Sender(remote, key, prefix=config.address_prefix).send(body)
    out.result(
        f"{done} (epoch {receipt.epoch}, message {receipt.message_id})",
        message_id=receipt.message_id,
        epoch=receipt.epoch,
        fee_atto=str(receipt.fee_atto),
    )
