"""The port to a ledger node: what a role needs of it, however far away it runs."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from chain.account import Account
from chain.block import Genesis, Receipt, SignedHeader
from chain.deal import Deal, Reservation
from chain.keys import Address
from chain.messages import SignedMessage
from chain.provider import Provider
from chain.sector import Sector
from chain.units import DealId, Epoch, ProviderId
from ipfs.block import Block
from ipfs.cid import CID


class LedgerUnreachable(Exception):
    """The ledger does not answer; whoever asked waits and tries again, or tells its user."""

    code = "ledger-unreachable"

    def __init__(self, url: str, reason: str) -> None:
        super().__init__(
            f"the ledger at {url} does not answer ({reason}): is it running "
            "(holdfast ledger serve), or elsewhere (--ledger)?"
        )
        self.url = url
        self.reason = reason


class LedgerForeign(Exception):
    """The ledger is of another network than the settings say.

    settings:  the name of the file that says so
    """

    code = "ledger-foreign"

    def __init__(self, *, expected: str, found: str, settings: str) -> None:
        super().__init__(
            f"the ledger is of the network {found!r}, the settings name {expected!r}: "
            f"check ledger_url and network in {settings}"
        )
        self.expected = expected
        self.found = found


@dataclass(frozen=True, slots=True)
class SenderState:
    """What a sender must know before it signs."""

    account: Account
    next_nonce: int
    """Counts the messages that are admitted but not in a block yet."""

    head_epoch: Epoch


class Ledger(Protocol):
    """A ledger node. Every call may raise `LedgerUnreachable`; refusals raise `LedgerError`s.

    A refusal that crossed HTTP arrives as `RefusedByLedger`, with the original's code.
    """

    async def genesis(self) -> Genesis:
        """Return where the chain began: its policy, its keys."""

    async def head(self) -> SignedHeader:
        """Return the newest block's header."""

    def heads(self) -> AsyncIterator[SignedHeader]:
        """Yield the head now, then each newer one; skips what it was too slow for. Never ends.

        While the ledger is down it waits and tries again, and says so in the log.
        """

    async def beacon(self, epoch: Epoch) -> bytes:
        """Return the 32 bytes of randomness of a closed epoch. Raises `NotFound`."""

    async def sender(self, address: Address) -> SenderState:
        """Return the account and the nonce that its next message must carry."""

    async def submit(self, message: SignedMessage, proofs: Sequence[Block] = ()) -> CID:
        """Hand in a message, its proofs beside it; return its id once it is admitted.

        Admitted is not durable: await the receipt. Submitting the same message again is no error.
        """

    async def receipt(self, message_id: CID) -> Receipt:
        """Wait for the message's receipt, which means durable.

        Raises `Expired` if the message expired without entering a block.
        """

    async def providers(self) -> tuple[Provider, ...]:
        """Return the registry."""

    async def provider(self, provider_id: ProviderId) -> Provider:
        """Return one provider. Raises `NotFound`."""

    async def deal(self, deal_id: DealId) -> Deal:
        """Return one deal. Raises `NotFound`."""

    async def deals(
        self,
        *,
        client: Address | None = None,
        provider_id: ProviderId | None = None,
        root_cid: CID | None = None,
    ) -> tuple[Deal, ...]:
        """Return the deals that fit every filter given, oldest first."""

    async def deal_of(self, proposal_cid: CID) -> Deal | None:
        """Return the deal that a proposal became, None if it is not published."""

    async def reservations(self, provider_id: ProviderId) -> tuple[Reservation, ...]:
        """Return the money set aside for proposals to this provider."""

    async def sectors(self, provider_id: ProviderId) -> tuple[Sector, ...]:
        """Return the provider's sectors, by number."""
