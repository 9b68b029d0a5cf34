"""What every test shares: it is judged by what it finds, not by how fast."""

import asyncio
from collections.abc import Callable, Mapping

from hypothesis import settings

from tests.support.unhurried import UnhurriedLoop

settings.register_profile("holdfast", deadline=None)
settings.load_profile("holdfast")


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Run each async test on a clock that waits for whoever was not let work."""
    return {"unhurried": UnhurriedLoop}
