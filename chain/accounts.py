"""Money: where it comes from, how it moves between accounts, what a message costs."""

from chain.account import Account
from chain.amount import format_amount
from chain.block import Genesis
from chain.errors import NotAllowed, WrongChain
from chain.keys import Address
from chain.messages import DrawFaucet, Transfer
from chain.units import Atto
from chain.view import Counters, Draft, LedgerView, Transition


def genesis_transition(genesis: Genesis) -> Transition:
    """Return the state in which a chain begins: its allocations, and nothing else."""
    accounts: dict[Address, Account] = {}
    for allocation in genesis.allocations:
        account = accounts.get(allocation.address, Account(address=allocation.address))
        accounts[allocation.address] = account.receive(allocation.amount_atto)
    minted_atto = sum(account.balance_atto for account in accounts.values())
    return Transition(writes=(*accounts.values(), Counters(minted_atto=Atto(minted_atto))))


def transfer(view: LedgerView, sender: Address, body: Transfer) -> Transition:
    """Give money away.

    Raises: `WrongChain`, `InsufficientFunds`.
    """
    require_network(view, body.to)
    draft = Draft(view)
    move(draft, sender, body.to, body.amount_atto)
    return draft.transition()


def draw_faucet(view: LedgerView, sender: Address, body: DrawFaucet) -> Transition:
    """Mint money for the sender, where money is worth nothing.

    Raises: `NotAllowed`.
    """
    if body.amount_atto > view.policy.faucet_atto_max:
        most = format_amount(view.policy.faucet_atto_max)
        raise NotAllowed(f"the faucet gives {most} tokens at a time, at most")
    counters = view.counters()
    return Transition(
        writes=(
            view.account(sender).receive(body.amount_atto),
            counters.evolve(minted_atto=counters.minted_atto + body.amount_atto),
        )
    )


def require_network(view: LedgerView, address: Address) -> None:
    """Refuse an address of another network: nobody could ever spend from it here.

    Raises: `WrongChain`.
    """
    if not address.startswith(f"{view.policy.address_prefix}1"):
        raise WrongChain(f"{address} is an address of another network")


def move(draft: Draft, payer: Address, payee: Address, amount_atto: int) -> None:
    """Give free money to another account. Raises `InsufficientFunds`."""
    draft.put(draft.account(payer).spend(amount_atto))
    draft.put(draft.account(payee).receive(amount_atto))


def lock(draft: Draft, address: Address, amount_atto: int) -> None:
    """Hold this much of what is free. Raises `InsufficientFunds`."""
    draft.put(draft.account(address).lock(amount_atto))


def unlock(draft: Draft, address: Address, amount_atto: int) -> None:
    """Free this much of what is held."""
    draft.put(draft.account(address).unlock(amount_atto))


def move_locked(draft: Draft, payer: Address, payee: Address, amount_atto: int) -> None:
    """Give money that is held to another account, which has it free."""
    draft.put(draft.account(payer).pay_locked(amount_atto))
    draft.put(draft.account(payee).receive(amount_atto))
