"""Entering the ledger's registry, or bringing the entry up to date."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from chain.ledger import Ledger
from chain.messages import DrawFaucet, RegisterProvider, UpdateProvider
from chain.policy import Policy
from chain.provider import ADDRESSES_MAX, Provider
from chain.sender import Sender
from chain.units import ProviderId

ENROLMENT_MESSAGES: Final = 2
"""What an owner's account must at least pay for before it can earn: registry entry and ask."""


class OwnerUnfunded(Exception):
    """The owner's account is empty, and nobody can enter the registry without a fee."""

    code = "insufficient-funds"

    def __init__(self, address: str, *, needed_atto: int, available_atto: int) -> None:
        super().__init__(
            f"the owner's account {address} has {available_atto} atto free; enrolling takes "
            f"{needed_atto}, and collateral for each deal: send it some first"
        )
        self.address = address
        self.needed_atto = needed_atto
        self.available_atto = available_atto


@dataclass(frozen=True, slots=True, kw_only=True)
class Applicant:
    """Who wants to be in the registry, and where it is reached.

    draws_faucet:  whether an empty owner's account is filled, where the network has a faucet
    """

    owner: Sender
    worker: Sender
    peer_id: str
    addresses: Sequence[str]
    draws_faucet: bool


async def enrol(applicant: Applicant, ledger: Ledger, policy: Policy) -> Provider:
    """Return our entry in the registry, made or changed if need be.

    Entering again after a crash finds the entry that was made. Raises `OwnerUnfunded`,
    `LedgerError`, `LedgerUnreachable`.
    """
    owner, worker = applicant.owner, applicant.worker
    await _fund(owner, ledger, policy, draws_faucet=applicant.draws_faucet)
    addresses = tuple(applicant.addresses[:ADDRESSES_MAX])
    for provider in await ledger.providers():
        if (provider.owner, provider.worker) == (owner.address, worker.address):
            if (provider.peer_id, provider.addresses) != (applicant.peer_id, addresses):
                update = UpdateProvider(
                    provider_id=provider.id, peer_id=applicant.peer_id, addresses=addresses
                )
                await worker.send(update)
            return await ledger.provider(provider.id)
    register = RegisterProvider(
        worker=worker.address, peer_id=applicant.peer_id, addresses=addresses
    )
    receipt = await owner.send(register)
    [provider_id] = receipt.created_ids
    return await ledger.provider(ProviderId(provider_id))


async def _fund(owner: Sender, ledger: Ledger, policy: Policy, *, draws_faucet: bool) -> None:
    account = (await ledger.sender(owner.address)).account
    needed_atto = ENROLMENT_MESSAGES * policy.message_fee_atto
    if account.balance_atto >= needed_atto:
        return
    if not (draws_faucet and policy.faucet_atto_max):
        raise OwnerUnfunded(
            owner.address, needed_atto=needed_atto, available_atto=account.free_atto
        )
    await owner.send(DrawFaucet(amount_atto=policy.faucet_atto_max))
