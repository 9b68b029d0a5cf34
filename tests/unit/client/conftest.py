"""A ledger that makes blocks when told to, and a client's settings that lead to it."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from chain import http
from chain.api import create_app
from client.config import ClientConfig
from tests.support.nodes import SteppedLedger, stepped_ledger


@pytest.fixture
def on(tmp_path: Path) -> Iterator[SteppedLedger]:
    with stepped_ledger(tmp_path / "ledger") as stepped:
        yield stepped


@pytest_asyncio.fixture
async def config(on: SteppedLedger) -> AsyncIterator[ClientConfig]:
    async with http.serving(create_app(on.node), host="127.0.0.1", port=0) as url:
        yield ClientConfig(ledger_url=url)
