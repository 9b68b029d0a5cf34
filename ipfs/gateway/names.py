"""Records of names, looked up once for as long as their owners let readers go on with them."""

from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from ipfs.errors import PeerError
from ipfs.gateway.errors import ContentNotFound
from ipfs.ipns import IpnsRecord
from ipfs.naming import resolve
from ipfs.p2p.peer_id import PeerId
from ipfs.routing import ValueRouting

RECORDS_MAX: Final = 1_024
"""Remembered, of 10 KiB each at most: a page has dozens of parts, all under one name."""


class Names:
    """What names point at now.

    routing:  where records are looked up; None: nowhere
    now_ns:   the clock, nanoseconds since 1970, that records expire by
    """

    def __init__(self, routing: ValueRouting | None, *, now_ns: Callable[[], int]) -> None:
        self._routing = routing
        self._now_ns = now_ns
        self._known: OrderedDict[PeerId, tuple[IpnsRecord, int]] = OrderedDict()

    async def find(self, name: PeerId) -> tuple[IpnsRecord, int]:
        """Return the record of a name, and for how many seconds it may be gone on with.

        Raises `ContentNotFound`.
        """
        record, until_ns = self._known.get(name) or (None, 0)
        if record is None or until_ns <= self._now_ns():
            record = await self._look_up(name)
            until_ns = min(self._now_ns() + record.ttl_ns, record.expires_at_ns)
            self._remember(name, record, until_ns)
        return record, max(0, until_ns - self._now_ns()) // 10**9

    async def _look_up(self, name: PeerId) -> IpnsRecord:
        if self._routing is None:
            raise ContentNotFound("names are not looked up by this gateway")
        try:
            record = await resolve(self._routing, name, now_ns=self._now_ns())
        except PeerError as error:
            raise ContentNotFound(f"no good record of the name: {error}") from error
        if record is None:
            raise ContentNotFound(f"no record of {name.to_cid_text()} was found")
        return record

    def _remember(self, name: PeerId, record: IpnsRecord, until_ns: int) -> None:
        self._known[name] = record, until_ns
        self._known.move_to_end(name)
        if len(self._known) > RECORDS_MAX:
            self._known.popitem(last=False)
