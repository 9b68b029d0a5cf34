"""The state as a transaction of the store shows it."""

from collections.abc import Iterator

from chain.block import Genesis
from chain.store import LedgerTransaction
from chain.units import Epoch
from chain.view import Entity, Judge, LedgerView, Statement, Transition
from ipfs.cid import CID


class SqlLedger(LedgerView):
    """A `LedgerView` over one open transaction. Lives only inside `LedgerStore`'s contexts.

    beacon:  randomness of the epoch being closed, 32 bytes; None while nobody knows it
    """

    def __init__(
        self,
        transaction: LedgerTransaction,
        genesis: Genesis,
        epoch: Epoch,
        *,
        judge: Judge,
        beacon: bytes | None = None,
    ) -> None:
        super().__init__(
            policy=genesis.policy,
            chain_id=genesis.chain_id,
            ledger=genesis.ledger_address,
            epoch=epoch,
        )
        self.transaction = transaction
        self._judge = judge
        self._beacon = beacon
        self._read: dict[str, Entity | None] = {}

    def get(self, key: str) -> Entity | None:
        """Return the entity under a key, None if there is none."""
        # A batch may name the same few entities thousands of times.
        if key not in self._read:
            self._read[key] = self.transaction.entity(key)
        return self._read[key]

    def scan(self, prefix: str) -> Iterator[Entity]:
        """Yield the entities whose keys start with `prefix`, in the order of their keys."""
        return self.transaction.entities(prefix)

    def due(self, epoch: Epoch) -> Iterator[Entity]:
        """Yield what is due at `epoch` or was before, in the order of the keys."""
        return self.transaction.due(epoch)

    def beacon(self, epoch: Epoch) -> bytes:
        """Return the 32 bytes of randomness of an epoch. Raises `NotFound`."""
        if epoch == self.epoch and self._beacon is not None:
            return self._beacon
        return self.transaction.beacon(epoch)

    def verdict(self, statement: Statement, proof_cid: CID) -> bool:
        """Whether the proof holds for the statement."""
        return self._judge(statement, proof_cid)

    def write(self, transition: Transition) -> None:
        """Make the changes."""
        self._read.clear()
        self.transaction.write(transition)
