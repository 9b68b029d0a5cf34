"""Asking over HTTP: of whom we mean, and on no connection that may just be ending."""

from typing import Any, Final

import httpx

IDLE_SECONDS_MAX: Final = 2.0
"""An unused connection is let go of by then. Servers cut idle ones, ours after five seconds, and a
request that crosses the cut is lost, while nobody can say whether it was served.
"""


def http_client(*, connections_max: int = 100, **settings: Any) -> httpx.AsyncClient:
    """Return a client that heeds no proxy of the environment; the settings are httpx's."""
    limits = httpx.Limits(max_connections=connections_max, keepalive_expiry=IDLE_SECONDS_MAX)
    return httpx.AsyncClient(limits=limits, trust_env=False, **settings)
