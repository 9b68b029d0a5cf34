"""Merkle roots: the known values of Certificate Transparency, and RFC 6962's own definition."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chain.merkle import StateTree, leaf_hash, root_of

LEAVES = [
    bytes.fromhex(leaf)
    for leaf in (
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    )
]
ROOTS = [  # certificate-transparency-go, `merkle` reference roots
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]


@pytest.mark.parametrize("count", range(9))
def test_known_roots(count: int) -> None:
    assert root_of([leaf_hash(leaf) for leaf in LEAVES[:count]]).hex() == ROOTS[count]


def defined_root(leaves: list[bytes]) -> bytes:
    """Return the root as RFC 6962 §2.1 defines it: by recursion."""
    if not leaves:
        return hashlib.sha256().digest()
    if len(leaves) == 1:
        return hashlib.sha256(b"\0" + leaves[0]).digest()
    split = 1 << (len(leaves) - 1).bit_length() - 1
    sides = defined_root(leaves[:split]) + defined_root(leaves[split:])
    return hashlib.sha256(b"\1" + sides).digest()


@given(st.lists(st.binary(max_size=8), max_size=70))
def test_rows_give_the_root_that_recursion_defines(leaves: list[bytes]) -> None:
    assert root_of([leaf_hash(leaf) for leaf in leaves]) == defined_root(leaves)


states = st.dictionaries(
    st.text("abc/0é\uffff\U00010000", max_size=4), st.binary(max_size=4), max_size=9
)


def defined_state_root(state: dict[str, bytes]) -> bytes:
    """Return the root over a state as docs/protocols/ledger.md defines it: all of it anew."""
    ordered = sorted((key.encode(), record) for key, record in state.items())
    return defined_root([key + b"\0" + record for key, record in ordered])


@given(states)
def test_a_state_has_one_root_in_any_order(state: dict[str, bytes]) -> None:
    entries = list(state.items())
    root = StateTree.of(entries).root()
    assert StateTree.of(entries[::-1]).root() == root == defined_state_root(state)
    for key, record in entries:
        changed = {**state, key: record + b"!"}
        assert StateTree.of(changed.items()).root() != root
        del changed[key]
        assert StateTree.of(changed.items()).root() != root


@given(states, states, st.integers(0, 9))
def test_a_changed_state_has_the_root_that_it_has_from_the_start(
    before: dict[str, bytes], writes: dict[str, bytes], removed_count: int
) -> None:
    tree = StateTree.of(before.items())
    removes = [key for key in before if key not in writes][:removed_count]
    after = {key: record for key, record in before.items() if key not in removes} | writes
    assert tree.changed(writes.items(), removes=removes).root() == defined_state_root(after)
    assert tree.root() == defined_state_root(before), "the tree before is still the tree before"
