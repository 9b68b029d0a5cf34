"""An account: what an address owns, and how much of it its promises hold."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from chain.errors import InsufficientFunds
from chain.keys import Address
from chain.units import Atto
from ipfs.record import Record


class Account(Record):
    """Money of one address. `locked_atto` is the part that deals and sectors need."""

    kind: Literal["account"] = "account"
    address: Address
    balance_atto: Atto = Atto(0)
    locked_atto: Atto = Atto(0)
    nonce: Annotated[int, Field(ge=0, le=2**53)] = 0
    """The nonce that the sender's next message must carry."""

    @model_validator(mode="after")
    def _is_covered(self) -> Self:
        if self.locked_atto > self.balance_atto:
            raise ValueError("an account can't lock more than it has")
        return self

    @property
    def key(self) -> str:
        """Return where the state keeps it."""
        return f"account/{self.address}"

    @property
    def due_epoch(self) -> None:
        """Return None: an account never moves by itself."""
        return

    @property
    def free_atto(self) -> Atto:
        """Return what may be spent, locked or withdrawn."""
        return Atto(self.balance_atto - self.locked_atto)

    def receive(self, amount_atto: int) -> Self:
        """Return the account with this much more, free."""
        return self.evolve(balance_atto=self.balance_atto + amount_atto)

    def spend(self, amount_atto: int) -> Self:
        """Return the account with this much less of what is free. Raises `InsufficientFunds`."""
        self._require_free(amount_atto)
        return self.evolve(balance_atto=self.balance_atto - amount_atto)

    def lock(self, amount_atto: int) -> Self:
        """Return the account with this much of what is free locked. Raises `InsufficientFunds`."""
        self._require_free(amount_atto)
        return self.evolve(locked_atto=self.locked_atto + amount_atto)

    def unlock(self, amount_atto: int) -> Self:
        """Return the account with this much of what is locked free again."""
        assert amount_atto <= self.locked_atto, "only what was locked is unlocked"
        return self.evolve(locked_atto=self.locked_atto - amount_atto)

    def pay_locked(self, amount_atto: int) -> Self:
        """Return the account with this much of what is locked gone."""
        assert amount_atto <= self.locked_atto, "only what was locked is paid from the lock"
        return self.evolve(
            balance_atto=self.balance_atto - amount_atto,
            locked_atto=self.locked_atto - amount_atto,
        )

    def _require_free(self, amount_atto: int) -> None:
        assert amount_atto >= 0, "amounts are natural numbers"
        if amount_atto > self.free_atto:
            raise InsufficientFunds(
                self.address, needed_atto=amount_atto, available_atto=self.free_atto
            )
