"""The gateway over HTTP: requests in, answers out, bounded in number and time."""

import asyncio
import logging
from collections.abc import Iterator, Mapping
from contextlib import aclosing, contextmanager
from http import HTTPStatus
from typing import Any, Final

from litestar import Controller, Litestar, Request, Response, route
from litestar.di import NamedDependency, Provide
from litestar.exceptions import HTTPException
from litestar.middleware import DefineMiddleware
from litestar.types import ASGIApp, Receive, Scope, Send

from ipfs.gateway.answers import Answer
from ipfs.gateway.errors import ContentLate, GatewayError, TooManyRequests
from ipfs.gateway.gateway import Gateway
from ipfs.gateway.headers import CORS
from ipfs.gateway.request import GatewayRequest

REQUESTS_MAX: Final = 4_096
"""Under way at a time (boxo's bound)."""

FIRST_BYTE_SECONDS: Final = 30.0
"""To find content and have its first byte (boxo's bound)."""

REQUEST_SECONDS: Final = 3_600.0
"""A visitor that reads for longer is cut, so that the slowest can't hold every place."""

ALWAYS: Final[Mapping[str, str]] = {
    **CORS,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Vary": "Accept",
}

AnyRequest = Request[Any, Any, Any]

log = logging.getLogger(__name__)


class GatewayController(Controller):
    """Content by path, as it is or in a form that can be verified."""

    @route(
        ["/ipfs", "/ipns", "/ipfs/{_:path}", "/ipns/{_:path}"],
        http_method=["GET", "HEAD"],
        media_type="application/octet-stream",
    )
    async def serve(self, request: AnyRequest, gateway: NamedDependency[Gateway]) -> ASGIApp:
        """Return what the path leads to."""
        wanted = GatewayRequest.parse(
            request.method,
            request.scope["raw_path"],
            request.scope["query_string"],
            dict(request.headers.items()),
        )
        try:
            async with asyncio.timeout(FIRST_BYTE_SECONDS):
                return _Reply(await gateway.answer(wanted), is_head=wanted.is_head)
        except TimeoutError as error:
            raise ContentLate(f"nothing came in {FIRST_BYTE_SECONDS:.0f} s") from error

    @route(["/ipfs/{_:path}", "/ipns/{_:path}"], http_method=["OPTIONS"], status_code=204)
    async def allow(self) -> Response[None]:
        """Tell a browser that any page may read."""
        return Response(None, status_code=HTTPStatus.NO_CONTENT, headers=dict(ALWAYS))


class _Reply:
    """An answer being sent."""

    def __init__(self, answer: Answer, *, is_head: bool) -> None:
        self._answer = answer
        self._is_head = is_head

    async def __call__(self, _scope: Scope, receive: Receive, send: Send) -> None:
        answer = self._answer
        named = {**ALWAYS, **answer.headers}
        is_whole = answer.rest is None and answer.status != HTTPStatus.NOT_MODIFIED
        if is_whole and not self._is_head:
            named.setdefault("Content-Length", str(len(answer.body)))
        await send(
            {
                "type": "http.response.start",
                "status": answer.status,
                "headers": [(name.lower().encode(), text.encode()) for name, text in named.items()],
            }
        )
        body = b"" if self._is_head else answer.body
        await _send_body(send, body, more_body=answer.rest is not None)
        if answer.rest is None:
            return
        # The server takes what is sent to a visitor who has gone: nothing else ends this.
        gone = asyncio.create_task(_hang_up(receive))
        try:
            async with aclosing(answer.rest) as rest:
                async for data in rest:
                    if gone.done():
                        return
                    await _send_body(send, data, more_body=True)
        finally:
            gone.cancel()
        await _send_body(send, b"", more_body=False)


async def _hang_up(receive: Receive) -> None:
    """Wait until the visitor has gone."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def _send_body(send: Send, data: bytes, *, more_body: bool) -> None:
    await send({"type": "http.response.body", "body": data, "more_body": more_body})


class Room:
    """How many more requests are let in, to whatever route."""

    def __init__(self, requests_max: int) -> None:
        self.free = requests_max

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Take a place. Raises `TooManyRequests`."""
        if not self.free:
            raise TooManyRequests("as many requests as are served at a time are under way")
        self.free -= 1
        try:
            yield
        finally:
            self.free += 1


class _Door:
    """What stands before every route: lets requests in while there is room, and none for ever."""

    def __init__(self, app: ASGIApp, *, room: Room) -> None:
        self._app = app
        self._room = room

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._room.entered():
            async with asyncio.timeout(REQUEST_SECONDS):
                await self._app(scope, receive, send)


def create_app(gateway: Gateway, *, requests_max: int = REQUESTS_MAX) -> Litestar:
    """Return the application over a gateway."""
    return Litestar(
        route_handlers=[GatewayController],
        dependencies={"gateway": Provide(lambda: gateway, sync_to_thread=False)},
        middleware=[DefineMiddleware(_Door, room=Room(requests_max))],
        exception_handlers={
            GatewayError: _refuse,
            HTTPException: _reject,
            Exception: _fail,
        },
        openapi_config=None,
        request_max_body_size=0,
        logging_config=None,
    )


def _refuse(_: AnyRequest, error: GatewayError) -> Response[dict[str, str]]:
    return _say(error.status, error.code, str(error), error.headers)


def _reject(_: AnyRequest, error: HTTPException) -> Response[dict[str, str]]:
    phrase = HTTPStatus(error.status_code).phrase
    return _say(error.status_code, phrase.lower().replace(" ", "-"), phrase, error.headers or {})


def _fail(_: AnyRequest, error: Exception) -> Response[dict[str, str]]:
    log.error("a request failed", exc_info=error)
    return _say(HTTPStatus.INTERNAL_SERVER_ERROR, "internal", "the gateway failed; see its log", {})


def _say(status: int, code: str, detail: str, more: Mapping[str, str]) -> Response[dict[str, str]]:
    return Response(
        {"code": code, "detail": detail}, status_code=status, headers={**ALWAYS, **more}
    )
