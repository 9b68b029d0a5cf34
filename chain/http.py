"""Serving HTTP inside the running event loop: bounded in all it holds, known hosts only."""

import asyncio
import json
import resource
import socket
import sys
import threading
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from ipaddress import ip_address
from typing import Any, Final

from granian.constants import HTTPModes, Interfaces
from granian.http import HTTP1Settings
from granian.net import SocketHolder  # type: ignore[attr-defined]  # not in its __all__
from granian.server.embed import Server
from litestar import Litestar

HEADER_MILLISECONDS: Final = 5_000
"""A connection that has not sent its headers by then is cut."""

BODY_SECONDS_MAX: Final = 60.0
"""A body that has not come by then is taken for one that never will, however it trickles."""

UNREAD_SECONDS_MAX: Final = 60
"""A client that takes nothing of its answer for so long is cut."""

CONNECTIONS_MAX: Final = 5_000
"""At a time, where descriptors allow: more than the requests that a gateway serves, so that whoever
is one too many is told. The others wait in the system's queue.
"""

DESCRIPTORS_PER_CONNECTION: Final = 4
"""Of the descriptors that a process may have, so that two servers leave half to peers and files: a
server that runs out of them can't open its ledger, and tries in vain to accept all the time.
"""

STOP_SECONDS: Final = 2.0
"""For answers under way to be sent to their end."""

_BACKLOG: Final = 1_024


@asynccontextmanager
async def serving(
    app: Litestar,
    *,
    host: str,
    port: int,
    allowed_hosts: Collection[str] = (),
    body_seconds_max: float = BODY_SECONDS_MAX,
) -> AsyncIterator[str]:
    """Serve the app while the context is open; gives the URL it is reached at.

    port:           0 for any that is free
    allowed_hosts:  names in a `Host` header that are answered, besides `host` and loopback

    Raises `OSError` if the address is taken. On leaving, requests under way are cancelled.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.create_server((host, port), family=family, backlog=_BACKLOG)
    if sys.platform == "linux":
        # What is accepted inherits it; the HTTP server itself waits for readers for ever.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNREAD_SECONDS_MAX * 1_000)
    bound_port = listener.getsockname()[1]
    guarded = _Guarded(app, frozenset((host, *allowed_hosts)), body_seconds_max)
    server = _Embedded(guarded, listener, _connections_max())
    task = asyncio.create_task(server.serve())
    try:
        yield f"http://[{host}]:{bound_port}" if ":" in host else f"http://{host}:{bound_port}"
    finally:
        server.stop()  # type: ignore[no-untyped-call]  # granian annotates only its arguments
        guarded.cancel_all()
        await asyncio.wait({task})
        task.result()


def _connections_max() -> int:
    """Return how many connections a server may hold, after asking for descriptors for them."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = min(CONNECTIONS_MAX * DESCRIPTORS_PER_CONNECTION, hard)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        soft = wanted
    return min(CONNECTIONS_MAX, soft // DESCRIPTORS_PER_CONNECTION)


class _Embedded(Server):
    """Granian in our own loop, on our own socket: it would share its port with a second process."""

    _shd: Any  # declared as None, though it holds a socket

    def __init__(self, app: "_Guarded", listener: socket.socket, connections_max: int) -> None:
        super().__init__(
            app,
            interface=Interfaces.ASGINL,
            http=HTTPModes.http1,
            websockets=False,
            backlog=_BACKLOG,
            backpressure=connections_max,
            log_enabled=False,
            http1_settings=HTTP1Settings(header_read_timeout=HEADER_MILLISECONDS),
        )
        self._listener = listener

    def _init_shared_socket(self) -> None:
        # The server closes the socket when it ends: it is its owner from here on.
        descriptor = self._listener.detach()
        self._shd = SocketHolder(descriptor, False, self.backlog)  # type: ignore[call-arg]  # no stub

    async def _stop_workers(self) -> None:
        # The last that the server's thread does is to call us. Were that Python, it might still be
        # on its way back when the interpreter ends, which aborts the process.
        gone = threading.Lock()
        gone.acquire()
        await asyncio.sleep(0)  # A worker that was begun just now has yet to say whom it calls.
        for worker in self.wrks:
            worker._sig.add_cb(gone.release)  # noqa: SLF001
            worker.terminate()  # type: ignore[no-untyped-call]
            await asyncio.to_thread(gone.acquire, timeout=STOP_SECONDS)
            worker.kill()  # type: ignore[no-untyped-call]
        self.wrks.clear()


class _Guarded:
    """The app, for known `Host` headers and bodies that come; knows what is under way, to end it.

    A page from elsewhere can point a name of its own at 127.0.0.1 (DNS rebinding); its requests
    then carry that name, which is nobody's here.
    """

    def __init__(self, app: Litestar, names: Collection[str], body_seconds_max: float) -> None:
        self._app = app
        self._body_seconds_max = body_seconds_max
        self._names = {name.lower() for name in names} | {"localhost"}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._is_ending = False

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        task = asyncio.current_task()
        assert task is not None, "a request is served in a task"
        self._tasks.add(task)
        if self._is_ending:
            task.cancel()
        try:
            if self._is_known(dict(scope["headers"]).get(b"host", b"").decode("latin-1")):
                await self._app(scope, self._in_time(receive), send)
            else:
                await _refuse_host(send)
        finally:
            self._tasks.discard(task)

    def _in_time(self, receive: Any) -> Any:
        """Return what hears the body, and takes one that trickles for a client that has gone."""
        now = asyncio.get_running_loop().time
        deadline: float | None = now() + self._body_seconds_max

        async def hear() -> Any:
            nonlocal deadline
            try:
                async with asyncio.timeout_at(deadline):
                    message = await receive()
            except TimeoutError:
                return {"type": "http.disconnect"}
            if not message.get("more_body", False):
                deadline = None
            return message

        return hear

    def cancel_all(self) -> None:
        """Cancel the requests under way, and those that come yet."""
        self._is_ending = True
        for task in self._tasks:
            task.cancel()

    def _is_known(self, host: str) -> bool:
        name = host.lower().rpartition(":")[0] if _has_port(host) else host.lower()
        if name in self._names:
            return True
        try:
            return ip_address(name.strip("[]")).is_loopback
        except ValueError:
            return False


def _has_port(host: str) -> bool:
    return ":" in host.rpartition("]")[2]


async def _refuse_host(send: Any) -> None:
    body = json.dumps({"code": "foreign-host", "detail": "this host name is not served here"})
    headers = [(b"content-type", b"application/json")]
    await send({"type": "http.response.start", "status": 403, "headers": headers})
    await send({"type": "http.response.body", "body": body.encode()})
