"""The port to content routing: who has a block, and where a peer lives."""

from collections.abc import AsyncIterator
from typing import Protocol

from ipfs.cid import CID
from ipfs.host import PeerAddress
from ipfs.p2p.peer_id import PeerId


class Routing(Protocol):
    """Finds peers by content or identity; promises nothing about what they say."""

    async def provide(self, cid: CID) -> int:
        """Announce that we have this CID; return how many peers took the record."""

    def find_providers(
        self, cid: CID, *, count_max: int | None = None
    ) -> AsyncIterator[PeerAddress]:
        """Yield peers said to have the CID, as they are found; one again with more addresses.

        count_max:  stop at so many, which may all be made up; None: with the search
        """

    async def find_peer(self, peer_id: PeerId) -> PeerAddress | None:
        """Return where the peer lives, or None if nobody close to it knows."""


class ValueRouting(Protocol):
    """Keeps small signed values under names, where everybody finds them."""

    async def put_value(self, key: bytes, value: bytes) -> int:
        """Have a value kept under a key; return how many peers took it."""

    async def get_value(self, key: bytes) -> bytes | None:
        """Return the best value found under a key, or None."""
