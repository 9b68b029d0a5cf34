"""`holdfast ipfs name` and `key`: names that can be pointed from one folder to the next."""

from typing import Annotated

import typer

from cli.plumbing.network import joined
from cli.plumbing.words import PathArgument, PeerOption, full_path
from cli.render import HomeOption, JsonFlag, LedgerOption, Output, finish, table
from cli.settings import client_settings
from cli.words import parse_name, parse_seconds

SELF = "self"
SECOND_NS = 10**9
name = typer.Typer(help="IPNS: names of yours that point at content.", no_args_is_help=True)
key = typer.Typer(help="The keys that are your names.", no_args_is_help=True)

QuieterOption = Annotated[bool, typer.Option("-Q", "--quieter", help="Print the outcome only.")]


@name.command("publish")
def publish(
    path: PathArgument,
    key: Annotated[str, typer.Option("--key", help="Which of your names: see `key list`.")] = SELF,
    lifetime: Annotated[
        str, typer.Option("-t", "--lifetime", help="How long this holds; say it again before.")
    ] = "48h",
    ttl: Annotated[
        str, typer.Option("--ttl", help="How long readers may go on before they look again.")
    ] = "5m",
    quieter: QuieterOption = False,
    peer: PeerOption = None,
    home: HomeOption = None,
    ledger: LedgerOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Point a name of yours at content, for anybody who looks it up on the DHT.

    The network forgets a record after 48 hours, whatever its lifetime.
    """

    async def work(out: Output) -> None:
        from client.plumbing.session import open_keys

        target = full_path(path)
        lifetime_ns, ttl_ns = (parse_seconds(text) * SECOND_NS for text in (lifetime, ttl))
        folder, config = client_settings(home, ledger)
        keys = open_keys(folder)
        identity, last = keys.find(key), keys.last_record(key)
        async with joined(folder, config, peer) as network:
            record = await network.publish(
                identity, target, last=last, lifetime_ns=lifetime_ns, ttl_ns=ttl_ns
            )
        keys.remember(key, record)
        told = identity.peer_id.to_cid_text()
        out.result(
            told if quieter else f"Published to {told}: {target}",
            name=told,
            value=target,
            sequence=record.sequence,
            valid_until=record.validity,
        )

    finish(as_json, work)


@name.command("resolve")
def resolve(
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="k51…, 12D3…, Qm…. Default: your own.")
    ] = None,
    quieter: QuieterOption = False,  # noqa: ARG001 - there is nothing else to print
    peer: PeerOption = None,
    home: HomeOption = None,
    ledger: LedgerOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Print the path that a name points at, through other names if it points at one."""

    async def work(out: Output) -> None:
        from client.plumbing.session import open_keys

        folder, config = client_settings(home, ledger)
        start = open_keys(folder).find(SELF).peer_id if name is None else parse_name(name)
        async with joined(folder, config, peer) as network:
            path = await network.resolve(start)
        out.result(path, name=start.to_cid_text(), value=path)

    finish(as_json, work)


@key.command("gen")
def key_gen(
    name: Annotated[str, typer.Argument(metavar="NAME", help="How you call it.")],
    home: HomeOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Make a key, and so a name that can be pointed at content."""

    async def work(out: Output) -> None:
        from client.plumbing.session import open_keys

        folder, _ = client_settings(home, None)
        told = open_keys(folder).make(name).peer_id.to_cid_text()
        out.result(told, name=name, id=told)

    finish(as_json, work)


@key.command("list")
def key_list(home: HomeOption = None, as_json: JsonFlag = False) -> None:
    """List your keys, each with the name that others look up."""

    async def work(out: Output) -> None:
        from client.plumbing.session import open_keys

        folder, _ = client_settings(home, None)
        keys = open_keys(folder)
        rows = [(keys.find(each).peer_id.to_cid_text(), each) for each in keys.names()]
        told = [{"name": each, "id": identity} for identity, each in rows]
        out.result(table(("id", "name"), rows), keys=told)

    finish(as_json, work)
