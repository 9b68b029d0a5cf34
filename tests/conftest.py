"""What every test shares: it is judged by what it finds, not by how fast, nor by luck."""

import asyncio
from collections.abc import Callable, Mapping

from hypothesis import settings

from tests.support.unhurried import UnhurriedLoop

# No deadline, and the same examples in each run: what is at fault is what was changed. Others are
# looked for with `pytest --hypothesis-profile=default`.
settings.load_profile("ci")


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Run each async test on a clock that waits for whoever was not let work."""
    return {"unhurried": UnhurriedLoop}
