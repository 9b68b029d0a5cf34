"""The provider over HTTP, to look at: how it stands, its deals, its sectors."""

import logging
from http import HTTPStatus
from typing import Any, Final

from litestar import Controller, Litestar, Request, Response, Router, get
from litestar.di import NamedDependency, Provide
from litestar.exceptions import HTTPException
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin, SwaggerRenderPlugin

from provider.node import ProviderNode
from provider.status import DealStatus, ProviderStatus, SectorStatus

BODY_BYTES_MAX: Final = 1024
"""Nothing is posted here."""

log = logging.getLogger(__name__)


class ProviderController(Controller):
    """What the operator may want to see."""

    path = "/v1"

    @get("/status")
    async def status(self, node: NamedDependency[ProviderNode]) -> ProviderStatus:
        """Return how the provider stands as a whole."""
        return await node.status()

    @get("/deals")
    async def deals(self, node: NamedDependency[ProviderNode]) -> tuple[DealStatus, ...]:
        """Return every promise that was made, and the deal that it became."""
        return await node.deals()

    @get("/sectors")
    async def sectors(self, node: NamedDependency[ProviderNode]) -> tuple[SectorStatus, ...]:
        """Return the sectors that are planned, being sealed, or proven."""
        return await node.sectors()


def create_app(node: ProviderNode) -> Litestar:
    """Return the application over a provider. Its OpenAPI document: `/schema/openapi.json`."""
    return Litestar(
        route_handlers=[Router("/", route_handlers=[ProviderController])],
        dependencies={"node": Provide(lambda: node, sync_to_thread=False)},
        exception_handlers={
            HTTPException: _reject,
            Exception: _fail,
        },
        openapi_config=OpenAPIConfig(
            title="Holdfast provider",
            version="1",
            render_plugins=[JsonRenderPlugin(), SwaggerRenderPlugin()],
        ),
        request_max_body_size=BODY_BYTES_MAX,
        logging_config=None,
    )


AnyRequest = Request[Any, Any, Any]


def _reject(_: AnyRequest, error: HTTPException) -> Response[dict[str, str]]:
    phrase = HTTPStatus(error.status_code).phrase
    return _say(error.status_code, phrase.lower().replace(" ", "-"), phrase)


def _fail(_: AnyRequest, error: Exception) -> Response[dict[str, str]]:
    log.error("a request failed", exc_info=error)
    return _say(HTTPStatus.INTERNAL_SERVER_ERROR, "internal", "the provider failed; see its log")


def _say(status: int, code: str, detail: str) -> Response[dict[str, str]]:
    return Response({"code": code, "detail": detail}, status_code=status)
