"""The border of every codec: one typed error for each hostile item, at next to no cost."""

from typing import Any

import pytest

from ipfs.cid import CID
from ipfs.errors import PeerError
from ipfs.unixfs.errors import UnsafeEntry
from ipfs.unixfs.node import Symlink, check_target
from tests.support.borders import BORDERS, read_unixfs
from tests.support.cost import cost_of
from tests.support.vectors import own

KINDS = ("cid-bytes", "dag-cbor", "dag-pb", "unixfs", "car", "ipns")
ITEMS = [item for item in own("hostile.json")["items"] if item["kind"] in KINDS]
HOSTILE = [item for item in ITEMS if item["expect"] == "reject"]
OTHERS = {item["name"]: item for item in ITEMS if item["expect"] != "reject"}


def item_id(item: dict[str, Any]) -> str:
    return f"{item['kind']}-{item['name']}"


@pytest.mark.parametrize("item", HOSTILE, ids=item_id)
def test_a_hostile_item_costs_one_typed_error(item: dict[str, Any]) -> None:
    read, data = BORDERS[item["kind"]].read, bytes.fromhex(item["hex"])

    def refuse() -> None:
        with pytest.raises(PeerError) as caught:
            read(data)
        assert caught.value.code

    assert cost_of(refuse).is_little


def test_what_costs_much_is_called_so() -> None:
    assert not cost_of(lambda: bytes(8 << 20)).is_little
    assert not cost_of(lambda: [ord(each) for each in "a" * 5_000]).is_little


def test_what_is_not_to_be_rejected_is_read() -> None:
    assert OTHERS.keys() == {
        "identity 128 bytes",
        "symlink to ../../etc/passwd",
        "symlink absolute",
    }
    identity = CID.decode(bytes.fromhex(OTHERS["identity 128 bytes"]["hex"]))
    assert identity.digest == b"A" * 128


@pytest.mark.parametrize("name", ["symlink to ../../etc/passwd", "symlink absolute"])
def test_a_link_out_of_the_tree_is_read_but_not_written(name: str) -> None:
    link = read_unixfs(bytes.fromhex(OTHERS[name]["hex"]))
    assert isinstance(link, Symlink)
    with pytest.raises(UnsafeEntry, match="d/link"):
        check_target(link.target, path=("d", "link"))
