"""A process with a sealing worker: prints the worker's process id, then waits to be killed."""

import asyncio
import contextlib
import multiprocessing
from pathlib import Path

from chain.units import SectorNumber
from proofs.parameters import ProofType
from proofs.registry import parameters_of
from provider.disk import StagedSector
from provider.sealing import SealingFailed, SealingPool
from provider.sealing_plan import SealingPlan


async def main() -> None:
    """Keep a worker waiting for a second job."""
    nowhere = StagedSector((), Path("absent/data"), Path("absent/replica"))
    async with SealingPool(SealingPlan(ProofType.SDR_2KIB, workers=1, together=1)) as pool:
        with contextlib.suppress(SealingFailed):
            small = parameters_of(ProofType.SDR_2KIB)
            await pool.seal(SectorNumber(0), small, bytes(32), nowhere)
        [worker] = multiprocessing.active_children()
        print(worker.pid, flush=True)  # noqa: T201 - whoever started us reads it
        await asyncio.get_running_loop().create_future()


if __name__ == "__main__":
    asyncio.run(main())
