"""The `Ledger` port onto a node in this process: what its REST API serves, and tests hold."""

from collections.abc import AsyncIterator, Sequence

from chain.block import Genesis, LedgerBlock, Receipt, SignedHeader
from chain.deal import Deal, Reservation
from chain.errors import NotFound
from chain.explain import Explanation, explain
from chain.keys import Address
from chain.ledger import SenderState
from chain.messages import SignedMessage
from chain.node import LedgerNode
from chain.provider import Provider
from chain.sector import Sector
from chain.sql_ledger import SqlLedger
from chain.units import DealId, Epoch, ProviderId
from ipfs.block import Block
from ipfs.cid import CID


class LocalLedger:
    """A `Ledger` without a network between."""

    def __init__(self, node: LedgerNode) -> None:
        self._node = node

    async def genesis(self) -> Genesis:
        """Return where the chain began."""
        return self._node.genesis

    async def head(self) -> SignedHeader:
        """Return the newest block's header."""
        return self._node.head

    async def head_after(self, epoch: int) -> SignedHeader:
        """Return the newest header as soon as it is of a later epoch than this."""
        return await self._node.head_after(epoch)

    async def heads(self) -> AsyncIterator[SignedHeader]:
        """Yield the head now, then each newer one."""
        head = self._node.head
        while True:
            yield head
            head = await self._node.head_after(head.header.epoch)

    async def submit(self, message: SignedMessage, proofs: Sequence[Block] = ()) -> CID:
        """Admit a message and return its id. Raises the `LedgerError` that keeps it out."""
        return await self._node.submit(message, proofs)

    async def receipt(self, message_id: CID) -> Receipt:
        """Wait for the message's receipt. Raises `Expired`, `NotFound`."""
        return await self._node.receipt(message_id)

    async def leaves_mempool(self, message_id: CID) -> None:
        """Return as soon as the message does not wait for a block, or not any more."""
        await self._node.leaves_mempool(message_id)

    async def beacon(self, epoch: Epoch) -> bytes:
        """Return the 32 bytes of randomness of a closed epoch. Raises `NotFound`."""
        return await self._node.read(lambda view: view.beacon(epoch))

    async def header(self, epoch: Epoch) -> SignedHeader:
        """Return the header of a closed epoch. Raises `NotFound`."""
        return await self._node.read(lambda view: view.transaction.header(epoch))

    async def block(self, epoch: Epoch) -> LedgerBlock:
        """Return an epoch's block. Raises `NotFound`."""
        return await self._node.read(lambda view: view.transaction.block(epoch))

    async def proof(self, cid: CID) -> bytes:
        """Return a proof's bytes. Raises `NotFound` once they are not kept any more."""
        data = await self._node.read(lambda view: view.transaction.proof(cid))
        if data is None:
            raise NotFound("proof", cid)
        return data

    async def sender(self, address: Address) -> SenderState:
        """Return the account and the nonce that its next message must carry."""
        account = await self._node.read(lambda view: view.account(address))
        return SenderState(
            account=account,
            next_nonce=self._node.next_nonce(account),
            head_epoch=self._node.head.header.epoch,
        )

    async def providers(self) -> tuple[Provider, ...]:
        """Return the registry."""
        return await self._node.read(lambda view: tuple(view.providers()))

    async def provider(self, provider_id: ProviderId) -> Provider:
        """Return one provider. Raises `NotFound`."""
        return await self._node.read(lambda view: view.provider(provider_id))

    async def deal(self, deal_id: DealId) -> Deal:
        """Return one deal. Raises `NotFound`."""
        return await self._node.read(lambda view: view.deal(deal_id))

    async def deals(
        self,
        *,
        client: Address | None = None,
        provider_id: ProviderId | None = None,
        root_cid: CID | None = None,
        proposal_cid: CID | None = None,
    ) -> tuple[Deal, ...]:
        """Return the deals that fit every filter given, oldest first."""
        return await self._node.read(
            lambda view: view.transaction.deals(
                client=client,
                provider_id=provider_id,
                root_cid=root_cid,
                proposal_cid=proposal_cid,
            )
        )

    async def deal_of(self, proposal_cid: CID) -> Deal | None:
        """Return the deal that a proposal became, None if it is not published."""
        return await self._node.read(lambda view: view.deal_of(proposal_cid))

    async def explanation(self, deal_id: DealId) -> Explanation:
        """Return whose move a deal waits for, and what happens by itself. Raises `NotFound`."""
        return await self._node.read(lambda view: _explain(view, deal_id))

    async def reservations(self, provider_id: ProviderId) -> tuple[Reservation, ...]:
        """Return the money set aside for proposals to this provider."""
        return await self._node.read(lambda view: view.transaction.reservations(provider_id))

    async def sectors(self, provider_id: ProviderId) -> tuple[Sector, ...]:
        """Return the provider's sectors, by number."""
        return await self._node.read(lambda view: tuple(view.sectors_of(provider_id)))


def _explain(view: SqlLedger, deal_id: DealId) -> Explanation:
    deal = view.deal(deal_id)
    number = deal.sector_number
    sector = None if number is None else view.sector(deal.proposal.provider_id, number)
    return explain(deal, sector, view.policy, view.epoch)
