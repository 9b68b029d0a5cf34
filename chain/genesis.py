"""Beginning a chain: its keys, its genesis, its first block. Once, if there is none yet."""

from pathlib import Path
from typing import Final

from chain.accounts import genesis_transition
from chain.beacon import OwnBeacon
from chain.block import Allocation, Genesis, LedgerBlock
from chain.closing import LedgerKeys, Settled
from chain.config import LedgerConfig
from chain.disk import read_secret, write_secret
from chain.keys import KEY_BYTES, SigningKey
from chain.policy import POLICIES
from chain.store import LedgerStore
from chain.units import Epoch
from chain.view import Transition
from proofs.bls import SecretKey
from proofs.drand import Round

KEYS_NAME: Final = "ledger.keys"


class KeysLost(Exception):
    """There is a chain, but not the keys that sign it."""

    code = "keys-lost"

    def __init__(self, path: Path) -> None:
        super().__init__(f"{path} is missing, or holds other keys than the chain was begun with")
        self.path = path


def open_keys(folder: Path) -> LedgerKeys:
    """Return the keys that the folder keeps, made at first. Raises `KeysLost`, `KeyFileOpen`."""
    path = folder / KEYS_NAME
    seeds = read_secret(path)
    if seeds is None:
        seeds = SigningKey.generate().seed + SigningKey.generate().seed
        write_secret(path, seeds)
    if len(seeds) != 2 * KEY_BYTES:
        raise KeysLost(path)
    return LedgerKeys(SigningKey(seeds[:KEY_BYTES]), SecretKey.from_seed(seeds[KEY_BYTES:]))


def genesis_of(config: LedgerConfig, keys: LedgerKeys, *, timestamp_milliseconds: int) -> Genesis:
    """Return the genesis that a configuration describes."""
    policy, followed = POLICIES[config.policy], config.followed
    return Genesis(
        policy=policy,
        ledger_address=keys.signing.address(policy.address_prefix),
        beacon=followed.beacon if followed else OwnBeacon(public_key=keys.beacon.public_key),
        timestamp_milliseconds=timestamp_milliseconds,
        allocations=tuple(
            Allocation(address=allocation.address, amount_atto=allocation.amount)
            for allocation in config.allocations
        ),
    )


def begin_chain(
    store: LedgerStore, keys: LedgerKeys, genesis: Genesis, *, published: Round | None = None
) -> None:
    """Put the genesis and the block of epoch 0 into an empty store.

    published:  the round of drand that is due at the genesis's time, where the chain follows drand
    """
    own = keys.sign_beacon(genesis.chain_id, Epoch(0))
    beacon = published.signature if published else own
    with store.transaction() as ledger:
        ledger.begin(genesis)
        ledger.write(genesis_transition(genesis))
        header = keys.seal_header(
            Settled(Transition(), (), ()),
            (),
            chain_id=genesis.chain_id,
            parent=None,
            timestamp_milliseconds=genesis.timestamp_milliseconds,
            beacon=beacon,
            state_root=ledger.state_tree().root(),
        )
        genesis.verify_beacon(header.header)
        ledger.append(LedgerBlock(signed_header=header, messages=(), receipts=(), verdicts=()))


def open_chain(
    store: LedgerStore,
    config: LedgerConfig,
    *,
    folder: Path,
    timestamp_milliseconds: int,
    published: Round | None = None,
) -> LedgerKeys:
    """Return the keys of the store's chain, begun as configured if there is none.

    published:  what drand published last, where a new chain is to follow it: dates the genesis

    A chain that exists is never changed. Raises `KeysLost`, `KeyFileOpen`.
    """
    with store.reading() as ledger:
        genesis = ledger.genesis()
    if genesis is not None and read_secret(folder / KEYS_NAME) is None:
        raise KeysLost(folder / KEYS_NAME)
    keys = open_keys(folder)
    if genesis is None:
        if config.followed and published:
            timestamp_milliseconds = config.followed.beacon.due_milliseconds(published.number)
        genesis = genesis_of(config, keys, timestamp_milliseconds=timestamp_milliseconds)
        begin_chain(store, keys, genesis, published=published)
    if keys.signing.address(genesis.policy.address_prefix) != genesis.ledger_address:
        raise KeysLost(folder / KEYS_NAME)
    return keys
