"""What a command shows: results on stdout, progress and trouble on stderr, or JSON for programs."""

import asyncio
import json
import logging
import os
import signal
import sys
from collections.abc import Callable, Coroutine, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeVar

import typer

from cli import exits
from cli.words import printable

if TYPE_CHECKING:
    from rich.progress import Progress

T = TypeVar("T")

ENDS_WITH_STDIN: Final = "HOLDFAST_ENDS_WITH_STDIN"
"""Set by whoever starts a process that must not outlive it, and holds its stdin open meanwhile."""

JsonFlag = Annotated[
    bool, typer.Option("--json", help="Answer in JSON, one object a line; the last is the result.")
]
HomeOption = Annotated[
    Path | None,
    typer.Option(
        "--home",
        envvar="HOLDFAST_HOME",
        help="Folder for data and settings. Default: where XDG says.",
        show_default=False,
    ),
]
LedgerOption = Annotated[
    str | None,
    typer.Option(
        "--ledger",
        envvar="HOLDFAST_LEDGER_URL",
        help="URL of the ledger. Default: ledger_url of the settings.",
        show_default=False,
    ),
]


@dataclass(frozen=True, slots=True)
class Output:
    """Where a command's words go: text for people, or one JSON object a line for programs.

    Whatever a stranger said in them can't steer the terminal.
    """

    as_json: bool

    def event(self, kind: str, text: str, **fields: Any) -> None:
        """Tell something that happened on the way."""
        if self.as_json:
            self._write({"type": kind, **fields})
        elif text:
            typer.echo(printable_lines(text), err=True)

    def item(self, kind: str, text: str, **fields: Any) -> None:
        """Tell one outcome of many."""
        if self.as_json:
            self._write({"type": kind, **fields})
        else:
            typer.echo(printable_lines(text))

    def result(self, text: str, **fields: Any) -> None:
        """Tell the outcome; without text where the items have said it all."""
        if self.as_json:
            self._write({"type": "result", **fields})
        elif text:
            typer.echo(printable_lines(text))

    def error(self, code: str, text: str) -> None:
        """Tell what went wrong, with the code to search for."""
        if self.as_json:
            self._write({"type": "error", "code": code, "detail": text})
        else:
            typer.echo(f"error: {printable_lines(text)} [{code}]", err=True)

    def _write(self, value: dict[str, Any]) -> None:
        sys.stdout.write(json.dumps(value, default=str) + "\n")
        sys.stdout.flush()


def finish(
    as_json: bool,
    work: Callable[[Output], Coroutine[Any, Any, T]],
    *,
    farewell: str = "interrupted",
) -> T:
    """Run a command's work to its end; an error that is an answer ends it with its exit code.

    farewell:  what a person is told at Ctrl-C
    """
    out = Output(as_json)
    try:
        return asyncio.run(_stoppable(work(out)))
    except BaseException as error:
        cause = _only_cause(error)
        if isinstance(cause, BrokenPipeError):
            # Whoever reads has had enough, and what is still buffered must go somewhere.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(exits.NOBODY_READS) from None
        if isinstance(error, KeyboardInterrupt) and not as_json:
            typer.echo(farewell, err=True)
        code = exits.code_of(cause)
        if code is None:
            raise
        out.error(code, exits.said(cause))
        raise typer.Exit(exits.exit_status(code)) from error


def confirm(question: str) -> None:
    """Ask on the terminal; whatever is no yes ends the command, Ctrl-C at once."""

    def interrupt(*_: object) -> None:
        raise typer.Exit(exits.INTERRUPTED)

    # The event loop stands still meanwhile, and would only hear of it after the answer.
    before = signal.signal(signal.SIGINT, interrupt)
    try:
        typer.confirm(question, abort=True, err=True)
    finally:
        signal.signal(signal.SIGINT, before)


async def _stoppable(work: Coroutine[Any, Any, T]) -> T:
    """Let SIGTERM, which supervisors send, Ctrl-C and a parent's death end the work in order.

    A second Ctrl-C ends it at once: whatever was told to be done is durable.
    """
    task = asyncio.current_task()
    assert task is not None, "asyncio.run makes a task"
    loop, told = asyncio.get_running_loop(), list[signal.Signals]()

    def stop() -> None:
        told.append(signal.SIGTERM)
        task.cancel()

    def interrupt(*_: object) -> None:
        if told:
            os._exit(exits.INTERRUPTED)
        told.append(signal.SIGINT)
        loop.call_soon_threadsafe(task.cancel)

    def left_alone() -> None:
        loop.remove_reader(sys.stdin)
        stop()

    loop.add_signal_handler(signal.SIGTERM, stop)
    if ENDS_WITH_STDIN in os.environ:
        loop.add_reader(sys.stdin, left_alone)
    # Not asyncio's own: it would raise the second one wherever we are by then, and show where.
    before = signal.signal(signal.SIGINT, interrupt)
    try:
        return await work
    except asyncio.CancelledError:
        match told:
            case [signal.SIGTERM, *_]:
                raise typer.Exit(exits.TERMINATED) from None
            case [signal.SIGINT, *_]:
                raise KeyboardInterrupt from None
            case _:
                raise
    finally:
        loop.remove_signal_handler(signal.SIGTERM)
        if not told:
            signal.signal(signal.SIGINT, before)


def set_verbosity(verbosity: int) -> None:
    """Log to stderr: warnings, with -v what is done, with -vv all detail."""
    level = (logging.WARNING, logging.INFO, logging.DEBUG)[min(verbosity, 2)]
    source = "%(name)s: " if verbosity else ""
    logging.basicConfig(
        stream=sys.stderr,
        level=level,
        format=f"%(asctime)s {source}%(message)s",
        datefmt="%Y-%m-%d %H:%M:%S",
    )
    # Its INFO is a line a request, which says nothing that ours does not.
    logging.getLogger("httpx").setLevel(max(level, logging.WARNING))


def table(headings: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return rows under headings, columns aligned; strangers' text is made harmless."""
    lines = [tuple(headings), *(tuple(printable(str(cell)) for cell in row) for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def progress(as_json: bool) -> "AbstractContextManager[Progress | None]":
    """Return progress bars on stderr; none where it is no terminal, or in JSON."""
    if as_json or not sys.stderr.isatty():
        return nullcontext(None)
    from rich.console import Console
    from rich.progress import Progress

    return Progress(console=Console(stderr=True), transient=True)


def printable_lines(text: str) -> str:
    """Return text of several lines, each made harmless."""
    return "\n".join(map(printable, text.splitlines()))


def _only_cause(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error
