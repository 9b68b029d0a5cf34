"""What a gateway answers instead of content; statuses are the specification's (path-gateway)."""

from http import HTTPStatus
from typing import ClassVar

RETRY_SECONDS = 30
"""After which a busy or slow gateway may be asked again."""


class GatewayError(Exception):
    """The request has no content for an answer; `code` and `status` say why."""

    code: ClassVar[str]
    status: ClassVar[HTTPStatus]

    @property
    def headers(self) -> dict[str, str]:
        """Return the headers that go with it; no cache is to keep it."""
        may_be_retried = self.status in _RETRIED
        retry = {"Retry-After": str(RETRY_SECONDS)} if may_be_retried else {}
        return {"Cache-Control": "no-store", **retry}


_RETRIED = frozenset(
    (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.BAD_GATEWAY, HTTPStatus.GATEWAY_TIMEOUT)
)


class BadRequest(GatewayError):
    """The request makes no sense, whatever is stored."""

    code = "bad-request"
    status = HTTPStatus.BAD_REQUEST


class ContentNotFound(GatewayError):
    """The path leads nowhere, or what it leads to is not here and not to be had."""

    code = "not-found"
    status = HTTPStatus.NOT_FOUND


class FormatNotAcceptable(GatewayError):
    """The content can't be given in the form that is asked for."""

    code = "not-acceptable"
    status = HTTPStatus.NOT_ACCEPTABLE


class ContentDenied(GatewayError):
    """The operator does not serve this."""

    code = "denied"
    status = HTTPStatus.GONE


class NotCached(GatewayError):
    """It is not here, and only what is was asked for (`only-if-cached`)."""

    code = "not-cached"
    status = HTTPStatus.PRECONDITION_FAILED


class PathTooLong(GatewayError):
    """The path has more bytes or names than any that is served."""

    code = "path-too-long"
    status = HTTPStatus.REQUEST_URI_TOO_LONG


class RangeUnsatisfiable(GatewayError):
    """No byte of the range is in the file."""

    code = "range-unsatisfiable"
    status = HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE

    def __init__(self, size_bytes: int) -> None:
        super().__init__(f"the file has {size_bytes} bytes")
        self.size_bytes = size_bytes

    @property
    def headers(self) -> dict[str, str]:
        """Return the headers that go with it."""
        return {"Cache-Control": "no-store", "Content-Range": f"bytes */{self.size_bytes}"}


class TooManyRequests(GatewayError):
    """As many requests as are served at a time are under way."""

    code = "too-many-requests"
    status = HTTPStatus.TOO_MANY_REQUESTS


class PathIntoValue(GatewayError):
    """The path ends inside a block, at a value that is no link."""

    code = "path-into-value"
    status = HTTPStatus.NOT_IMPLEMENTED


class ContentUnavailable(GatewayError):
    """No peer that could be found gave a block."""

    code = "unavailable"
    status = HTTPStatus.BAD_GATEWAY


class ContentLate(GatewayError):
    """The first byte did not come in time."""

    code = "timeout"
    status = HTTPStatus.GATEWAY_TIMEOUT
