"""Refusals: a message that this state does not allow. The codes are protocol."""

from typing import ClassVar

from chain.amount import format_amount
from chain.units import Epoch


class LedgerError(Exception):
    """The message is invalid in this state; the state is unchanged.

    `code` is part of the protocol: it is what receipts store and the REST API returns.
    """

    code: ClassVar[str]


class NotFound(LedgerError):
    """The ledger holds no such thing."""

    code = "not-found"

    def __init__(self, what: str, key: object) -> None:
        super().__init__(f"the ledger has no {what} {key}")
        self.what = what
        self.key = key


class InsufficientFunds(LedgerError):
    """An account cannot cover what the message asks it to lock or pay."""

    code = "insufficient-funds"

    def __init__(self, address: str, *, needed_atto: int, available_atto: int) -> None:
        free, needed, missing = map(
            format_amount, (available_atto, needed_atto, needed_atto - available_atto)
        )
        super().__init__(f"{address} has {free} tokens free, needs {needed}: {missing} are missing")
        self.address = address
        self.needed_atto = needed_atto
        self.available_atto = available_atto

    @property
    def missing_atto(self) -> int:
        """Return how much the account lacks."""
        return self.needed_atto - self.available_atto


class WrongChain(LedgerError):
    """The message is for another chain."""

    code = "wrong-chain"


class WrongSignature(LedgerError):
    """The signature is not the sender's."""

    code = "wrong-signature"


class WrongNonce(LedgerError):
    """The nonce is not the next one of this sender: replayed, or one is missing before it."""

    code = "wrong-nonce"

    def __init__(self, *, expected: int, found: int) -> None:
        super().__init__(f"nonce {found} where {expected} is next")
        self.expected = expected
        self.found = found


class Expired(LedgerError):
    """What the message rests on is over."""

    code = "expired"

    def __init__(self, what: str, *, expired_epoch: Epoch, current_epoch: Epoch) -> None:
        super().__init__(f"{what} expired at epoch {expired_epoch}; it is {current_epoch}")
        self.expired_epoch = expired_epoch
        self.current_epoch = current_epoch


class ExpiresTooLate(LedgerError):
    """The message would stay valid for longer than the network lets it wait."""

    code = "expires-too-late"

    def __init__(self, *, expires_epoch: Epoch, latest_epoch: Epoch) -> None:
        super().__init__(f"it expires at epoch {expires_epoch}; {latest_epoch} is the latest now")
        self.expires_epoch = expires_epoch
        self.latest_epoch = latest_epoch


class NotAllowed(LedgerError):
    """The sender may not do this."""

    code = "not-allowed"


class AlreadyExists(LedgerError):
    """This was done before; nothing is done twice."""

    code = "already-exists"

    def __init__(self, what: str, key: object) -> None:
        super().__init__(f"{what} {key} exists already")
        self.what = what
        self.key = key


class TermsRefused(LedgerError):
    """A proposal's terms break a rule of the network; `rule` names it."""

    code = "terms-refused"

    def __init__(self, rule: str) -> None:
        super().__init__(rule)
        self.rule = rule


class WrongState(LedgerError):
    """The deal or sector is not in a state in which this can happen."""

    code = "wrong-state"

    def __init__(self, what: str, *, state: str, needed: str) -> None:
        super().__init__(f"{what} is {state}; this needs {needed}")
        self.state = state
        self.needed = needed


class TooEarly(LedgerError):
    """The epoch for this has not come."""

    code = "too-early"


class TooLate(LedgerError):
    """The window for this has closed."""

    code = "too-late"


class ProofInvalid(LedgerError):
    """The proof does not hold; only its own sector suffers."""

    code = "proof-invalid"


class ProofUnverified(LedgerError):
    """Nobody has verified the proof, so the block says nothing of it; only its own item suffers."""

    code = "proof-unverified"

    def __init__(self) -> None:
        super().__init__("the proof came before it could be asked for; send it again")
