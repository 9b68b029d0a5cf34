"""Saying something to the ledger under one key: nonces in order, each message until its receipt."""

import asyncio
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Final

from chain.block import Genesis, Receipt
from chain.errors import LedgerError, NotFound, WrongNonce
from chain.keys import SigningKey
from chain.ledger import Ledger, LedgerUnreachable
from chain.messages import Body, Message, ProveCommitSectors, SignedMessage, spoken_for
from chain.units import Epoch
from ipfs.block import Block

NONCE_TRIES_MAX: Final = 8
"""How often what is said for a provider is signed anew, when another message took its nonce.

Only that: it names what it settles, so the ledger takes it once even if both were to enter."""


class Refused(LedgerError):
    """A message entered a block and was refused there; its nonce and fee are spent."""

    code = "refused"

    def __init__(self, receipt: Receipt) -> None:
        super().__init__(receipt.detail)
        self.receipt = receipt
        self.code = receipt.code or self.code  # type: ignore[misc]  # the refusal's own


class Sender:
    """One key's voice. Hold one a key in a process, or its nonces collide.

    prefix:  of the network's addresses (`Policy.address_prefix`)
    """

    def __init__(self, ledger: Ledger, key: SigningKey, prefix: str) -> None:
        self._ledger = ledger
        self._key = key
        self._genesis: Genesis | None = None
        self._turn = asyncio.Lock()
        self.address = key.address(prefix)

    async def send(self, body: Body, proofs: Sequence[Block] = ()) -> Receipt:
        """Say something and return its receipt, which means durable. It is never said twice.

        proofs:  the blocks that the body names by CID

        Raises `Refused`, the `LedgerError` that kept it out of every block, or
        `LedgerUnreachable` if nothing was said yet. Once it was, waits while the ledger is down.
        Single items of a batch may still be refused: see the receipt's `refusals`.
        """
        tries_left = NONCE_TRIES_MAX
        while True:
            try:
                receipt = await self._say(body, proofs)
                break
            except LedgerError as error:
                tries_left -= 1
                if error.code != WrongNonce.code or not tries_left or spoken_for(body) is None:
                    raise
        if not receipt.is_done:
            raise Refused(receipt)
        return receipt

    async def _say(self, body: Body, proofs: Sequence[Block]) -> Receipt:
        # A ledger checks a proof of replication for long before it admits it, and nothing else
        # may wait for that. What was said meanwhile has taken the nonce: it is signed anew, and
        # the verdict is known by then.
        turn = nullcontext() if isinstance(body, ProveCommitSectors) else self._turn
        async with turn:
            signed = await self._sign(body)
            try:
                await self._ledger.submit(signed, proofs)
            except LedgerUnreachable:
                # It may have arrived all the same; the nonce is taken until that is known.
                await self._receipt(signed, proofs)
        return await self._receipt(signed, proofs)

    async def _sign(self, body: Body) -> SignedMessage:
        genesis = self._genesis = self._genesis or await self._ledger.genesis()
        state = await self._ledger.sender(self.address)
        message = Message(
            chain_id=genesis.chain_id,
            sender=self.address,
            nonce=state.next_nonce,
            expires_epoch=Epoch(state.head_epoch + genesis.policy.message_epochs_max),
            body=body,
        )
        return SignedMessage.sign(message, self._key)

    async def _receipt(self, signed: SignedMessage, proofs: Sequence[Block]) -> Receipt:
        while True:
            try:
                return await self._ledger.receipt(signed.id)
            except NotFound:
                # Admitted, then forgotten in a crash before it was in a block.
                await self._ledger.submit(signed, proofs)
