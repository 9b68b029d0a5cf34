"""A process of its own: puts blocks into a store and says which are acknowledged, for ever."""

import itertools
import sys
from pathlib import Path

from ipfs.block import Block
from ipfs.cid import Codec
from ipfs.disk import DiskBlockstore


def block(number: int) -> Block:
    """Return the block of this number, of some thousands of bytes."""
    return Block.of(Codec.RAW, number.to_bytes(4) * (1 + number * 37 % 5000))


def main(folder: Path, start: int) -> None:
    """Put and delete numbered blocks; say each step once it is durable, deletions also before."""
    with DiskBlockstore(folder, segment_bytes_max=200_000) as store:
        for number in itertools.count(start, 3):
            store.put([block(number), block(number + 1), block(number + 2)])
            say("put", number, number + 1, number + 2)
            say("deleting", number, number + 1)
            store.delete([block(number).cid, block(number + 1).cid])
            say("deleted", number, number + 1)


def say(*words: object) -> None:
    """Print a line that is seen at once."""
    print(*words, flush=True)  # noqa: T201 - read by the test


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
