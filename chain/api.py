"""The ledger over HTTP: messages in, state out. Errors are a code and a sentence."""

import asyncio
import logging
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated, Any, Final

from litestar import Controller, Litestar, Request, Response, Router, get, post
from litestar.di import NamedDependency, Provide
from litestar.exceptions import HTTPException
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin, SwaggerRenderPlugin
from litestar.openapi.spec import (
    OpenAPIFormat,
    OpenAPIMediaType,
    OpenAPIType,
    Operation,
    RequestBody,
    Schema,
)
from litestar.params import FromPath, FromQuery, PathParameter, QueryParameter
from litestar.plugins import OpenAPISchemaPlugin
from litestar.typing import FieldDefinition
from pydantic import ValidationError

from chain.block import Genesis, LedgerBlock, Receipt, SignedHeader
from chain.deal import Deal, Reservation
from chain.errors import LedgerError, NotFound
from chain.explain import Explanation
from chain.keys import Address, public_key_of
from chain.ledger import SenderState
from chain.local import LocalLedger
from chain.messages import SignedMessage
from chain.node import LedgerNode
from chain.policy import Policy
from chain.provider import Provider
from chain.sector import Sector
from chain.sqlite import DatabaseFull
from chain.submission import Submission, submission_bytes_max
from chain.units import DealId, Epoch, ProviderId
from ipfs.block import Block
from ipfs.cid import CID
from ipfs.errors import MalformedBytes, PeerError
from ipfs.record import BigNatural, Record

BODY_SECONDS: Final = 60
"""A body that takes longer is a connection held, not a proof sent."""

JSON_BYTES_MAX: Final = 64 * 1024
"""For trying things out by hand; proofs travel as DAG-CBOR."""

CBOR: Final = "application/cbor"
log = logging.getLogger(__name__)

# As text, because Litestar would take "1e3", "1_000" and "+1" for numbers.
_NUMBER: Final = r"^(0|[1-9][0-9]{0,14})$"
PathNumber = Annotated[str, PathParameter(pattern=_NUMBER)]
QueryNumber = Annotated[str | None, QueryParameter(pattern=_NUMBER)]
WaitSeconds = Annotated[str, QueryParameter(pattern=r"^([12]?[0-9]|30)$")]
"""How long a request may wait for news: up to 30."""


class Admitted(Record):
    """A message waits for a block; its receipt, awaited by id, means durable."""

    id: CID


class ScalarSchemas(OpenAPISchemaPlugin):
    """Describes what travels as text: CIDs and amounts."""

    @staticmethod
    def is_plugin_supported_type(value: Any) -> bool:
        """Whether the type is one of ours that JSON has as text."""
        return isinstance(value, type) and issubclass(value, CID | BigNatural)

    def to_openapi_schema(
        self,
        field_definition: FieldDefinition,
        schema_creator: Any,  # noqa: ARG002  the plugin's interface
    ) -> Schema:
        """Return the schema of one such field."""
        if issubclass(field_definition.annotation, CID):
            return Schema(type=OpenAPIType.STRING, description="A CID")
        return Schema(type=OpenAPIType.STRING, pattern=r"^[0-9]+$", description="An amount of atto")


@dataclass
class SubmitOperation(Operation):
    """Describes the body of `submit`, which Litestar hands over unread."""

    def __post_init__(self) -> None:
        binary = Schema(
            type=OpenAPIType.STRING, format=OpenAPIFormat.BINARY, description="A `Submission`"
        )
        record = Schema(type=OpenAPIType.OBJECT, description="A `Submission`, bytes as hex")
        self.request_body = RequestBody(
            required=True,
            content={
                CBOR: OpenAPIMediaType(schema=binary),
                "application/json": OpenAPIMediaType(schema=record),
            },
        )


class MessageController(Controller):
    """What is said to the ledger."""

    path = "/messages"

    @post("/", status_code=HTTPStatus.ACCEPTED, operation_class=SubmitOperation)
    async def submit(
        self,
        request: Request[Any, Any, Any],
        ledger: NamedDependency[LocalLedger],
        reader: NamedDependency[Executor],
    ) -> Admitted:
        """Admit one `Submission`: a signed message and its proofs, as DAG-CBOR or as JSON."""
        async with asyncio.timeout(BODY_SECONDS):
            body = await request.body()
        is_cbor, policy = request.content_type[0] == CBOR, (await ledger.genesis()).policy
        loop = asyncio.get_running_loop()
        signed, proofs = await loop.run_in_executor(reader, _read, body, is_cbor, policy)
        return Admitted(id=await ledger.submit(signed, proofs))

    @get("/{message_id:str}/receipt")
    async def receipt(
        self,
        message_id: FromPath[str],
        ledger: NamedDependency[LocalLedger],
        wait_seconds: WaitSeconds = "0",
    ) -> Response[Receipt | Admitted]:
        """Return a message's receipt; 202 and its id while it still waits for a block."""
        cid = CID.parse(message_id)
        try:
            async with asyncio.timeout(int(wait_seconds)):
                await ledger.leaves_mempool(cid)
        except TimeoutError:
            return Response(Admitted(id=cid), status_code=HTTPStatus.ACCEPTED)
        return Response(await ledger.receipt(cid))


class ChainController(Controller):
    """Blocks, and what they rest on."""

    @get("/genesis")
    async def genesis(self, ledger: NamedDependency[LocalLedger]) -> Genesis:
        """Return where the chain began."""
        return await ledger.genesis()

    @get("/head")
    async def head(
        self,
        ledger: NamedDependency[LocalLedger],
        after: QueryNumber = None,
        wait_seconds: WaitSeconds = "0",
    ) -> SignedHeader:
        """Return the newest header; waits for one of an epoch later than `after`, if given."""
        try:
            async with asyncio.timeout(int(wait_seconds)):
                return await ledger.head() if after is None else await ledger.head_after(int(after))
        except TimeoutError:
            return await ledger.head()

    @get("/blocks/{epoch:str}")
    async def block(self, epoch: PathNumber, ledger: NamedDependency[LocalLedger]) -> LedgerBlock:
        """Return an epoch's block."""
        return await ledger.block(Epoch(int(epoch)))

    @get("/headers/{epoch:str}")
    async def header(self, epoch: PathNumber, ledger: NamedDependency[LocalLedger]) -> SignedHeader:
        """Return the header of a closed epoch: its beacon is the epoch's randomness, signed."""
        return await ledger.header(Epoch(int(epoch)))

    @get("/proofs/{cid:str}", media_type="application/octet-stream")
    async def proof(self, cid: FromPath[str], ledger: NamedDependency[LocalLedger]) -> bytes:
        """Return a proof's bytes, for as long as they are kept."""
        return await ledger.proof(CID.parse(cid))

    @get("/accounts/{address:str}")
    async def account(
        self, address: FromPath[str], ledger: NamedDependency[LocalLedger]
    ) -> SenderState:
        """Return an account and the nonce that its next message must carry."""
        return await ledger.sender(_address(address))


class ProviderController(Controller):
    """The registry, and what providers hold."""

    path = "/providers"

    @get("/")
    async def providers(self, ledger: NamedDependency[LocalLedger]) -> tuple[Provider, ...]:
        """Return the registry."""
        return await ledger.providers()

    @get("/{provider_id:str}")
    async def provider(
        self, provider_id: PathNumber, ledger: NamedDependency[LocalLedger]
    ) -> Provider:
        """Return one provider."""
        return await ledger.provider(ProviderId(int(provider_id)))

    @get("/{provider_id:str}/sectors")
    async def sectors(
        self, provider_id: PathNumber, ledger: NamedDependency[LocalLedger]
    ) -> tuple[Sector, ...]:
        """Return the provider's sectors, by number."""
        return await ledger.sectors(ProviderId(int(provider_id)))

    @get("/{provider_id:str}/reservations")
    async def reservations(
        self, provider_id: PathNumber, ledger: NamedDependency[LocalLedger]
    ) -> tuple[Reservation, ...]:
        """Return the money set aside for proposals to this provider."""
        return await ledger.reservations(ProviderId(int(provider_id)))


class DealController(Controller):
    """Deals, and what they wait for."""

    path = "/deals"

    @get("/")
    async def deals(
        self,
        ledger: NamedDependency[LocalLedger],
        client: FromQuery[str | None] = None,
        provider_id: QueryNumber = None,
        root_cid: FromQuery[str | None] = None,
        proposal_cid: FromQuery[str | None] = None,
    ) -> tuple[Deal, ...]:
        """Return the deals that fit every filter given, oldest first."""
        return await ledger.deals(
            client=None if client is None else _address(client),
            provider_id=None if provider_id is None else ProviderId(int(provider_id)),
            root_cid=None if root_cid is None else CID.parse(root_cid),
            proposal_cid=None if proposal_cid is None else CID.parse(proposal_cid),
        )

    @get("/{deal_id:str}")
    async def deal(self, deal_id: PathNumber, ledger: NamedDependency[LocalLedger]) -> Deal:
        """Return one deal."""
        return await ledger.deal(DealId(int(deal_id)))

    @get("/{deal_id:str}/explain")
    async def explain(
        self, deal_id: PathNumber, ledger: NamedDependency[LocalLedger]
    ) -> Explanation:
        """Return whose move the deal waits for, until when, and what happens by itself."""
        return await ledger.explanation(DealId(int(deal_id)))


def create_app(node: LedgerNode) -> Litestar:
    """Return the application over a node. The OpenAPI document is at `/schema/openapi.json`."""
    ledger = LocalLedger(node)
    # A stranger's megabyte can take a second to read: it holds up other bodies, and no block.
    reader = ThreadPoolExecutor(max_workers=1, thread_name_prefix="bodies")
    controllers = [MessageController, ChainController, ProviderController, DealController]
    return Litestar(
        route_handlers=[Router("/v1", route_handlers=controllers)],
        dependencies={
            "ledger": Provide(lambda: ledger, sync_to_thread=False),
            "reader": Provide(lambda: reader, sync_to_thread=False),
        },
        exception_handlers={
            LedgerError: _refuse,
            PeerError: _misunderstand,
            DatabaseFull: _lack_room,
            HTTPException: _reject,
            Exception: _fail,
        },
        openapi_config=OpenAPIConfig(
            title="Holdfast ledger",
            version="1",
            render_plugins=[JsonRenderPlugin(), SwaggerRenderPlugin()],
        ),
        plugins=[ScalarSchemas()],
        request_max_body_size=submission_bytes_max(node.genesis.policy),
        logging_config=None,
    )


def _read(body: bytes, is_cbor: bool, policy: Policy) -> tuple[SignedMessage, tuple[Block, ...]]:
    submission = Submission.decode(body) if is_cbor else _from_json(body)
    return submission.signed, submission.proof_blocks(policy)


def _from_json(body: bytes) -> Submission:
    if len(body) > JSON_BYTES_MAX:
        raise MalformedBytes("Submission", f"over {JSON_BYTES_MAX} bytes of JSON")
    try:
        return Submission.model_validate_json(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"])) or "body"
        raise MalformedBytes("Submission", f"{where}: {first['msg']}") from error


def _address(text: str) -> Address:
    try:
        public_key_of(Address(text))
    except ValueError as error:
        raise MalformedBytes("address", str(error)) from error
    return Address(text)


AnyRequest = Request[Any, Any, Any]


def _say(status: int, code: str, detail: str) -> Response[dict[str, str]]:
    return Response({"code": code, "detail": detail}, status_code=status)


def _refuse(_: AnyRequest, error: LedgerError) -> Response[dict[str, str]]:
    is_missing = isinstance(error, NotFound)
    status = HTTPStatus.NOT_FOUND if is_missing else HTTPStatus.CONFLICT
    return _say(status, error.code, str(error))


def _misunderstand(_: AnyRequest, error: PeerError) -> Response[dict[str, str]]:
    return _say(HTTPStatus.UNPROCESSABLE_ENTITY, error.code, str(error))


def _lack_room(_: AnyRequest, error: DatabaseFull) -> Response[dict[str, str]]:
    detail = "the ledger's disk is full: nothing is settled until there is room"
    return _say(HTTPStatus.INSUFFICIENT_STORAGE, error.code, detail)


def _reject(_: AnyRequest, error: HTTPException) -> Response[dict[str, str]]:
    match error.status_code:
        case HTTPStatus.BAD_REQUEST:
            return _say(HTTPStatus.UNPROCESSABLE_ENTITY, "invalid-request", _what_is_wrong(error))
        case status:
            phrase = HTTPStatus(status).phrase
            return _say(status, phrase.lower().replace(" ", "-"), phrase)


def _what_is_wrong(error: HTTPException) -> str:
    wrong = error.extra if isinstance(error.extra, list) else []
    said = [f"{found.get('key')}: {found.get('message')}" for found in wrong]
    return "; ".join(said) or error.detail


def _fail(_: AnyRequest, error: Exception) -> Response[dict[str, str]]:
    if isinstance(error, TimeoutError):
        return _say(HTTPStatus.REQUEST_TIMEOUT, "request-timeout", "the body came too slowly")
    log.error("a request failed", exc_info=error)
    return _say(HTTPStatus.INTERNAL_SERVER_ERROR, "internal", "the ledger failed; see its log")
