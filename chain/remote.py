"""A ledger node over HTTP: the `Ledger` port, as roles on other machines hold it."""

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from types import TracebackType
from typing import Any, Final, Self, TypeVar

import httpx
from pydantic import TypeAdapter, ValidationError

from chain.block import Genesis, LedgerBlock, Receipt, SignedHeader
from chain.deal import Deal, Reservation
from chain.errors import Expired, LedgerError, NotFound
from chain.explain import Explanation
from chain.keys import Address
from chain.ledger import LedgerUnreachable, SenderState
from chain.messages import SignedMessage
from chain.provider import Provider
from chain.randomness import drawn_from
from chain.sector import Sector
from chain.submission import Submission
from chain.units import DealId, Epoch, ProviderId
from ipfs.block import Block
from ipfs.cid import CID
from ipfs.http import http_client
from ipfs.record import Record
from proofs.errors import ProofRejected

WAIT_SECONDS: Final = 20
"""How long a request asks the node to wait for news."""

ANSWER_SECONDS: Final = 30.0
CONNECT_SECONDS: Final = 5.0
RETRY_SECONDS_MIN: Final = 0.1
RETRY_SECONDS_MAX: Final = 5.0

Kind = TypeVar("Kind", bound=Record)
log = logging.getLogger(__name__)


class RefusedByLedger(LedgerError):
    """A refusal that crossed HTTP: the original's code and sentence."""

    code = "refused-by-ledger"

    def __init__(self, code: str, detail: str) -> None:
        Exception.__init__(self, detail)
        self.code = code  # type: ignore[misc]  # the original's
        self.detail = detail


class NotFoundByLedger(RefusedByLedger, NotFound):
    """A `NotFound` that crossed HTTP."""


class ExpiredByLedger(RefusedByLedger, Expired):
    """An `Expired` that crossed HTTP."""


_REFUSALS: Final = {NotFound.code: NotFoundByLedger, Expired.code: ExpiredByLedger}


class RemoteLedger:
    """The ledger at a URL. An async context manager: it holds connections.

    Headers are believed when the ledger of its genesis signed them and they carry the genesis's
    beacon; whose genesis that is the caller checks. Everything else is the node's word.

    Every call raises `LedgerUnreachable` when the node is down, but for `heads` and `receipt`,
    which wait, say so in the log, and try again.
    """

    def __init__(self, url: str) -> None:
        self._url = url.rstrip("/")
        timeout = httpx.Timeout(ANSWER_SECONDS + WAIT_SECONDS, connect=CONNECT_SECONDS)
        self._genesis: Genesis | None = None
        self._http = http_client(base_url=f"{self._url}/v1", timeout=timeout)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._http.aclose()

    async def genesis(self) -> Genesis:
        """Return where the chain began. Asked for once: a chain keeps its genesis."""
        if self._genesis is None:
            self._genesis = await self._one(Genesis, "/genesis")
        return self._genesis

    async def head(self) -> SignedHeader:
        """Return the newest block's header."""
        return await self._header("/head")

    async def heads(self) -> AsyncIterator[SignedHeader]:
        """Yield the head now, then each newer one; waits while the ledger is down."""
        epoch = -1
        patience = _Patience(self._url)
        while True:
            query = {"after": epoch, "wait_seconds": WAIT_SECONDS} if epoch >= 0 else {}
            try:
                head = await self._header("/head", **query)
            except LedgerUnreachable as error:
                await patience.wait(error)
                continue
            patience.rest()
            if head.header.epoch > epoch:
                epoch = head.header.epoch
                yield head

    async def beacon(self, epoch: Epoch) -> bytes:
        """Return the 32 bytes of randomness of a closed epoch. Raises `NotFound`."""
        header = (await self._header(f"/headers/{epoch}")).header
        if header.epoch != epoch:
            raise LedgerUnreachable(self._url, f"not the header of epoch {epoch}")
        return drawn_from(header.beacon)

    async def sender(self, address: Address) -> SenderState:
        """Return the account and the nonce that its next message must carry."""
        return _parse(_SENDER, await self._get(f"/accounts/{address}"), self._url)

    async def submit(self, message: SignedMessage, proofs: Sequence[Block] = ()) -> CID:
        """Hand in a message, its proofs beside it; return its id once it is admitted."""
        body = Submission.of(message, proofs).encode()
        await self._ask(
            "POST", "/messages", content=body, headers={"content-type": "application/cbor"}
        )
        return message.id

    async def receipt(self, message_id: CID) -> Receipt:
        """Wait for the message's receipt, which means durable; waits while the ledger is down.

        Raises `Expired` if it can't enter any block any more, `NotFound` if the ledger does not
        know it: submit it again.
        """
        patience = _Patience(self._url)
        while True:
            try:
                answer = await self._get(
                    f"/messages/{message_id}/receipt", wait_seconds=WAIT_SECONDS
                )
            except LedgerUnreachable as error:
                await patience.wait(error)
                continue
            patience.rest()
            if answer.status_code == httpx.codes.OK:
                return _parse(TypeAdapter(Receipt), answer, self._url)

    async def block(self, epoch: Epoch) -> LedgerBlock:
        """Return an epoch's block. Raises `NotFound`."""
        return await self._one(LedgerBlock, f"/blocks/{epoch}")

    async def proof(self, cid: CID) -> bytes:
        """Return a proof's bytes. Raises `NotFound` once they are not kept any more."""
        return (await self._get(f"/proofs/{cid}")).content

    async def providers(self) -> tuple[Provider, ...]:
        """Return the registry."""
        return await self._many(Provider, "/providers")

    async def provider(self, provider_id: ProviderId) -> Provider:
        """Return one provider. Raises `NotFound`."""
        return await self._one(Provider, f"/providers/{provider_id}")

    async def deal(self, deal_id: DealId) -> Deal:
        """Return one deal. Raises `NotFound`."""
        return await self._one(Deal, f"/deals/{deal_id}")

    async def deals(
        self,
        *,
        client: Address | None = None,
        provider_id: ProviderId | None = None,
        root_cid: CID | None = None,
    ) -> tuple[Deal, ...]:
        """Return the deals that fit every filter given, oldest first."""
        filters = {"client": client, "provider_id": provider_id, "root_cid": root_cid}
        given = {name: str(value) for name, value in filters.items() if value is not None}
        return await self._many(Deal, "/deals", **given)

    async def deal_of(self, proposal_cid: CID) -> Deal | None:
        """Return the deal that a proposal became, None if it is not published."""
        found = await self._many(Deal, "/deals", proposal_cid=str(proposal_cid))
        return found[0] if found else None

    async def explanation(self, deal_id: DealId) -> Explanation:
        """Return whose move a deal waits for. Raises `NotFound`."""
        return await self._one(Explanation, f"/deals/{deal_id}/explain")

    async def reservations(self, provider_id: ProviderId) -> tuple[Reservation, ...]:
        """Return the money set aside for proposals to this provider."""
        return await self._many(Reservation, f"/providers/{provider_id}/reservations")

    async def sectors(self, provider_id: ProviderId) -> tuple[Sector, ...]:
        """Return the provider's sectors, by number."""
        return await self._many(Sector, f"/providers/{provider_id}/sectors")

    async def _header(self, path: str, **query: Any) -> SignedHeader:
        signed = await self._one(SignedHeader, path, **query)
        genesis = await self.genesis()
        if signed.header.chain_id != genesis.chain_id or not signed.is_signed_by(
            genesis.ledger_address
        ):
            raise LedgerUnreachable(self._url, "not a header signed by the chain's key")
        try:
            # Off the event loop: without arkworks it takes a quarter of a second.
            await asyncio.to_thread(genesis.verify_beacon, signed.header)
        except ProofRejected as error:
            raise LedgerUnreachable(self._url, f"not the chain's beacon: {error}") from error
        return signed

    async def _one(self, kind: type[Kind], path: str, **query: Any) -> Kind:
        return _parse(TypeAdapter(kind), await self._get(path, **query), self._url)

    async def _many(self, kind: type[Kind], path: str, **query: Any) -> tuple[Kind, ...]:
        answer = await self._get(path, **query)
        kinds = tuple[kind, ...]  # type: ignore[valid-type]  # made at run time
        return _parse(TypeAdapter(kinds), answer, self._url)

    async def _get(self, path: str, **query: Any) -> httpx.Response:
        return await self._ask("GET", path, params=query)

    async def _ask(self, method: str, path: str, **details: Any) -> httpx.Response:
        try:
            answer = await self._http.request(method, path, **details)
        except httpx.TransportError as error:
            raise LedgerUnreachable(self._url, str(error) or type(error).__name__) from error
        if answer.status_code >= httpx.codes.INTERNAL_SERVER_ERROR:
            raise LedgerUnreachable(self._url, f"HTTP {answer.status_code} {answer.reason_phrase}")
        if answer.is_error:
            raise _refusal(answer, self._url)
        return answer


class _Patience:
    """Waits longer each time in a row, and says once that it does."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._seconds = RETRY_SECONDS_MIN

    async def wait(self, error: LedgerUnreachable) -> None:
        """Wait before the next attempt."""
        if self._seconds == RETRY_SECONDS_MIN:
            log.warning("%s Trying again until it answers.", error)
        await asyncio.sleep(self._seconds)
        self._seconds = min(self._seconds * 2, RETRY_SECONDS_MAX)

    def rest(self) -> None:
        """Note that it answered."""
        if self._seconds > RETRY_SECONDS_MIN:
            log.info("the ledger at %s answers again", self._url)
        self._seconds = RETRY_SECONDS_MIN


Parsed = TypeVar("Parsed")
_SENDER: Final = TypeAdapter(SenderState)


def _parse(kind: TypeAdapter[Parsed], answer: httpx.Response, url: str) -> Parsed:
    try:
        return kind.validate_json(answer.content)
    except ValidationError as error:
        raise LedgerUnreachable(url, f"not a ledger's answer at {answer.url.path}") from error


def _refusal(answer: httpx.Response, url: str) -> Exception:
    try:
        said = answer.json()
        code, detail = said["code"], said["detail"]
    except (ValueError, LookupError, TypeError):
        return LedgerUnreachable(url, f"not a ledger's answer: HTTP {answer.status_code}")
    return _REFUSALS.get(code, RefusedByLedger)(code, detail)
