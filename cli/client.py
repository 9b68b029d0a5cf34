"""`holdfast store`, `quote`, `retrieve`: files to the market and back."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.clock import Clock
from cli.plumbing.network import joined
from cli.plumbing.words import parse_ipfs_path, split_name
from cli.render import (
    HomeOption,
    JsonFlag,
    LedgerOption,
    Output,
    confirm,
    finish,
    progress,
    table,
)
from cli.settings import client_settings
from cli.words import (
    Unreadable,
    format_bytes,
    format_count,
    format_epochs,
    parse_bytes,
    parse_epochs,
    parse_tokens,
    told_step,
)

if TYPE_CHECKING:
    from chain.policy import Policy
    from client.config import ClientConfig
    from client.prepare import Prepared
    from client.selection import Quote, StorageTerms
    from client.session import Session
    from client.storing import Step
    from ipfs.cid import CID

PathArgument = Annotated[
    Path, typer.Argument(metavar="PATH", help="File or folder to store.", resolve_path=True)
]
CopiesOption = Annotated[
    int, typer.Option("--copies", min=1, max=64, help="Copies, each with another owner.")
]
DurationOption = Annotated[
    str | None,
    typer.Option(
        "--for",
        help="How long: 180d, 12h, 30m, 320e (epochs). Default: 180 proving periods.",
        show_default=False,
    ),
]
MaxPriceOption = Annotated[
    str | None,
    typer.Option(
        "--max-price",
        help='For a GiB, at most: tokens a time such as 0.5/30d; or an epoch, "17 atto".',
        show_default=False,
    ),
]
SectorSizeOption = Annotated[
    str | None,
    typer.Option("--sector-size", help="Only providers with sectors of this size: 8MiB, 512MiB."),
]
DEFAULT_PERIODS = 180
GOES_ON = "interrupted; said again, what was begun goes on"


def quote(
    path: PathArgument,
    copies: CopiesOption = 1,
    duration: DurationOption = None,
    max_price: MaxPriceOption = None,
    sector_size: SectorSizeOption = None,
    home: HomeOption = None,
    ledger: LedgerOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Tell exactly what keeping PATH would cost, and who would keep it. Spends nothing."""

    async def work(out: Output) -> None:
        from client.session import open_client
        from client.storing import quote_piece

        path.stat()  # What is wrong here is said before a ledger is asked.
        folder, config = client_settings(home, ledger)
        terms = _terms(config.policy, copies, duration, max_price, sector_size, path.name)
        async with open_client(folder, config) as session:
            async with _prepared(session, path, as_json) as prepared:
                agreed = await quote_piece(session, prepared, terms)
            text, fields = _told_quote(session.policy, prepared, terms, agreed)
            out.result(text, **fields)

    finish(as_json, work)


def store(
    path: PathArgument,
    copies: CopiesOption = 1,
    duration: DurationOption = None,
    max_price: MaxPriceOption = None,
    sector_size: SectorSizeOption = None,
    yes: Annotated[bool, typer.Option("--yes", help="Don't ask before paying.")] = False,
    home: HomeOption = None,
    ledger: LedgerOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Store PATH and wait until the ledger says that every copy is proven.

    Interrupted? Say it again: deals that were begun go on, and nothing is paid twice.
    """

    async def work(out: Output) -> None:
        from client.selection import Quote
        from client.session import open_client, open_payer
        from client.storing import (
            missing_copies,
            quote_piece,
            require_funds,
            store_piece,
        )

        path.stat()  # What is wrong here is said before a ledger is asked.
        folder, config = client_settings(home, ledger)
        terms = _terms(config.policy, copies, duration, max_price, sector_size, path.name)
        async with open_client(folder, config) as session:
            payer = open_payer(folder, config, session.ledger)
            async with _prepared(session, path, as_json) as prepared:
                if missing := await missing_copies(session, payer, prepared, terms):
                    agreed = await quote_piece(session, prepared, terms, payer)
                    text, fields = _told_quote(session.policy, prepared, terms, agreed)
                    out.event("quote", text, **fields)
                    await require_funds(session, payer, agreed, missing)
                    if not (yes or as_json):
                        confirm("Store it?")
                else:
                    told = "as many copies as you want are kept or under way; nothing is paid twice"
                    out.event("begun", told)
                    agreed = Quote(chosen=(), spares=())
                stored = await store_piece(session, payer, prepared, terms, agreed, _watcher(out))
            clock = await Clock.of(session.ledger, session.genesis)
        rows = [
            (deal.id, deal.proposal.provider_id, deal.state, clock.told(deal.proposal.end_epoch))
            for deal in stored.deals
        ]
        out.result(
            f"{prepared.root_cid}\n{table(('deal', 'provider', 'state', 'until epoch'), rows)}",
            root_cid=prepared.root_cid,
            deal_ids=[deal.id for deal in stored.deals],
            provider_ids=[deal.proposal.provider_id for deal in stored.deals],
        )

    finish(as_json, work, farewell=GOES_ON)


def retrieve(
    cid: Annotated[str, typer.Argument(metavar="CID", help="What to get; or /ipns/NAME.")],
    out_path: Annotated[
        Path | None,
        typer.Option(
            "-o", "--output", help="Where to write it. Default: ./CID.", show_default=False
        ),
    ] = None,
    home: HomeOption = None,
    ledger: LedgerOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Get a file or folder by its CID, from whoever has it, every block checked."""

    async def work(out: Output) -> None:
        from client.retrieving import retrieve as retrieve_dag
        from client.session import open_client

        target = out_path or Path(cid.rstrip("/").rpartition("/")[2])
        folder, config = client_settings(home, ledger)
        root_cid = await _root_of(cid, folder, config)
        with progress(as_json) as bars:
            task = bars.add_task("fetching", total=None) if bars else None

            def on_progress(_blocks: int, size_bytes: int) -> None:
                if bars is not None and task is not None:
                    bars.update(task, completed=size_bytes)

            async with open_client(folder, config) as session:
                got = await retrieve_dag(session, root_cid, target, on_progress=on_progress)
                await session.forget(root_cid)
        out.result(
            f"{got.out_path}: {format_bytes(got.size_bytes)} in "
            f"{format_count(got.block_count, 'block')}, every one checked",
            root_cid=got.root_cid,
            path=got.out_path,
            blocks=got.block_count,
            bytes=got.size_bytes,
            dropped=dict(got.dropped),
        )

    finish(as_json, work, farewell=GOES_ON)


async def _root_of(text: str, folder: Path, config: "ClientConfig") -> "CID":
    """Return the CID that the text is, or that its name leads to.

    Raises `Unreadable`, also for what is below a root, and as `Network.resolve` does.
    """
    name, inside = split_name(text)
    if name is not None:
        async with joined(folder, config, None) as network:
            text = await network.resolve(name) + inside
    root_cid, names = parse_ipfs_path(text)
    if names:
        raise Unreadable(f"{text!r} is below a root: write `holdfast ipfs get`")
    return root_cid


@asynccontextmanager
async def _prepared(session: "Session", path: Path, as_json: bool) -> "AsyncIterator[Prepared]":
    """Import a path, whose blocks are ours only as long as the context is."""
    with progress(as_json) as bars:
        task = bars.add_task(f"importing {path.name}", total=None) if bars else None

        def on_progress(read_bytes: int) -> None:
            if bars is not None and task is not None:
                bars.update(task, completed=read_bytes)

        prepared = await session.prepare(path, on_progress)
    try:
        yield prepared
    finally:
        await session.forget(prepared.root_cid)


def _price_max(text: str, *, epoch_seconds: int) -> int:
    """Return atto an epoch in `0.5/30d`, `12.5` or `17 atto`, rounded down. Raises `Unreadable`."""
    amount, has_time, duration = text.partition("/")
    epochs = parse_epochs(duration.strip(), epoch_seconds=epoch_seconds) if has_time else 1
    return parse_tokens(amount.strip()) // epochs


def _terms(
    policy: "Policy",
    copies: int,
    duration: str | None,
    max_price: str | None,
    sector_size: str | None,
    label: str,
) -> "StorageTerms":
    from client.selection import StorageTerms

    epochs = DEFAULT_PERIODS * policy.proving_period_epochs
    return StorageTerms(
        duration_epochs=(
            epochs
            if duration is None
            else parse_epochs(duration, epoch_seconds=policy.epoch_seconds)
        ),
        copies=copies,
        price_atto_per_gib_epoch_max=(
            None if max_price is None else _price_max(max_price, epoch_seconds=policy.epoch_seconds)
        ),
        sector_size_bytes=None if sector_size is None else parse_bytes(sector_size),
        label=label,
    )


def _told_quote(
    policy: "Policy", prepared: "Prepared", terms: "StorageTerms", agreed: "Quote"
) -> tuple[str, dict[str, Any]]:
    from chain.amount import format_amount

    lasting = format_epochs(terms.duration_epochs, epoch_seconds=policy.epoch_seconds)
    rows = [
        (
            offer.candidate.provider.id,
            format_amount(offer.total_atto),
            format_amount(offer.collateral_atto),
        )
        for offer in agreed.chosen
    ]
    copies = "1 copy" if len(agreed.chosen) == 1 else f"{len(agreed.chosen)} copies"
    text = (
        f"{prepared.root_cid}\n"
        f"{format_bytes(prepared.content_bytes)}, a piece of "
        f"{format_bytes(prepared.piece_size_bytes)}, for {lasting}\n"
        f"{table(('provider', 'price (tokens)', 'its collateral'), rows)}\n"
        f"Total for {copies}: {format_amount(agreed.total_atto)} tokens, "
        "exactly; what is not proven comes back."
    )
    fields = {
        "root_cid": prepared.root_cid,
        "content_bytes": prepared.content_bytes,
        "car_bytes": prepared.car_bytes,
        "piece_cid": prepared.piece_cid,
        "piece_size_bytes": prepared.piece_size_bytes,
        "duration_epochs": terms.duration_epochs,
        "copies": terms.copies,
        "total_atto": str(agreed.total_atto),
        "provider_ids": [offer.candidate.provider.id for offer in agreed.chosen],
    }
    return text, fields


def _watcher(out: Output) -> "Callable[[Step], None]":
    """Return what tells each step once, however often it is reported."""
    told: dict[int, tuple[str, str]] = {}

    def watch(step: "Step") -> None:
        news = (step.stage, step.detail)
        if told.get(step.provider_id) == news and not step.total_bytes:
            return
        is_new = told.get(step.provider_id) != news
        told[step.provider_id] = news
        out.event(
            "step",
            f"provider {step.provider_id}: {told_step(*news)}" if is_new else "",
            stage=step.stage,
            provider_id=step.provider_id,
            detail=step.detail,
            done_bytes=step.done_bytes,
            total_bytes=step.total_bytes,
        )

    return watch
