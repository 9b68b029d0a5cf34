"""`holdfast ipfs`: the client's own blocks, in Kubo's words."""

import typer

from cli.plumbing import adding, cars, keeping, names, network, reading

app = typer.Typer(
    help="The plumbing, in Kubo's words: blocks, pins, names and peers; needs no ledger.",
    no_args_is_help=True,
)
app.command("add")(adding.add)
app.command("cat")(reading.cat)
app.command("get")(reading.get)
app.command("ls")(reading.ls)
app.command("stat")(reading.stat)
app.command("refs")(reading.refs)
app.command("export")(cars.export)
app.command("import")(cars.import_)
app.add_typer(keeping.pin, name="pin")
app.command("gc")(keeping.gc)
app.command("scrub")(keeping.scrub)
app.command("id")(network.id_)
app.add_typer(network.swarm, name="swarm")
app.command("findprovs")(network.findprovs)
app.command("provide")(network.provide)
app.add_typer(names.name, name="name")
app.add_typer(names.key, name="key")
