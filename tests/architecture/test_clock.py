"""The clock that every async test runs on, and what it must not do."""

import asyncio
import threading

from tests.support.unhurried import TURN_SECONDS_MAX, UnhurriedLoop


async def test_who_was_held_finds_its_timers_as_far_off_as_they_were() -> None:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, UnhurriedLoop)
    before = loop.time()
    async with asyncio.timeout(0.1):
        threading.Event().wait(0.2)
        await asyncio.sleep(0)
    assert loop.time() - before <= 2 * TURN_SECONDS_MAX


async def test_time_passes_for_who_waits() -> None:
    loop = asyncio.get_running_loop()
    before = loop.time()
    await asyncio.wait([loop.create_future()], timeout=0.02)
    assert loop.time() - before >= 0.02
