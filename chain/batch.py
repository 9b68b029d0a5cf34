"""Batches: items settled one by one, each over what the ones before it left; a bad one alone."""

from collections.abc import Callable, Sequence
from typing import TypeVar

from chain.block import Refusal
from chain.errors import LedgerError, NotAllowed
from chain.view import Draft, LedgerView, Transition

Item = TypeVar("Item")


def each(
    view: LedgerView,
    items: Sequence[Item],
    settle: Callable[[LedgerView, Item], Transition],
    *,
    name_of: Callable[[Item], object],
    items_max: int,
) -> Transition:
    """Return what the items that stand change together, and why the others were refused.

    name_of:  an item under a name that was seen before in this batch is refused
    Raises: `NotAllowed` if there are more than `items_max`.
    """
    if len(items) > items_max:
        raise NotAllowed(f"{len(items)} items; the network takes {items_max} in one message")
    draft = Draft(view)
    seen: set[object] = set()
    for index, item in enumerate(items):
        try:
            if name_of(item) in seen:
                raise NotAllowed(f"{name_of(item)} is named twice in one message")
            seen.add(name_of(item))
            draft.write(settle(draft, item))
        except LedgerError as error:
            draft.refuse(Refusal(index=index, code=error.code, detail=str(error)))
    return draft.transition()
