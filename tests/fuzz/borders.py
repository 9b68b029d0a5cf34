"""Lets atheris look for bytes that a border answers with anything but a `PeerError`.

    make fuzz BORDER=dag-cbor SECONDS=600

Starts from the sample of the border, the hostile vectors of its kind, and what earlier runs kept in
`.fuzz/`. Other arguments are libFuzzer's. What is found is printed as a traceback, and its bytes
go to a file `.fuzz/crash-…`.
"""

import hashlib
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import atheris

# Compiled to count branches, which is what guides the search.
with atheris.instrument_imports(include=["ipfs", "chain", "market"]):
    from ipfs.errors import PeerError
    from tests.support.borders import BORDERS
    from tests.support.vectors import own


def main() -> None:
    name, *arguments = sys.argv[1:]
    corpus = Path(".fuzz", name)
    corpus.mkdir(parents=True, exist_ok=True)
    for seed in seeds(name):
        (corpus / hashlib.sha1(seed, usedforsecurity=False).hexdigest()).write_bytes(seed)
    options = ["-artifact_prefix=.fuzz/", *arguments]
    atheris.Setup([sys.argv[0], *options, str(corpus)], BORDERS[name].answers)
    atheris.Fuzz()


def seeds(name: str) -> Iterator[bytes]:
    border = BORDERS[name]
    yield border.sample
    for item in own("hostile.json")["items"]:
        if item["kind"] == name and item["hex"]:
            with suppress(PeerError):
                yield from border.frames(bytes.fromhex(item["hex"]))


if __name__ == "__main__":
    main()
