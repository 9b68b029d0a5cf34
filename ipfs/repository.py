"""Blocks with reasons to keep them: pins, and garbage collection that respects them."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from threading import Lock
from typing import ClassVar, Final

from ipfs.block import Block
from ipfs.blockstore import BlockNotFound, Blockstore
from ipfs.cid import CID
from ipfs.dag import inline_block, walk
from ipfs.pins.pin import Pin, Pins

_SWEEP_BLOCKS: Final = 1_000
"""Deleted at a time; who puts or reads blocks through a hold waits for no more than that."""


class PinnedDagBroken(Exception):
    """A pinned DAG lacks a block, so what hangs below it is unknown; nothing was collected."""

    code: ClassVar[str] = "pinned-dag-broken"

    def __init__(self, root: CID, missing: CID) -> None:
        super().__init__(
            f"the pinned {root} lacks {missing}: get it again, or unpin it, then collect"
        )
        self.root = root
        self.missing = missing


@dataclass(frozen=True, slots=True)
class Collected:
    """What a garbage collection came to."""

    removed_count: int
    freed_bytes: int


class Repository:
    """A block store and the pins on it. Safe to use from many threads.

    What is put and pinned inside one `hold` can't be collected in between. A block is spared as
    well if anything touched it through a hold since the collection began: the collection read
    the pins before.
    """

    def __init__(self, blocks: Blockstore, pins: Pins) -> None:
        self.blocks = blocks
        self.pins = pins
        self._one_collection = Lock()
        self._lock = Lock()
        self._touched: set[bytes] = set()
        self._users = 0

    @contextmanager
    def hold(self) -> Iterator[Blockstore]:
        """Lend the store; what is put, read or asked for through it stays until this ends."""
        with self._in_use():
            yield _Held(self)

    def pin(self, pin: Pin) -> None:
        """Pin a DAG that is whole here. Raises `BlockNotFound`, and what `walk` does."""
        with self.hold() as blocks:
            if pin.is_recursive:
                for _ in walk(blocks, pin.root):
                    pass
            elif not inline_block(pin.root):
                blocks.size_bytes(pin.root)
            self.pins.add(pin)

    def collect(self, *, epoch: int | None = None, among: Iterable[CID] | None = None) -> Collected:
        """Delete every block that no pin keeps.

        epoch:  now; pins that have ended are struck. None: all pins count.
        among:  delete only of these
        Raises `PinsDamaged`, `PinnedDagBroken`; then nothing was deleted.
        """
        with self._one_collection, self._in_use():
            pins = self.pins.all()
            kept = self._pinned(pin for pin in pins if pin.holds_at(epoch))
            for pin in pins:
                if not pin.holds_at(epoch):
                    # Its owner may have renewed or removed it since the pins were read.
                    self.pins.strike(pin)
            removed_count = freed_bytes = 0
            for batch in _batches(self.blocks if among is None else among, kept):
                count, size_bytes = self._sweep(batch)
                removed_count += count
                freed_bytes += size_bytes
            return Collected(removed_count, freed_bytes)

    def touch(self, cids: Iterable[CID]) -> None:
        """Spare these blocks from a collection under way."""
        with self._lock:
            self._touched.update(cid.multihash for cid in cids)

    def _pinned(self, pins: Iterable[Pin]) -> set[bytes]:
        kept: set[bytes] = set()
        # A DAG is walked once, however many reasons there are to keep it.
        for root, is_recursive in {(pin.root, pin.is_recursive) for pin in pins}:
            kept.add(root.multihash)
            if is_recursive:
                try:
                    kept.update(cid.multihash for cid in walk(self.blocks, root))
                except BlockNotFound as error:
                    raise PinnedDagBroken(root, error.cid) from error
        return kept

    def _sweep(self, batch: list[CID]) -> tuple[int, int]:
        with self._lock:
            doomed = [cid for cid in batch if cid.multihash not in self._touched]
            size_bytes = 0
            for cid in doomed:
                with suppress(BlockNotFound):
                    size_bytes += self.blocks.size_bytes(cid)
            self.blocks.delete(doomed)
        return len(doomed), size_bytes

    @contextmanager
    def _in_use(self) -> Iterator[None]:
        with self._lock:
            self._users += 1
        try:
            yield
        finally:
            with self._lock:
                self._users -= 1
                if not self._users:
                    self._touched.clear()


class _Held:
    """The store as a holder sees it: to name a block is to keep it.

    A block is touched first: then a collection either spares it, or has deleted it already.
    """

    def __init__(self, repository: Repository) -> None:
        self._repository = repository
        self._blocks = repository.blocks

    def get(self, cid: CID) -> Block:
        self._repository.touch((cid,))
        return self._blocks.get(cid)

    def get_at_once(self, cid: CID) -> None:
        """Return None: a collection may have to be waited for."""

    def has(self, cid: CID) -> bool:
        self._repository.touch((cid,))
        return self._blocks.has(cid)

    def size_bytes(self, cid: CID) -> int:
        self._repository.touch((cid,))
        return self._blocks.size_bytes(cid)

    def put(self, blocks: Iterable[Block]) -> None:
        batch = list(blocks)
        self._repository.touch(block.cid for block in batch)
        self._blocks.put(batch)

    def delete(self, cids: Iterable[CID]) -> None:
        self._blocks.delete(cids)

    def __iter__(self) -> Iterator[CID]:
        return iter(self._blocks)


def _batches(cids: Iterable[CID], kept: set[bytes]) -> Iterator[list[CID]]:
    batch: list[CID] = []
    for cid in cids:
        if cid.multihash not in kept:
            batch.append(cid)
        if len(batch) == _SWEEP_BLOCKS:
            yield batch
            batch = []
    if batch:
        yield batch
