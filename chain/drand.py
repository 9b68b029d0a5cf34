"""Rounds of a drand chain from several servers: the first that holds, whoever says it."""

import asyncio
import logging
from collections.abc import Sequence
from types import TracebackType
from typing import Annotated, Final, Self

import httpx
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from chain.config import HexBytes
from ipfs.http import http_client
from proofs.drand import DrandChain, Round, verify_round
from proofs.errors import ProofRejected

ANSWER_SECONDS: Final = 5.0
HEDGE_SECONDS: Final = 0.5
"""How long a source has before the next one is asked as well."""

ANSWER_BYTES_MAX: Final = 4_096

log = logging.getLogger(__name__)


class _Published(BaseModel):
    """The body of `GET /<chain hash>/public/<round>`."""

    model_config = ConfigDict(strict=True, extra="ignore")

    round: Annotated[int, Field(ge=1)]
    signature: HexBytes
    previous_signature: HexBytes = b""
    randomness: HexBytes | None = None


class RoundUnavailable(Exception):
    """No source gave the round. It may be due only later, or this machine may be cut off.

    reasons:  by the URL of each source
    """

    code = "round-unavailable"

    def __init__(self, number: int, reasons: dict[str, str]) -> None:
        told = "; ".join(f"{url}: {reason}" for url, reason in reasons.items())
        super().__init__(f"drand round {number}: {told}")
        self.number = number
        self.reasons = reasons


class _SourceFailed(Exception):
    """One source gave no round that holds."""


class _NotPublished(_SourceFailed):
    """The source has no such round, maybe only not yet."""


class DrandClient:
    """Asks several servers for a chain's rounds. An async context manager: it holds connections.

    urls:  of servers, or of relays that nobody needs to trust: every round is verified

    A source that failed is asked last from then on; to know no such round is no failure.
    """

    def __init__(
        self,
        chain: DrandChain,
        urls: Sequence[str],
        *,
        answer_seconds: float = ANSWER_SECONDS,
        hedge_seconds: float = HEDGE_SECONDS,
    ) -> None:
        if not urls:
            raise ValueError("a beacon needs a source")
        self._chain = chain
        self._urls = [url.rstrip("/") for url in dict.fromkeys(urls)]
        self._failing: set[str] = set()
        self._answer_seconds = answer_seconds
        self._hedge_seconds = hedge_seconds
        # A few bytes compressed could be many more, so nothing is.
        plain = {"accept-encoding": "identity"}
        self._http = http_client(timeout=answer_seconds, headers=plain)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._http.aclose()

    async def round(self, number: int) -> Round:
        """Return a round, verified.

        One source is asked, the next one too when it fails or is slow, and so on. Raises
        `RoundUnavailable` once all have failed, or one has no such round and the rest is silent.
        """
        untried, reasons = list(self._urls), dict[str, str]()
        tasks: dict[asyncio.Task[Round], str] = {}
        is_unpublished = False
        try:
            while untried or tasks:
                if untried:
                    url = untried.pop(0)
                    tasks[asyncio.create_task(self._ask(url, number))] = url
                done, _ = await asyncio.wait(
                    tasks,
                    timeout=self._hedge_seconds if untried or is_unpublished else None,
                    return_when=asyncio.FIRST_COMPLETED,
                )
                if not done and not untried:
                    reasons |= dict.fromkeys(tasks.values(), "silent")
                    break
                for task in done:
                    url = tasks.pop(task)
                    try:
                        found = task.result()
                        self._failing.discard(url)
                        return found
                    except _SourceFailed as failure:
                        reasons[url] = str(failure)
                        if isinstance(failure, _NotPublished):
                            is_unpublished = True
                        else:
                            self._ask_last(url, reasons[url])
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        raise RoundUnavailable(number, reasons)

    def _ask_last(self, url: str, reason: str) -> None:
        if url not in self._failing:
            log.warning("drand source %s: %s", url, reason)
        self._failing.add(url)
        self._urls.remove(url)
        self._urls.append(url)

    async def _ask(self, url: str, number: int) -> Round:
        """Ask one source. Raises `_SourceFailed`."""
        try:
            async with asyncio.timeout(self._answer_seconds):
                body = await self._get(f"{url}/{self._chain.chain_hash.hex()}/public/{number}")
            said = _Published.model_validate_json(body)
            if said.round != number:
                raise _SourceFailed(f"answered with round {said.round}")
            found = Round(number, said.signature, said.previous_signature)
            if said.randomness not in (None, found.randomness):
                raise _SourceFailed("the randomness is not that of the signature")
            await asyncio.to_thread(verify_round, self._chain, found)
        except TimeoutError as error:
            raise _SourceFailed("no answer in time") from error
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise _SourceFailed(f"{type(error).__name__}: {error}") from error
        except ValidationError as error:
            raise _SourceFailed("the answer is no round") from error
        except ProofRejected as error:
            raise _SourceFailed(error.reason) from error
        return found

    async def _get(self, url: str) -> bytes:
        body = b""
        async with self._http.stream("GET", url) as answer:
            if answer.status_code in (httpx.codes.NOT_FOUND, httpx.codes.TOO_EARLY):
                raise _NotPublished(f"answered {answer.status_code}")
            if answer.status_code != httpx.codes.OK:
                raise _SourceFailed(f"answered {answer.status_code}")
            async for chunk in answer.aiter_raw():
                body += chunk
                if len(body) > ANSWER_BYTES_MAX:
                    raise _SourceFailed("the answer is too long")
        return body
