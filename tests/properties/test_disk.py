"""The store on a disk against the one in memory, over random histories with crashes between."""

import shutil
import tempfile
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from ipfs.block import Block
from ipfs.blockstore import MemoryBlockstore
from ipfs.cid import Codec
from ipfs.disk import DiskBlockstore

blocks = st.integers(0, 12).map(
    lambda number: Block.of(Codec.RAW, number.to_bytes(2) * (1 + number * 50))
)


class Histories(RuleBasedStateMachine):
    """Puts, deletions, restarts, torn tails, lost indexes; segments so small that many go."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.model = MemoryBlockstore()
        self.store = self.open()

    def open(self) -> DiskBlockstore:
        return DiskBlockstore(self.folder, segment_bytes_max=2_000)

    @rule(batch=st.lists(blocks, max_size=4))
    def put(self, batch: list[Block]) -> None:
        self.store.put(batch)
        self.model.put(batch)

    @rule(batch=st.lists(blocks, max_size=4))
    def delete(self, batch: list[Block]) -> None:
        self.store.delete(block.cid for block in batch)
        self.model.delete(block.cid for block in batch)

    @rule()
    def restart(self) -> None:
        self.store.close()
        self.store = self.open()

    @rule(garbage=st.binary(min_size=1, max_size=40))
    def crash_while_appending(self, garbage: bytes) -> None:
        self.store.close()
        for segment in sorted(self.folder.glob("*.segment"))[-1:]:
            with segment.open("ab") as file:
                file.write(garbage)
        self.store = self.open()

    @rule()
    def lose_the_index(self) -> None:
        self.store.close()
        for path in self.folder.glob("index.*"):
            path.unlink()
        self.store = self.open()

    @rule()
    def scrub(self) -> None:
        report = self.store.scrub()
        assert not report.lost
        assert report.block_count == len(list(self.model))
        assert not report.index_was_wrong

    @invariant()
    def both_hold_the_same(self) -> None:
        assert set(self.store) == set(self.model)
        for cid in self.model:
            assert self.store.get(cid) == self.model.get(cid)

    def teardown(self) -> None:
        self.store.close()
        shutil.rmtree(self.folder)


TestHistories = Histories.TestCase
TestHistories.settings = settings(max_examples=20, stateful_step_count=25, deadline=None)
