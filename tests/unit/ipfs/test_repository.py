"""Pins and garbage collection: what is pinned stays, whatever happens meanwhile."""

import io
import random
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ipfs import dag_cbor
from ipfs.block import Block
from ipfs.blockstore import BlockNotFound, MemoryBlockstore
from ipfs.cid import CID, Codec
from ipfs.dag import walk
from ipfs.disk import DiskBlockstore
from ipfs.pins.pin import Pin, PinNotFound, PinsDamaged
from ipfs.pins.store import PinStore
from ipfs.repository import PinnedDagBroken, Repository
from ipfs.unixfs.chunker import FixedSize
from ipfs.unixfs.importer import import_file
from ipfs.unixfs.profiles import ImportSettings

SMALL = ImportSettings(chunker=FixedSize(1_000), links_per_node_max=4)


def content(number: int, size_bytes: int = 20_000) -> bytes:
    return random.Random(number).randbytes(size_bytes)


@pytest.fixture
def pins(tmp_path: Path) -> Iterator[PinStore]:
    with PinStore(tmp_path / "pins.sqlite") as pins:
        yield pins


@pytest.fixture
def repository(pins: PinStore) -> Repository:
    return Repository(MemoryBlockstore(), pins)


def add(repository: Repository, number: int) -> CID:
    return import_file(io.BytesIO(content(number)), repository.blocks, SMALL).cid


def is_whole(repository: Repository, root: CID) -> bool:
    try:
        return sum(1 for _ in walk(repository.blocks, root)) > 0
    except BlockNotFound:
        return False


def test_only_what_is_pinned_stays(repository: Repository) -> None:
    kept, lost = add(repository, 1), add(repository, 2)
    lost_blocks = list(walk(repository.blocks, lost))
    lost_bytes = sum(map(repository.blocks.size_bytes, lost_blocks))
    repository.pin(Pin(root=kept))
    collected = repository.collect()
    assert (collected.removed_count, collected.freed_bytes) == (len(lost_blocks), lost_bytes)
    assert is_whole(repository, kept)
    assert set(repository.blocks) == set(walk(repository.blocks, kept))
    repository.pins.remove(kept)
    repository.collect()
    assert list(repository.blocks) == []


def test_each_reason_holds_by_itself_until_its_epoch(repository: Repository) -> None:
    root = add(repository, 1)
    repository.pin(Pin(root=root, reason="deal 7", until_epoch=100))
    repository.pin(Pin(root=root, reason="a friend", until_epoch=50))
    repository.pin(Pin(root=root, reason="a friend", until_epoch=120))
    assert len(repository.pins.all()) == 2
    for epoch in (None, 49, 99):
        repository.collect(epoch=epoch)
        assert is_whole(repository, root)
    repository.pins.remove(root, "a friend")
    repository.collect(epoch=99)
    assert is_whole(repository, root)
    repository.collect(epoch=100)
    assert not repository.blocks.has(root)
    with pytest.raises(PinNotFound):
        repository.pins.remove(root, "a friend")
    assert repository.pins.all() == (), "what has ended is not there to be missed"
    repository.collect()


def test_a_dag_that_many_keep_is_walked_once(pins: PinStore) -> None:
    class Counted(MemoryBlockstore):
        got: list[CID]

        def get(self, cid: CID) -> Block:
            self.got.append(cid)
            return super().get(cid)

    blocks = Counted()
    blocks.got = []
    repository = Repository(blocks, pins)
    root = add(repository, 1)
    for number in range(10):
        pins.add(Pin(root=root, reason=str(number)))
    blocks.got.clear()
    repository.collect()
    assert root in blocks.got
    assert len(set(blocks.got)) == len(blocks.got)


def test_a_direct_pin_keeps_one_block(repository: Repository) -> None:
    root = add(repository, 1)
    repository.pin(Pin(root=root, is_recursive=False))
    repository.collect()
    assert list(repository.blocks) == [root]


def test_what_is_not_whole_is_not_pinned(repository: Repository) -> None:
    root = add(repository, 1)
    leaf = list(walk(repository.blocks, root))[-1]
    repository.blocks.delete([leaf])
    with pytest.raises(BlockNotFound):
        repository.pin(Pin(root=root))
    assert repository.pins.all() == ()


def test_below_a_lost_block_nothing_is_guessed(repository: Repository) -> None:
    root, other = add(repository, 1), add(repository, 2)
    repository.pin(Pin(root=root))
    inner = [cid for cid in walk(repository.blocks, root) if cid.codec == Codec.DAG_PB][1]
    repository.blocks.delete([inner])
    before = set(repository.blocks)
    with pytest.raises(PinnedDagBroken) as caught:
        repository.collect()
    assert (caught.value.root, caught.value.missing) == (root, inner)
    assert set(repository.blocks) == before
    assert is_whole(repository, other)


def test_only_some_are_collected_on_request(repository: Repository) -> None:
    pinned, mine, other = (add(repository, number) for number in (1, 2, 3))
    repository.pin(Pin(root=pinned))
    among = [*walk(repository.blocks, pinned), *walk(repository.blocks, mine)]
    repository.collect(among=among)
    assert is_whole(repository, pinned)
    assert is_whole(repository, other)
    assert not repository.blocks.has(mine)


class Interrupted(MemoryBlockstore):
    """A store where something happens after each block that a sweep meets."""

    def __init__(self) -> None:
        super().__init__()
        self.happens: Callable[[], None] = lambda: None

    def __iter__(self) -> Iterator[CID]:
        for cid in list(super().__iter__()):
            yield cid
            happens, self.happens = self.happens, lambda: None
            happens()


@pytest.mark.parametrize("how", ["pin", "import and pin", "hold from before", "hold and go on"])
def test_what_is_pinned_during_a_collection_stays(how: str, pins: PinStore) -> None:
    blocks = Interrupted()
    repository = Repository(blocks, pins)
    root = add(repository, 1)
    garbage = add(repository, 2)

    def pin() -> None:
        repository.pin(Pin(root=root))

    def import_again() -> None:
        with repository.hold() as held:
            assert import_file(io.BytesIO(content(1)), held, SMALL).cid == root
            repository.pin(Pin(root=root))

    if how.startswith("hold"):
        with repository.hold() as held:
            import_file(io.BytesIO(content(1)), held, SMALL)
            if how == "hold and go on":
                blocks.happens = pin
            repository.collect()
            pin()
    else:
        blocks.happens = pin if how == "pin" else import_again
        repository.collect()
    assert is_whole(repository, root)
    assert not blocks.has(garbage)
    repository.collect()
    assert is_whole(repository, root)


@pytest.mark.parametrize("until_epoch", [None, 9])
def test_an_ended_pin_that_its_owner_touches_meanwhile_is_the_owners(
    until_epoch: int | None, pins: PinStore
) -> None:
    class Walked(MemoryBlockstore):
        """A store where the owner acts while another pin is walked."""

        def get(self, cid: CID) -> Block:
            if cid == other.cid:
                owner_acts()
            return super().get(cid)

    def owner_acts() -> None:
        if until_epoch is None:
            pins.remove(ended.cid)
        else:
            pins.add(renewed)

    blocks = Walked()
    repository = Repository(blocks, pins)
    [other, ended] = (Block.of(Codec.DAG_CBOR, dag_cbor.encode(number)) for number in (1, 2))
    blocks.put([other, ended])
    renewed = Pin(root=ended.cid, until_epoch=until_epoch)
    for pin in (Pin(root=other.cid), Pin(root=ended.cid, until_epoch=3)):
        pins.add(pin)
    repository.collect(epoch=5)
    assert pins.all() == (Pin(root=other.cid), *([] if until_epoch is None else [renewed]))


def test_collections_and_imports_at_once_on_a_disk(tmp_path: Path, pins: PinStore) -> None:
    with DiskBlockstore(tmp_path / "blocks", segment_bytes_max=100_000) as blocks:
        repository = Repository(blocks, pins)
        rounds = 12

        def import_some(worker: int) -> list[CID]:
            roots = []
            for number in range(rounds):
                shared = number % 3
                with repository.hold() as held:
                    source = io.BytesIO(content(shared, 6_000) + content(worker * 100 + number))
                    root = import_file(source, held, SMALL).cid
                    if number % 2:
                        repository.pin(Pin(root=root, reason=f"worker {worker}"))
                        roots.append(root)
            return roots

        with ThreadPoolExecutor(4) as pool:
            importing = [pool.submit(import_some, worker) for worker in range(3)]
            while not all(task.done() for task in importing):
                repository.collect()
            roots = [root for task in importing for root in task.result()]
        repository.collect()
        kept = {cid.multihash for root in roots for cid in walk(blocks, root)}
        assert len(roots) == 3 * rounds // 2
        assert {cid.multihash for cid in blocks} == kept
        assert blocks.scrub().is_clean


def test_pins_outlive_the_process(tmp_path: Path) -> None:
    pin = Pin(root=CID.of(Codec.RAW, b"x"), reason="für später", until_epoch=7)
    with PinStore(tmp_path / "folder" / "pins.sqlite") as pins:
        pins.add(pin)
    with PinStore(tmp_path / "folder" / "pins.sqlite") as pins:
        assert pins.all() == (pin,)


def test_a_list_of_pins_that_rotted_collects_nothing(tmp_path: Path) -> None:
    path = tmp_path / "pins.sqlite"
    block = Block.of(Codec.RAW, b"kept")
    with PinStore(path) as pins:
        pins.add(Pin(root=block.cid, reason="important"))
    whole = path.read_bytes()
    found = 0
    for at in [i for i in range(len(whole)) if whole[i : i + 9] == b"important"]:
        data = bytearray(whole)
        data[at] ^= 1
        path.write_bytes(data)
        blocks = MemoryBlockstore()
        blocks.put([block])
        with PinStore(path) as pins, pytest.raises(PinsDamaged):
            Repository(blocks, pins).collect()
        assert blocks.has(block.cid)
        found += 1
    assert found >= 2
    path.write_bytes(b"no database at all" * 100)
    with pytest.raises(PinsDamaged):
        PinStore(path)


def test_a_file_of_pins_torn_while_it_is_open_is_said_to_be_damaged(tmp_path: Path) -> None:
    path = tmp_path / "pins.sqlite"
    pin = Pin(root=CID.of(Codec.RAW, b"x"))
    with PinStore(path) as pins:
        pins.add(pin)
    with PinStore(path) as pins:
        path.write_bytes(bytes(path.stat().st_size))
        for change in (pins.add, pins.strike, lambda _: pins.remove(pin.root)):
            with pytest.raises(PinsDamaged):
                change(pin)
