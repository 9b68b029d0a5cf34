"""What a gateway answers to a request: decided here, sent by `ipfs.gateway.api`."""

from collections.abc import AsyncGenerator, Callable, Collection
from contextlib import AbstractContextManager
from dataclasses import replace
from http import HTTPStatus
from typing import Final
from urllib.parse import quote

from ipfs.bitswap.session import BlockUnavailable
from ipfs.blockstore import BlockNotFound
from ipfs.cid import CID, Codec
from ipfs.errors import MalformedBytes, PeerError
from ipfs.gateway.answers import (
    Answer,
    Found,
    block_answer,
    car_headers,
    is_unchanged,
    json_file_answer,
    record_answer,
    unchanged,
    unixfs_answer,
)
from ipfs.gateway.cars import AHEAD_BLOCKS, car_of_request, check_entity_bytes
from ipfs.gateway.errors import (
    BadRequest,
    ContentDenied,
    ContentNotFound,
    ContentUnavailable,
    FormatNotAcceptable,
    NotCached,
)
from ipfs.gateway.formats import CODEC_FORMATS, Format
from ipfs.gateway.headers import IMMUTABLE
from ipfs.gateway.names import Names
from ipfs.gateway.pathing import follow
from ipfs.gateway.request import ContentPath, GatewayRequest
from ipfs.gateway.supply import Blocks, Supply
from ipfs.p2p.peer_id import PeerId
from ipfs.plan import fetch
from ipfs.routing import ValueRouting
from ipfs.unixfs.ranges import RangeReader

NAMES_MAX: Final = 8
"""Names that lead to names, before one leads to content."""


class Gateway:
    """The trustless and the path gateway over a supply of blocks.

    names:   where records of IPNS names are looked up; None: nowhere
    denied:  multihashes that are not served, whatever the path to them
    now_ns:  the clock, nanoseconds since 1970, that records expire by
    """

    def __init__(
        self,
        supply: Supply,
        *,
        now_ns: Callable[[], int],
        names: ValueRouting | None = None,
        denied: Collection[bytes] = (),
    ) -> None:
        self._supply = supply
        self._names = Names(names, now_ns=now_ns)
        self._denied = frozenset(denied)

    async def answer(self, request: GatewayRequest) -> Answer:
        """Return the answer to a request. Raises `GatewayError`."""
        if request.format is Format.TAR:
            raise FormatNotAcceptable("archives are not made here; ask for format=car")
        if request.format is Format.IPNS_RECORD:
            assert isinstance(request.path.root, PeerId), "checked when the request was read"
            record, seconds = await self._names.find(request.path.root)
            return record_answer(record, seconds=seconds)
        cid, names, cache_control = await self._start(request.path)
        self._require_allowed(cid)
        with self._opened(cid, request) as blocks:
            try:
                cids = await fetch(follow(cid, names), blocks.get)
                found = Found(request, names, cids, cache_control)
                for passed in cids[1:]:
                    self._require_allowed(passed)
                answer = await self._content(found, blocks)
                return replace(answer, rest=None) if request.is_head else await answer.begun()
            except BlockNotFound as error:
                if request.only_if_cached:
                    raise NotCached(str(error)) from error
                raise ContentNotFound(str(error)) from error
            except BlockUnavailable as error:
                raise ContentUnavailable(str(error)) from error
            except PeerError as error:
                raise ContentNotFound(f"what is there can't be read: {error}") from error

    def _require_allowed(self, cid: CID) -> None:
        if cid.multihash in self._denied:
            raise ContentDenied("the operator of this gateway does not serve this")

    async def _start(self, path: ContentPath) -> tuple[CID, tuple[str, ...], str]:
        """Return the CID that a path starts at, the names from there, and how long that holds."""
        seconds: int | None = None
        for _ in range(NAMES_MAX):
            if isinstance(path.root, CID):
                held = IMMUTABLE if seconds is None else f"public, max-age={seconds}"
                return path.root, path.names, held
            record, left = await self._names.find(path.root)
            try:
                # A record's path is as it is, not as URLs write it.
                target = ContentPath.parse(quote(record.path.rstrip("/")).encode())
            except (MalformedBytes, BadRequest) as error:
                raise ContentNotFound(f"the name points at nothing served here: {error}") from error
            seconds = left if seconds is None else min(seconds, left)
            path = replace(target, names=target.names + path.names)
        raise ContentNotFound(f"names that lead to names, more than {NAMES_MAX} times")

    async def _content(self, found: Found, blocks: Blocks) -> Answer:
        codec = found.terminus.codec
        match found.request.format:
            case Format.RAW:
                return await block_answer(found, blocks, Format.RAW)
            case Format.CAR:
                return await self._car(found, blocks)
            case Format.DAG_JSON | Format.DAG_CBOR | Format.JSON | Format.CBOR as asked:
                if CODEC_FORMATS.get(codec) is asked:
                    return await block_answer(found, blocks, asked)
                if asked is not Format.JSON or codec not in (Codec.RAW, Codec.DAG_PB):
                    raise FormatNotAcceptable("nothing is converted; ask for format=raw")
                return await json_file_answer(found, blocks, self._file_body)
            case None if codec in CODEC_FORMATS:
                return await block_answer(found, blocks, CODEC_FORMATS[codec])
            case None if codec in (Codec.RAW, Codec.DAG_PB):
                return await unixfs_answer(found, blocks, self._file_body)
            case _:
                raise BadRequest(f"blocks of codec {codec:#x} are served with format=raw only")

    async def _car(self, found: Found, blocks: Blocks) -> Answer:
        named = car_headers(found)
        if is_unchanged(found, named):
            return unchanged(named)
        # What can still be refused is refused before the status is sent.
        check_entity_bytes(found.request.car, await blocks.get(found.terminus))
        return Answer(HTTPStatus.OK, named, rest=self._car_body(found))

    async def _car_body(self, found: Found) -> AsyncGenerator[bytes, None]:
        with self._opened(found.cids[0], found.request) as blocks:
            async for data in car_of_request(
                blocks, found.cids[0], found.names, found.terminus, found.request.car
            ):
                yield data

    async def _file_body(
        self, found: Found, cid: CID, chosen: range
    ) -> AsyncGenerator[bytes, None]:
        with self._opened(found.cids[0], found.request) as blocks:
            reader = RangeReader(cid, chosen.start, chosen.stop)
            while wanted := reader.wanted(AHEAD_BLOCKS):
                if data := reader.receive(await blocks.get(wanted[0], wanted[1:])):
                    yield data

    def _opened(self, root: CID, request: GatewayRequest) -> AbstractContextManager[Blocks]:
        return self._supply.opened(root, only_cached=request.only_if_cached)
