"""The node behind a real socket: what it answers, and what it refuses."""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio

from chain import api, http
from chain.api import create_app
from chain.block import SignedHeader
from chain.messages import DrawFaucet, Transfer
from chain.submission import Submission, submission_bytes_max
from chain.units import Atto
from ipfs import dag_cbor
from ipfs.http import http_client
from tests.support.nodes import SOME_ATTO, SteppedLedger, stepped_ledger

BAD_NUMBERS = ("-1", "1.0", "1e3", "NaN", "0x1", "1_000", "+1", "01", " 1", str(2**63), str(10**30))


@pytest.fixture
def on(tmp_path: Path) -> Iterator[SteppedLedger]:
    with stepped_ledger(tmp_path) as stepped:
        yield stepped


@pytest_asyncio.fixture
async def web(on: SteppedLedger) -> AsyncIterator[httpx.AsyncClient]:
    async with (
        http.serving(create_app(on.node), host="127.0.0.1", port=0) as url,
        http_client(base_url=url) as client,
    ):
        yield client


async def post(
    web: httpx.AsyncClient, body: bytes, kind: str = "application/cbor"
) -> httpx.Response:
    return await web.post("/v1/messages", content=body, headers={"content-type": kind})


async def test_every_query_answers(web: httpx.AsyncClient, on: SteppedLedger) -> None:
    await on.funds("alice")
    for path in (
        "/v1/genesis",
        "/v1/head",
        "/v1/blocks/1",
        "/v1/headers/1",
        f"/v1/accounts/{on.address('alice')}",
        "/v1/providers",
        "/v1/providers/1/sectors",
        "/v1/providers/1/reservations",
        "/v1/deals",
        "/schema/openapi.json",
        "/schema",
    ):
        answer = await web.get(path)
        assert answer.status_code == 200, (path, answer.text)


async def test_a_message_is_taken_as_cbor_and_as_json(
    web: httpx.AsyncClient, on: SteppedLedger
) -> None:
    first = await on.signed("alice", DrawFaucet(amount_atto=SOME_ATTO))
    answer = await post(web, Submission.of(first, ()).encode())
    assert (answer.status_code, answer.json()) == (202, {"id": str(first.id)})
    second = await on.signed("alice", DrawFaucet(amount_atto=SOME_ATTO))
    body = Submission.of(second, ()).model_dump_json().encode()
    assert (await post(web, body, "application/json")).status_code == 202
    path = f"/v1/messages/{second.id}/receipt"
    assert (await web.get(path)).status_code == 202, "it waits for a block"
    await on.closes()
    assert (await web.get(path)).json()["code"] is None


async def test_amounts_beyond_64_bits_are_decimal_strings(
    web: httpx.AsyncClient, on: SteppedLedger
) -> None:
    await on.funds("alice")
    answer = await web.get(f"/v1/accounts/{on.address('alice')}")
    assert answer.json()["account"]["balance_atto"] == str(SOME_ATTO)
    assert SOME_ATTO > 2**64


async def test_refusals_are_a_code_and_a_sentence(
    web: httpx.AsyncClient, on: SteppedLedger
) -> None:
    signed = await on.signed("poor", Transfer(to=on.address("bob"), amount_atto=Atto(1)))
    answer = await post(web, Submission.of(signed, ()).encode())
    assert answer.status_code == 409
    assert answer.json()["code"] == "insufficient-funds"
    for path in ("/v1/deals/7", "/v1/blocks/7", "/v1/providers/7", "/v1/nothing"):
        answer = await web.get(path)
        assert (answer.status_code, answer.json()["code"]) == (404, "not-found")
    assert (await web.get("/v1/messages")).status_code == 405


@pytest.mark.parametrize("number", BAD_NUMBERS)
async def test_what_is_no_number_is_refused_everywhere(
    web: httpx.AsyncClient, on: SteppedLedger, number: str
) -> None:
    for path in ("/v1/blocks/{}", "/v1/headers/{}", "/v1/deals/{}", "/v1/providers/{}/sectors"):
        answer = await web.get(path.format(number))
        assert answer.status_code == 422, (path, answer.text)
    for query in ("/v1/head", "/v1/deals"):
        name = "after" if query.endswith("head") else "provider_id"
        answer = await web.get(query, params={name: number})
        assert answer.status_code == 422, (query, answer.text)
    assert (await web.get("/v1/head", params={"wait_seconds": number})).status_code == 422


@pytest.mark.parametrize(
    "amount", [-1, 1.5, "1e3", "NaN", "-1", "", "1.0", " 1", "1_0", 10**30, None, True, "9" * 79]
)
async def test_what_is_no_amount_is_refused_in_json(
    web: httpx.AsyncClient, on: SteppedLedger, amount: object
) -> None:
    signed = await on.signed("alice", DrawFaucet(amount_atto=SOME_ATTO))
    submission = Submission.of(signed, ()).model_dump(mode="json")
    submission["signed"]["message"]["body"]["amount_atto"] = amount
    answer = await web.post("/v1/messages", json=submission)
    assert answer.status_code == 422
    assert answer.json()["code"] == "malformed-bytes"


async def test_malformed_bodies_are_refused(web: httpx.AsyncClient, on: SteppedLedger) -> None:
    signed = await on.signed("alice", DrawFaucet(amount_atto=SOME_ATTO))
    good = Submission.of(signed, ()).encode()
    for body in (b"", good[:-1], good + b"\0", dag_cbor.encode({"signed": 1, "proofs": []})):
        answer = await post(web, body)
        assert (answer.status_code, answer.json()["code"]) == (422, "malformed-bytes")
    for body in (b'{"proofs":[' + b"0," * 9_999 + b"0]}", b"[" * api.JSON_BYTES_MAX + b"0"):
        answer = await post(web, body, "application/json")
        assert (answer.status_code, answer.json()["code"]) == (422, "malformed-bytes")
    for text in ("bla", "QmBad", str(signed.id)[:-1]):
        assert (await web.get(f"/v1/proofs/{text}")).status_code == 422
        assert (await web.get("/v1/deals", params={"root_cid": text})).status_code == 422
        assert (await web.get(f"/v1/accounts/{text}")).status_code == 422


async def test_a_body_that_comes_too_slowly_is_given_up(
    web: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api, "BODY_SECONDS", 0)
    reader, writer = await asyncio.open_connection(web.base_url.host, web.base_url.port)
    writer.write(b"POST /v1/messages HTTP/1.1\r\nhost: localhost\r\ncontent-length: 9\r\n\r\nslow")
    assert b" 408 " in await reader.readline()
    writer.close()


async def test_the_openapi_document_says_what_travels(web: httpx.AsyncClient) -> None:
    document = (await web.get("/schema/openapi.json")).json()
    proposal = document["components"]["schemas"]["DealProposal"]["properties"]
    assert proposal["root_cid"]["type"] == "string"
    assert proposal["price_atto_per_epoch"]["type"] == "string"
    body = document["paths"]["/v1/messages"]["post"]["requestBody"]["content"]
    assert set(body) == {api.CBOR, "application/json"}


async def test_a_body_too_long_is_not_read(web: httpx.AsyncClient, on: SteppedLedger) -> None:
    length = submission_bytes_max(on.node.genesis.policy) + 1
    reader, writer = await asyncio.open_connection(web.base_url.host, web.base_url.port)
    head = f"POST /v1/messages HTTP/1.1\r\nhost: localhost\r\ncontent-length: {length}\r\n\r\n"
    writer.write(head.encode())
    assert b" 413 " in await reader.readline()
    writer.close()


async def test_a_head_is_waited_for(web: httpx.AsyncClient, on: SteppedLedger) -> None:
    answer = await web.get("/v1/head", params={"after": 0, "wait_seconds": 0})
    assert answer.json()["header"]["epoch"] == 0
    waiting = asyncio.create_task(web.get("/v1/head", params={"after": 0, "wait_seconds": 30}))
    await on.closes()
    assert (await waiting).json()["header"]["epoch"] == 1


async def test_a_foreign_host_is_not_answered(web: httpx.AsyncClient) -> None:
    for host in ("evil.example", "127.0.0.1.evil.example:80", "", "localhost.evil"):
        answer = await web.get("/v1/head", headers={"host": host})
        assert (answer.status_code, answer.json()["code"]) == (403, "foreign-host")
    for host in ("localhost", "LOCALHOST:80", "127.0.0.1", "[::1]:8650", "127.9.9.9:1"):
        assert (await web.get("/v1/head", headers={"host": host})).status_code == 200


async def test_an_open_request_does_not_keep_the_node_up(
    on: SteppedLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_asked, head_after = asyncio.Event(), on.node.head_after

    async def told_head_after(epoch: int) -> SignedHeader:
        is_asked.set()
        return await head_after(epoch)

    monkeypatch.setattr(on.node, "head_after", told_head_after)
    async with http_client() as client:
        async with http.serving(create_app(on.node), host="127.0.0.1", port=0) as url:
            poll = f"{url}/v1/head?after=99&wait_seconds=30"
            waiting = asyncio.create_task(client.get(poll))
            await is_asked.wait()
        assert (await waiting).status_code == 500
        with pytest.raises(httpx.ConnectError):
            await client.get(f"{url}/v1/head")


async def test_the_servers_thread_is_done_with_python_once_serving_ends(
    on: SteppedLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = asyncio.get_running_loop()
    schedule, may_go_back, inside = loop.call_soon_threadsafe, threading.Event(), set[int]()

    def schedule_and_stay(*arguments: Any, **named: Any) -> asyncio.Handle:
        handle = schedule(*arguments, **named)
        if not any(thread.ident == threading.get_ident() for thread in threading.enumerate()):
            inside.add(threading.get_ident())
            may_go_back.wait()
        return handle

    async with http.serving(create_app(on.node), host="127.0.0.1", port=0):
        monkeypatch.setattr(loop, "call_soon_threadsafe", schedule_and_stay)
    may_go_back.set()
    assert not inside, "a process that ended now would be aborted"


async def test_a_port_is_never_shared(on: SteppedLedger) -> None:
    app = create_app(on.node)
    async with http.serving(app, host="127.0.0.1", port=0) as url:
        port = int(url.rpartition(":")[2])
        with pytest.raises(OSError, match=r"[Aa]ddress already in use"):
            async with http.serving(app, host="127.0.0.1", port=port):
                pass
