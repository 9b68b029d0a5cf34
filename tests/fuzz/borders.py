"""Lets atheris look for bytes that a border answers with anything but a `PeerError`.

    make fuzz BORDER=dag-cbor SECONDS=600

Starts from the hostile vectors of the kind and what earlier runs kept in `.fuzz/`. Other arguments
are libFuzzer's. What is found is printed as a traceback, and its bytes go to a file `crash-…`.
"""

import hashlib
import sys
from pathlib import Path

import atheris

# Compiled to count branches, which is what guides the search.
with atheris.instrument_imports(include=["ipfs", "chain"]):
    from ipfs.blockstore import BlockNotFound
    from ipfs.errors import PeerError
    from tests.support.borders import BORDERS
    from tests.support.vectors import own


def main() -> None:
    name, *arguments = sys.argv[1:]
    read = BORDERS[name]

    def answer(data: bytes) -> None:
        try:
            read(data)
        except (PeerError, BlockNotFound):
            return

    corpus = Path(".fuzz", name)
    corpus.mkdir(parents=True, exist_ok=True)
    for item in own("hostile.json")["items"]:
        if item["kind"] == name and item["hex"]:
            seed = bytes.fromhex(item["hex"])
            (corpus / hashlib.sha1(seed, usedforsecurity=False).hexdigest()).write_bytes(seed)
    atheris.Setup([sys.argv[0], *arguments, str(corpus)], answer)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
