"""`holdfast provider`: sell disk."""

import typer

app = typer.Typer(help="Provide storage: set up, run, look.", no_args_is_help=True)
