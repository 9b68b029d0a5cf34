"""A ledger that settles messages without a pause, and prints the id of each once it is durable."""

import asyncio
import sys
from pathlib import Path

from chain.messages import DrawFaucet
from chain.units import Atto
from tests.support.nodes import stepped_ledger


async def settle_forever(folder: Path) -> None:
    with stepped_ledger(folder) as on:
        while True:
            receipt = await on.does("alice", DrawFaucet(amount_atto=Atto(1)))
            sys.stdout.write(f"{receipt.message_id}\n")
            sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(settle_forever(Path(sys.argv[1])))
