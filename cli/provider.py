"""`holdfast provider`: sell disk."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from cli.clock import Clock
from cli.home import Home
from cli.render import HomeOption, JsonFlag, LedgerOption, Output, confirm, finish, progress, table
from cli.words import (
    Unreadable,
    format_bytes,
    format_epochs,
    parse_bytes,
    parse_cid,
    parse_tokens,
    parse_url,
    spoken,
)

if TYPE_CHECKING:
    from rich.progress import Progress

    from provider.config import ProviderConfig

app = typer.Typer(help="Provide storage: set up, run, look.", no_args_is_help=True)

API_URL_NAME: Final = "api.url"
"""Where a running provider leaves the URL of its API, for `status`."""


@app.command()
def init(
    sector_size: Annotated[
        str | None,
        typer.Option("--sector-size", help="8MiB, 512MiB, … Default: the network's choice."),
    ] = None,
    capacity: Annotated[
        str | None, typer.Option("--capacity", help="Disk to sell, such as 100GB. Default: 20GiB.")
    ] = None,
    price: Annotated[
        str | None,
        typer.Option("--price", help='For a GiB and epoch: tokens, or "17 atto".'),
    ] = None,
    home: HomeOption = None,
    ledger: LedgerOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Make a provider's keys and its provider.toml; nothing is sold before `run`."""

    async def work(out: Output) -> None:
        from chain.config import ConfigError, load_toml
        from provider.config import ProviderConfig
        from provider.keys import create_keys

        where = Home.find(home)
        lines = []
        if ledger is not None:
            lines.append(f'ledger_url = "{parse_url(ledger)}"')
        if sector_size is not None:
            lines.append(f'proof_type = "{_proof_type(sector_size)}"')
        if capacity is not None:
            lines.append(f"capacity_bytes = {parse_bytes(capacity)}")
        if price is not None:
            lines.append(f'price_atto_per_gib_epoch = "{parse_tokens(price)} atto"')
        toml = where.toml("provider")
        if is_new := not toml.exists():
            toml.parent.mkdir(parents=True, exist_ok=True)
            toml.write_text("".join(f"{line}\n" for line in lines))
        try:
            prefix = load_toml(toml, ProviderConfig).address_prefix
        except ConfigError:
            if is_new:
                toml.unlink()
            raise
        keys = create_keys(where.folder("provider"))
        owner, worker = keys.owner.address(prefix), keys.worker.address(prefix)
        rows = [("worker (proofs)", worker), ("peer", keys.peer.peer_id), ("settings", toml)]
        out.result(
            table(("owner (money)", owner), rows) + "\nNow: holdfast provider run",
            owner=owner,
            worker=worker,
            peer_id=keys.peer.peer_id,
            folder=where.folder("provider"),
            settings=toml,
        )

    finish(as_json, work)


@app.command()
def run(
    home: HomeOption = None,
    ledger: LedgerOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Run the provider until interrupted: take deals, fetch, seal, prove, serve.

    Killed at any moment, it goes on where it was when it is started again.
    """

    async def work(out: Output) -> None:
        from provider.daemon import ReadyInfo, run_provider

        where = Home.find(home)
        folder = where.folder("provider")

        def ready(info: ReadyInfo) -> None:
            (folder / API_URL_NAME).write_text(info.api_url)
            multiaddrs = [f"{address}/p2p/{info.peer_id}" for address in info.addresses]
            told = [
                f"Provider {info.provider_id} is ready; its state: {info.api_url}/v1/status",
                *(f"It is reached at {multiaddr}" for multiaddr in multiaddrs),
            ]
            out.event(
                "ready",
                "\n".join(told),
                provider_id=info.provider_id,
                peer_id=info.peer_id,
                addresses=list(info.addresses),
                multiaddrs=multiaddrs,
                api_url=info.api_url,
            )

        await run_provider(folder, _settings(where, ledger), on_ready=ready)

    finish(as_json, work)


@app.command()
def status(home: HomeOption = None, as_json: JsonFlag = False) -> None:
    """Tell how the running provider stands: deals, sectors, next window, money, trouble."""

    async def work(out: Output) -> None:
        import httpx

        from chain.amount import format_amount
        from ipfs.http import http_client
        from provider.status import ProviderStatus

        where = _folder(home) / API_URL_NAME
        url = where.read_text() if where.exists() else ""
        try:
            async with http_client(timeout=10) as http:
                answer = await http.get(f"{url}/v1/status")
            now = ProviderStatus.model_validate_json(answer.content)
        except httpx.HTTPError as error:
            raise ProviderStopped(where.parent) from error
        clock = Clock(now.head_epoch, now.head_milliseconds, now.epoch_seconds)
        earned = now.earnings
        rows: list[tuple[str, object]] = [
            ("head epoch", now.head_epoch),
            ("deals", _counted(now.deals)),
            ("sectors", _counted(now.sectors)),
            ("windows", f"{now.windows_proven} answered, {now.windows_missed} missed"),
            ("next window", clock.told_window(now.next_window_epoch)),
            (
                "earned",
                f"{format_amount(earned.paid_atto)} tokens; "
                f"{format_amount(earned.ahead_atto)} still to be proven for",
            ),
            (
                "collateral",
                f"{format_amount(earned.collateral_atto)} tokens held; "
                f"{format_amount(earned.lost_atto)} lost to clients",
            ),
            ("space", f"{format_bytes(now.used_bytes)} used, {format_bytes(now.free_bytes)} free"),
            ("under way", ", ".join(now.under_way) or "nothing"),
            *(("trouble", trouble) for trouble in now.troubles),
        ]
        out.result(
            table(("provider", str(now.provider_id)), rows),
            **now.model_dump(mode="json"),
            next_window_time=clock.iso(now.next_window_epoch),
        )

    finish(as_json, work)


@app.command()
def scrub(
    rate: Annotated[
        str | None,
        typer.Option("--rate", help="Bytes a second, at most: 50MB. Default: the settings'."),
    ] = None,
    home: HomeOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Read every replica again against its tree, while the provider runs or not.

    What would fail a window is told here and by `status`, before the window does; the running
    provider, which scrubs by itself too, declares it to the ledger and mends it.
    """

    async def work(out: Output) -> None:
        from provider.disk import SectorDisk

        bytes_per_second = (
            parse_bytes(rate) if rate else _settings(Home.find(home), None).scrub_bytes_per_second
        )
        if bytes_per_second == 0:
            raise Unreadable("at no bytes a second it would never end; write --rate 50MB")
        disk = SectorDisk(_folder(home))
        damaged, read_bytes, numbers = [], 0, disk.sealed()
        with progress(as_json) as bars:
            total_bytes = sum(map(disk.scrub_bytes, numbers))
            task = bars.add_task("scrubbing", total=total_bytes) if bars else None

            def report(more_bytes: int) -> None:
                nonlocal read_bytes
                read_bytes += more_bytes
                if bars and task is not None:
                    bars.advance(task, more_bytes)

            for number in numbers:
                found = await disk.scrub(number, bytes_per_second=bytes_per_second, report=report)
                for damage in found:
                    out.event("damage", f"sector {number}: {damage}", sector=number, what=damage)
                if found:
                    damaged.append(number)
        if damaged:
            raise SectorsDamaged(damaged)
        out.result(
            f"{len(numbers)} {'sector is' if len(numbers) == 1 else 'sectors are'} whole; "
            f"{format_bytes(read_bytes)} read",
            sectors=len(numbers),
            read_bytes=read_bytes,
        )

    finish(as_json, work)


@app.command()
def unseal(
    cid: Annotated[
        str, typer.Argument(metavar="CID", help="Of the data, its piece or its deal's proposal.")
    ],
    out_path: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="Where to write it. Default: CID.car."),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Don't ask.")] = False,
    home: HomeOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Get a piece back out of its sealed sector, as a CAR, when its blocks are gone.

    It takes most of the time that sealing took: you are told how long before it begins. Runs
    beside the provider or without it; interrupted, it begins anew.
    """

    async def work(out: Output) -> None:
        from provider.disk import SectorDisk
        from provider.sealing import SealingPool
        from provider.sealing_plan import SealingPlan
        from provider.store import ProviderStore
        from provider.unsealing import cost_of, find_piece, unseal_piece

        wanted, folder = parse_cid(cid), _folder(home)
        target = out_path or Path(f"{wanted}.car")
        database = folder / "provider.sqlite"
        database.stat()  # Opening it would make it.
        with closing(ProviderStore(f"sqlite:///{database}")) as store:
            piece = await find_piece(store, wanted)
        cost = cost_of(piece)
        out.event(
            "cost",
            f"Sector {piece.number}, {piece.parameters.proof_type}: {cost.labels} labels, at least "
            f"{format_epochs(ceil(cost.seconds_min), epoch_seconds=1)} on this machine; up to "
            f"{format_bytes(cost.memory_bytes)} of memory and {format_bytes(cost.disk_bytes)} of "
            "disk.",
            sector=piece.number,
            **asdict(cost),
        )
        if not (yes or as_json):
            confirm("Unseal it?")
        plan = SealingPlan(piece.parameters.proof_type, workers=1, together=1)
        async with SealingPool(plan) as pool:
            with progress(as_json) as bars:
                report = _bar(bars, "unsealing", cost.labels)
                await unseal_piece(piece, SectorDisk(folder), pool, target, report)
        size_bytes = target.stat().st_size
        out.result(
            f"{target}: {format_bytes(size_bytes)}, the piece that was sealed",
            path=target,
            size_bytes=size_bytes,
            sector=piece.number,
        )

    finish(as_json, work)


def _bar(bars: "Progress | None", name: str, total: int) -> Callable[[str, int, int], None]:
    """Return what moves a bar through the stages of a work, each of which counts from zero."""
    task = bars.add_task(name, total=total) if bars else None
    now = ("", 0)

    def report(stage: str, done: int, _: int) -> None:
        nonlocal now
        more = done - now[1] if stage == now[0] else done
        now = (stage, done)
        if bars and task is not None:
            bars.update(task, advance=more, description=stage)

    return report


class SectorsDamaged(Exception):
    """Replicas are not what was sealed; proofs that touch what is wrong will be refused."""

    code = "sector-damaged"

    def __init__(self, numbers: Sequence[int]) -> None:
        super().__init__(f"damaged sectors: {', '.join(map(str, numbers))}")
        self.numbers = tuple(numbers)


class ProviderStopped(Exception):
    """No provider runs in this folder."""

    code = "provider-stopped"

    def __init__(self, folder: Path) -> None:
        super().__init__(f"no provider runs in {folder}; start it: holdfast provider run")
        self.folder = folder


def _counted(kinds: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {spoken(kind)}" for kind, count in kinds.items()) or "none"


def _folder(home: Path | None) -> Path:
    """Return where the provider keeps its data. Raises `ProviderMissing`."""
    from provider.keys import require_provider

    folder = Home.find(home).folder("provider")
    require_provider(folder)
    return folder


def _settings(where: Home, ledger_url: str | None) -> "ProviderConfig":
    """Return the settings, flag over TOML. Raises `ConfigError`."""
    from chain.config import load_toml
    from provider.config import ProviderConfig

    config = load_toml(where.toml("provider"), ProviderConfig)
    if ledger_url is None:
        return config
    return config.model_copy(update={"ledger_url": parse_url(ledger_url)})


def _proof_type(sector_size: str) -> str:
    from proofs.parameters import ProofType
    from proofs.registry import parameters_of

    size_bytes = parse_bytes(sector_size)
    sizes = {parameters_of(kind).sector_size_bytes: kind for kind in ProofType}
    if size_bytes not in sizes:
        known = ", ".join(format_bytes(size) for size in sizes)
        raise Unreadable(f"there are no sectors of {sector_size}; there are: {known}")
    return sizes[size_bytes]
