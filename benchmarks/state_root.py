"""What the state root of a block costs over 20,000 entities: all leaves anew, or only the changes'.

python -m benchmarks.state_root
"""

import hashlib
import tempfile
from pathlib import Path

from benchmarks.unit import measure
from chain.account import Account
from chain.closing import tree_after
from chain.keys import SigningKey
from chain.store import LedgerStore
from chain.units import Atto
from chain.view import Transition

ENTITIES = 20_000
CHANGED = 100


def main() -> None:
    """Print the two, and their ratio."""
    accounts = [
        Account(
            address=SigningKey(hashlib.sha256(b"%d" % number).digest()).address("thf"),
            balance_atto=Atto(number),
        )
        for number in range(ENTITIES)
    ]
    with tempfile.TemporaryDirectory() as folder:
        store = LedgerStore(f"sqlite:///{Path(folder) / 'ledger.sqlite'}")
        store.create_tables()
        with store.transaction() as ledger:
            ledger.write(Transition(writes=tuple(accounts)))
        change = Transition(writes=tuple(account.evolve(nonce=1) for account in accounts[:CHANGED]))
        with store.reading() as ledger:
            anew = measure(lambda: ledger.state_tree().root())
            tree = ledger.state_tree()
        kept = measure(lambda: tree_after(tree, change).root())
        nodes = measure(tree.root)
        store.close()
    print(f"{ENTITIES} entities, {CHANGED} changed by the block")
    for name, found in (
        ("all leaves anew", anew),
        ("changed leaves", kept),
        ("of it, nodes", nodes),
    ):
        print(f"{name:16} {found.core_seconds * 1_000:7.1f} ms {found.units:10.0f} L")
    print(f"ratio            {anew.units / kept.units:7.1f}")


if __name__ == "__main__":
    main()
