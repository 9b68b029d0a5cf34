"""Rounds that drand's quicknet published, and servers on loopback that publish them, or lie."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any, Final

from litestar import Litestar, Response, get
from litestar.params import FromPath

from chain.http import serving
from proofs.drand import QUICKNET, DrandChain, Round

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

    async with serving(Litestar([public]), host="127.0.0.1", port=0) as url:
        source.url = url
        yield source
