"""The command `holdfast`."""

from typing import Annotated

import typer

from cli import (
    client,
    deals,
    demo,
    exits,
    gateway,
    ipfs,
    ledger,
    piece,
    provider,
    verdict,
    wallet,
)
from cli.render import JsonFlag, Output, finish, set_verbosity

app = typer.Typer(
    name="holdfast",
    help="Keep files on machines that you don't control, and know that they are still there.",
    epilog=exits.HELP,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("demo")(demo.demo)
app.command("quote")(client.quote)
app.command("store")(client.store)
app.command("retrieve")(client.retrieve)
app.command("verdict")(verdict.verdict)
app.command("gateway")(gateway.gateway)
app.add_typer(deals.app, name="deals")
app.add_typer(wallet.app, name="wallet")
app.add_typer(provider.app, name="provider")
app.add_typer(ledger.app, name="ledger")
app.add_typer(ipfs.app, name="ipfs")
app.add_typer(piece.app, name="piece")


@app.callback()
def main_options(
    verbose: Annotated[
        int,
        typer.Option("-v", "--verbose", count=True, help="Log what is done; -vv in detail."),
    ] = 0,
) -> None:
    """Keep files on machines that you don't control, and know that they are still there."""
    set_verbosity(verbose)


@app.command()
def version(as_json: JsonFlag = False) -> None:
    """Tell the version, and which kernels do the hashing here."""
    import platform
    from importlib.metadata import version as installed

    from proofs import kernels

    async def work(out: Output) -> None:
        fields = {
            "version": installed("holdfast"),
            "python": platform.python_version(),
            "kernels": kernels.chosen(),
        }
        lines = [f"holdfast {fields['version']} on Python {fields['python']}"]
        lines += [f"  {what}: {which}" for what, which in kernels.chosen().items()]
        out.result("\n".join(lines), **fields)

    finish(as_json, work)


def main() -> None:
    """Run the command line."""
    try:
        app()
    except SystemExit as end:
        # Help is written by Typer, which has a code of its own for a reader who has had enough.
        if isinstance(end.__context__, BrokenPipeError):
            raise SystemExit(exits.NOBODY_READS) from None
        raise


if __name__ == "__main__":
    main()
