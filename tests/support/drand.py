"""Rounds of quicknet and of a chain whose key we hold, and servers that publish them, or lie."""

import asyncio
import json
import threading
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from enum import Enum, auto
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

from litestar import Litestar, Response, get
from litestar.params import FromPath
from py_arkworks_bls12381 import G1Point, G2Point, Scalar

from chain.http import serving
from proofs.drand import QUICKNET, DrandChain, Round, Scheme

PUBLISHED: Final = {
    number: Round(number, bytes.fromhex(signature))
    for number, signature in {
        1000: "b44679b9a59af2ec876b1a6b1ad52ea9b1615fc3982b19576350f93447cb1125"
        "e342b73a8dd2bacbe47e4b6b63ed5e39",
        1001: "b33bf3667cbd5a82de3a24b4e0e9fe5513cc1a0e840368c6e31f5fcfa79bea03"
        "f73896b25883abf2853d10337fb8fa41",
        1002: "ab066f9c12dd6de1336fca0f925192fb0c72a771c3e4c82ede1fd362c1a770f9"
        "eb05843c6308ce2530b53a99c0281a6e",
    }.items()
}
"""Mainnet's, as anybody can fetch them: `GET /<chain hash>/public/<round>`."""

RANDOMNESS_1000: Final = "fe290beca10872ef2fb164d2aa4442de4566183ec51c56ff3cd603d930e54fdd"


class Manner(Enum):
    """How a source behaves."""

    HONEST = auto()
    SILENT = auto()
    BROKEN = auto()
    STALE = auto()
    """Serves its oldest round whatever it is asked for."""

    STALE_AND_LYING = auto()
    """Serves its oldest signature as that of the round it is asked for."""

    OTHER_RANDOMNESS = auto()
    CHATTERING = auto()
    GIBBERISH = auto()
    ELSEWHERE = auto()
    """Redirects to somebody who knows."""


@dataclass
class Source:
    """A server that publishes rounds in its manner."""

    manner: Manner
    rounds: Mapping[int, Round]
    asked: list[int] = field(default_factory=list)
    url: str = ""

    async def answer(self, number: int) -> Response[Any]:
        self.asked.append(number)
        if self.manner is Manner.SILENT:
            await asyncio.Event().wait()
        if self.manner is Manner.BROKEN:
            return Response({"error": "no"}, status_code=500)
        if self.manner is Manner.ELSEWHERE:
            return Response("", status_code=302, headers={"location": "http://127.0.0.1:9/"})
        if self.manner is Manner.CHATTERING:
            return Response("[" + "0," * 1_000_000 + "0]")
        if self.manner is Manner.GIBBERISH:
            return Response('{"round": "soon"}')
        if number not in self.rounds:
            return Response({"error": "not yet"}, status_code=404)
        honest, first = json_of(self.rounds[number]), json_of(self.rounds[min(self.rounds)])
        if self.manner is Manner.STALE:
            return Response(first)
        if self.manner is Manner.STALE_AND_LYING:
            return Response({**first, "round": number})
        if self.manner is Manner.OTHER_RANDOMNESS:
            return Response({**honest, "randomness": "00" * 32})
        return Response(honest)


def json_of(published: Round) -> dict[str, Any]:
    chained = {"previous_signature": published.previous_signature.hex()}
    return {
        "round": published.number,
        "randomness": published.randomness.hex(),
        "signature": published.signature.hex(),
        **(chained if published.previous_signature else {}),
    }


@asynccontextmanager
async def source_of(
    manner: Manner, chain: DrandChain = QUICKNET, rounds: Mapping[int, Round] = PUBLISHED
) -> AsyncIterator[Source]:
    """Serve rounds on loopback while the context is open."""
    source = Source(manner, rounds)

    @get(f"/{chain.chain_hash.hex()}/public/{{number:int}}")
    async def public(number: FromPath[int]) -> Response[Any]:
        return await source.answer(number)

    async with serving(Litestar([public], logging_config=None), host="127.0.0.1", port=0) as url:
        source.url = url
        yield source


@dataclass
class HeldChain:
    """A drand chain of quicknet's kind, a round a second, whose key a test holds."""

    secret: Scalar = field(default_factory=lambda: Scalar(0x5EC2E7))
    rounds: dict[int, Round] = field(default_factory=dict)

    @property
    def chain(self) -> DrandChain:
        key = bytes((G2Point() * self.secret).to_compressed_bytes())
        return DrandChain(b"held".ljust(32, b"\0"), Scheme.UNCHAINED_SHORT, key, 1_600_000_000, 1)

    def sign(self, number: int) -> Round:
        """Return a round, whether it is due or not."""
        message, domain = sha256(number.to_bytes(8, "big")).digest(), QUICKNET_DOMAIN
        signature = G1Point.hash_to_curve(message, domain) * self.secret
        return Round(number, bytes(signature.to_compressed_bytes()))

    def publish(self, milliseconds: int) -> Round:
        """Let the rounds up to a time be fetched, those that were held back too."""
        newest = self.chain.round_at(milliseconds // 1_000)
        for number in range(max(self.rounds, default=newest - 1) + 1, newest + 1):
            self.rounds[number] = self.sign(number)
        return self.rounds[newest]


QUICKNET_DOMAIN: Final = b"BLS_SIG_BLS12381G1_XMD:SHA-256_SSWU_RO_NUL_"


@contextmanager
def drand_in_a_thread(held: HeldChain) -> Iterator[str]:
    """Serve each round of a chain from its time on, by this machine's clock; yields the URL."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            number = int(self.path.rpartition("/")[2])
            is_due = held.chain.due_seconds(number) <= time.time()
            body = json.dumps(json_of(held.sign(number))).encode() if is_due else b"too early"
            self.send_response(200 if is_due else 425)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
