"""The shapes of a file's tree: balanced and trickle (specs.ipfs.tech/unixfs, "Layout").

Both take leaves as they arrive and return the parts of the root, which is the caller's to make;
`join` makes every node below it.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import islice
from typing import Final, Generic, TypeVar, assert_never

T = TypeVar("T")

_SUBTREES_PER_DEPTH: Final = 4
"""Of the trickle layout (boxo `trickle`, depthRepeat)."""


class Layout(StrEnum):
    """How the leaves of a file are joined."""

    BALANCED = "balanced"
    """All leaves equally deep: the same cost wherever one reads."""

    TRICKLE = "trickle"
    """The first leaves hang from the root, later ones ever deeper: for reading front to back."""


def parts_of_root(
    layout: Layout, leaves: Iterable[T], *, links_max: int, join: Callable[[list[T]], T]
) -> list[T]:
    """Return what the root links to: in the balanced layout, one leaf is a root by itself."""
    match layout:
        case Layout.BALANCED:
            tree = _BalancedTree(links_max, join)
            for leaf in leaves:
                tree.add(leaf)
            return tree.parts_of_root()
        case Layout.TRICKLE:
            return _TrickleTree(iter(leaves), links_max, join).parts(depth_max=None)
        case _:
            assert_never(layout)


@dataclass(slots=True)
class _BalancedTree(Generic[T]):
    """Builds the balanced layout as leaves arrive: nodes are filled in order.

    _levels[h] holds the finished subtrees of height h that have no parent yet, at most
    `links_max` of them.
    """

    links_max: int
    join: Callable[[list[T]], T]
    _levels: list[list[T]] = field(default_factory=list)

    def add(self, subtree: T, height: int = 0) -> None:
        if height == len(self._levels):
            self._levels.append([])
        level = self._levels[height]
        if len(level) == self.links_max:
            # Only now is it sure that this level is not the root's.
            self._levels[height] = [subtree]
            self.add(self.join(level), height + 1)
        else:
            level.append(subtree)

    def parts_of_root(self) -> list[T]:
        """Join what is left, lowest first; nothing if nothing was ever added."""
        height = 0
        while height < len(self._levels) - 1:
            self.add(self.join(self._levels[height]), height + 1)
            height += 1
        return self._levels[-1] if self._levels else []


class _TrickleTree(Generic[T]):
    """Builds the trickle layout: each node its leaves first, then four subtrees of each depth."""

    def __init__(self, leaves: Iterator[T], links_max: int, join: Callable[[list[T]], T]) -> None:
        self._leaves = leaves
        self._links_max = links_max
        self._join = join
        self._peeked = list(islice(leaves, 1))

    def parts(self, *, depth_max: int | None) -> list[T]:
        """Take leaves for one node and what is below it, `depth_max` levels at most."""
        parts = [leaf for _ in range(self._links_max) for leaf in self._take()]
        depth = 1
        while self._peeked and (depth_max is None or depth < depth_max):
            # One by one: each takes leaves, and the next is made only if some are left.
            for _ in range(_SUBTREES_PER_DEPTH):
                parts += [self._join(self.parts(depth_max=depth))] if self._peeked else []
            depth += 1
        return parts

    def _take(self) -> list[T]:
        taken, self._peeked = self._peeked, list(islice(self._leaves, 1))
        return taken
