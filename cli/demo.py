"""`holdfast demo`: a whole market on this machine, from a file to proofs, a loss and back."""

import asyncio
import contextlib
import shutil
import signal
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from cli.demo_file import check_fits, first_difference, write_sample
from cli.devnet import Devnet
from cli.render import JsonFlag, Output, finish, table
from cli.words import format_bytes, format_count, spoken, told_step

if TYPE_CHECKING:
    from chain.deal import Deal
    from chain.ledger import Ledger

PROVIDERS: Final = 3
COPIES: Final = 2
WINDOWS: Final = 2
DURATION: Final = "320e"
CLIENT_TOKENS: Final = "100"


def demo(
    path: Annotated[
        Path | None,
        typer.Argument(
            metavar="PATH",
            help="Any file or folder. Default: a sample it makes.",
            show_default=False,
            resolve_path=True,
        ),
    ] = None,
    sector_size: Annotated[
        str, typer.Option("--sector-size", help="8MiB seals in seconds, 512MiB in minutes.")
    ] = "8MiB",
    keep: Annotated[
        bool, typer.Option("--keep", help="Leave the network up until Ctrl-C, and its data.")
    ] = False,
    as_json: JsonFlag = False,
) -> None:
    """Walk the whole market once: a ledger, three providers and a client as processes here.

    PATH is imported, stored in two copies, sealed, proven, one provider is killed, and the file
    comes back from the other. Takes about a minute; nothing is left running.
    """

    async def work(out: Output) -> None:
        folder = Path(tempfile.mkdtemp(prefix="holdfast-demo-"))
        try:
            source = path if path is not None else write_sample(folder)
            check_fits(source, sector_size)
            async with Devnet(folder) as network:
                await Demo(out, network, source, sector_size).play(keep=keep)
        finally:
            if not keep:
                shutil.rmtree(folder, ignore_errors=True)

    finish(as_json, work)


@dataclass(slots=True)
class Demo:
    """One performance, scene by scene."""

    out: Output
    network: Devnet
    source: Path
    sector_size: str
    began: float = field(default_factory=time.monotonic)
    ledger_url: str = ""
    owners: dict[int, str] = field(default_factory=dict)
    members: dict[int, str] = field(default_factory=dict)
    client: str = ""

    async def play(self, *, keep: bool) -> None:
        """Play all scenes; raises what goes wrong."""
        from chain.remote import RemoteLedger

        await self.start_network()
        async with RemoteLedger(self.ledger_url) as ledger:
            before = await self.balances(ledger)
            stored = await self.store()
            root_cid, deal_ids = stored["root_cid"], stored["deal_ids"]
            await self.watch_windows(ledger, deal_ids)
            await self.kill_one(ledger, deal_ids)
            await self.retrieve(root_cid)
            await self.close(ledger, before, root_cid, deal_ids)
        if keep:
            self.tell_urls(root_cid)
            await asyncio.Event().wait()

    def scene(self, number: int, title: str) -> None:
        """Announce the next scene."""
        seconds = time.monotonic() - self.began
        self.out.event(
            "scene", f"\n[{seconds:4.0f} s] {number}. {title}", number=number, title=title
        )

    def say(self, kind: str, text: str, **fields: Any) -> None:
        """Tell a detail."""
        self.out.event(kind, f"         {text}", **fields)

    async def start_network(self) -> None:
        """Start the ledger, three providers and a client with money."""
        started = f"A ledger and {PROVIDERS} providers start, each a process of its own"
        self.scene(0, started)
        ledger = await self.network.start("ledger", "ledger", "serve", "--port", "0")
        self.ledger_url = ledger.ready["url"]
        self.say("ledger", f"ledger      {self.ledger_url}", url=self.ledger_url)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._fund_client())
            for index in range(1, PROVIDERS + 1):
                tasks.create_task(self._start_provider(f"provider-{index}"))
        self.members = dict(sorted(self.members.items()))

    async def _fund_client(self) -> None:
        made = await self.network.result("client", "wallet", "new")
        self.client = made["address"]
        await self.network.result("client", "wallet", "faucet", CLIENT_TOKENS, env=self._env)

    async def _start_provider(self, name: str) -> None:
        size = ("--sector-size", self.sector_size)
        made = await self.network.result(name, "provider", "init", *size, env=self._env)
        member = await self.network.start(name, "provider", "run", env=self._env)
        provider_id, api_url = member.ready["provider_id"], member.ready["api_url"]
        self.members[provider_id] = name
        self.owners[provider_id] = made["owner"]
        self.say(
            "provider",
            f"provider {provider_id}  {api_url}/v1/status",
            provider_id=provider_id,
            api_url=api_url,
            peer_id=member.ready["peer_id"],
        )

    @property
    def _env(self) -> dict[str, str]:
        return {"HOLDFAST_LEDGER_URL": self.ledger_url}

    async def store(self) -> dict[str, Any]:
        """Store the file with the command a user would give; tell what it tells."""
        self.scene(1, f"{self.source.name} is imported, and priced for {COPIES} copies")
        command = ("store", str(self.source), "--copies", str(COPIES), "--for", DURATION, "--yes")
        size = ("--sector-size", self.sector_size)
        result: dict[str, Any] = {}
        steps = self.network.run("client", *command, *size, env=self._env)
        async with contextlib.aclosing(steps):
            async for event in steps:
                if event["type"] == "quote":
                    self._tell_quote(event)
                    self.scene(2, "Deals are negotiated, blocks served, sectors sealed, proven")
                elif event["type"] == "step":
                    self._tell_step(event)
                else:
                    result = event
        return result

    def _tell_quote(self, event: dict[str, Any]) -> None:
        from chain.amount import format_amount

        total = format_amount(int(event["total_atto"]))
        self.say("quote", f"CID    {event['root_cid']}", **_without_type(event))
        self.say("quote-piece", f"piece  {event['piece_cid']}")
        self.say("quote-total", f"price  {total} tokens for all copies and {DURATION}, exactly")

    def _tell_step(self, event: dict[str, Any]) -> None:
        fields = _without_type(event)
        told = f"provider {event['provider_id']}: {told_step(event['stage'], event['detail'])}"
        if event["stage"] == "transferring" and event["total_bytes"]:
            done, total = event["done_bytes"], event["total_bytes"]
            told += f", {format_bytes(done)} of {format_bytes(total)}"
        self.say("step", told, **fields)

    async def watch_windows(self, ledger: "Ledger", deal_ids: Sequence[int]) -> None:
        """Wait until every deal was paid for two windows; tell each one."""
        self.scene(3, f"Every copy must be proven again in {WINDOWS} windows, or is not paid")
        proven = dict.fromkeys(deal_ids, 0)
        paid_atto = dict.fromkeys(deal_ids, 0)
        windows_paid = dict.fromkeys(deal_ids, 0)
        async for epoch, deals in _deals_at_heads(ledger, deal_ids):
            for deal in deals:
                if deal.windows_proven > proven[deal.id]:
                    earned_atto = deal.paid_atto - paid_atto[deal.id]
                    proven[deal.id], paid_atto[deal.id] = deal.windows_proven, deal.paid_atto
                    windows_paid[deal.id] += earned_atto > 0
                    self._tell_window(epoch, deal, earned_atto)
            if min(windows_paid.values()) >= WINDOWS:
                return

    def _tell_window(self, epoch: int, deal: "Deal", earned_atto: int) -> None:
        told = (
            f"is paid {earned_atto} atto"
            if earned_atto
            else f"is not paid yet: the deal's time starts at epoch {deal.proposal.start_epoch}"
        )
        self.say(
            "window-proven",
            f"epoch {epoch}: provider {deal.proposal.provider_id} answered window "
            f"{deal.windows_proven} of deal {deal.id} and {told}",
            deal_id=deal.id,
            epoch=epoch,
            paid_atto=str(earned_atto),
        )

    async def kill_one(self, ledger: "Ledger", deal_ids: Sequence[int]) -> None:
        """Kill a provider for good; wait until the ledger has seen what it missed."""
        deal = await ledger.deal(_deal_id(deal_ids[0]))
        victim = deal.proposal.provider_id
        self.scene(4, f"Provider {victim} is killed (SIGKILL)")
        await self.network.members[self.members[victim]].stop(signal.SIGKILL)
        async for epoch, deals in _deals_at_heads(ledger, deal_ids):
            [lost] = [one for one in deals if one.id == deal.id]
            if lost.windows_missed > deal.windows_missed:
                self.say(
                    "window-missed",
                    f"epoch {epoch}: its window passed without a proof; deal {lost.id} is "
                    f"{lost.state}, the period goes unpaid and back to the client",
                    deal_id=lost.id,
                    epoch=epoch,
                    state=lost.state,
                )
                return

    async def retrieve(self, root_cid: str) -> None:
        """Get the file back as a stranger who knows nothing but the CID; compare."""
        self.scene(5, "A stranger who knows only the CID retrieves it from whoever is left")
        target = self.network.folder / "retrieved" / self.source.name
        target.parent.mkdir()
        got = await self.network.result(
            "stranger", "retrieve", root_cid, "-o", str(target), env=self._env
        )
        if difference := first_difference(self.source, target):
            raise AssertionError(f"{difference} differs")
        self.say(
            "retrieved",
            f"{format_bytes(got['bytes'])} in {format_count(got['blocks'], 'block')}, each "
            "checked; identical to the original",
            **_without_type(got),
        )

    async def close(
        self, ledger: "Ledger", before: dict[str, int], root_cid: str, deal_ids: Sequence[int]
    ) -> None:
        """Tell who has what now, what was proven, and the verdict."""
        from chain.amount import format_amount

        self.scene(6, "The account")
        after = await self.balances(ledger)
        rows: list[tuple[object, ...]] = [
            (
                name,
                format_amount(before[name]),
                format_amount(after[name]),
                after[name] - before[name],
            )
            for name in before
        ]
        totals = sum(before.values()), sum(after.values())
        assert totals[0] == totals[1], "money is conserved"
        rows.append(("all", *map(format_amount, totals), totals[1] - totals[0]))
        self.out.event("balances", _indented(table(("", "before", "after", "change (atto)"), rows)))
        deals = [await ledger.deal(_deal_id(deal_id)) for deal_id in deal_ids]
        told = await self.network.result("client", "verdict", root_cid, env=self._env)
        deal_rows = [
            (
                deal.id,
                deal.proposal.provider_id,
                deal.state,
                deal.windows_proven,
                deal.windows_missed,
            )
            for deal in deals
        ]
        headings = ("deal", "provider", "state", "proofs answered", "missed")
        self.out.event("deals", _indented("\n" + table(headings, deal_rows)))
        seconds = time.monotonic() - self.began
        self.out.result(
            f"\nVerdict: {spoken(told['safety'])}, {told['proven_copies']} of {COPIES} copies are "
            f"proven. Took {seconds:.0f} s.\n"
            "Explore: holdfast demo --keep leaves the network up, and says how to look around.",
            root_cid=root_cid,
            deal_ids=list(deal_ids),
            safety=told["safety"],
            proven_copies=told["proven_copies"],
            balances_before_atto={name: str(value) for name, value in before.items()},
            balances_after_atto={name: str(value) for name, value in after.items()},
            windows_proven=sum(deal.windows_proven for deal in deals),
            windows_missed=sum(deal.windows_missed for deal in deals),
            seconds=round(seconds, 1),
        )

    async def balances(self, ledger: "Ledger") -> dict[str, int]:
        """Return what everybody owns, all of it counted."""
        from chain.keys import Address

        genesis = await ledger.genesis()
        names = {"client": self.client}
        names |= {f"provider {key}": owner for key, owner in sorted(self.owners.items())}
        names["ledger (fees)"] = genesis.ledger_address
        return {
            name: (await ledger.sender(Address(address))).account.balance_atto
            for name, address in names.items()
        }

    def tell_urls(self, root_cid: str) -> None:
        """Tell how to look around while the network is up."""
        home = self.network.folder / "client"
        self.out.event(
            "kept",
            f"\nThe network stays up; Ctrl-C ends it. Data: {self.network.folder}\n"
            f"  export HOLDFAST_HOME={home} HOLDFAST_LEDGER_URL={self.ledger_url}\n"
            f"  holdfast deals list; holdfast deals explain 1; holdfast verdict {root_cid}\n"
            f"  holdfast ledger audit {self.network.folder / 'ledger' / 'ledger'}\n"
            f"  {self.ledger_url}/schema is the ledger's API",
            folder=self.network.folder,
            ledger_url=self.ledger_url,
        )


async def _deals_at_heads(
    ledger: "Ledger", deal_ids: Sequence[int]
) -> AsyncIterator[tuple[int, list["Deal"]]]:
    async for head in ledger.heads():
        deals = [await ledger.deal(_deal_id(deal_id)) for deal_id in deal_ids]
        yield head.header.epoch, deals


def _deal_id(number: int) -> Any:
    from chain.units import DealId

    return DealId(number)


def _indented(text: str) -> str:
    return "\n".join(f"         {line}" for line in text.splitlines())


def _without_type(event: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in event.items() if key not in ("type", "kind", "text")}
