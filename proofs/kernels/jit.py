"""Compiling with numba: kept on disk where there is one, told to the user once."""

import logging
from collections.abc import Callable
from typing import Any

import numba
from numba.core import event

log = logging.getLogger(__name__)


def compiled(function: Callable[..., None]) -> Callable[..., None]:
    """Compile on the first call and keep the result on disk, if there is a disk to keep it on.

    numba renews what it kept when the function's file or its target CPU changes, but not when only
    `intrinsics.py` or an `_ir.py` file does: whoever edits those touches the function's file too.
    """
    try:
        return numba.njit(cache=True, nogil=True, error_model="numpy")(function)
    except RuntimeError:  # numba found no folder that it may write to
        return numba.njit(nogil=True, error_model="numpy")(function)


class _Teller(event.Listener):
    """Says once that something is compiled, so that nobody wonders what takes so long."""

    _has_told = False

    def on_start(self, _: Any) -> None:
        """Note that a compilation begins."""
        if not self._has_told:
            self._has_told = True
            log.warning("compiling the kernels for this processor; once, a few seconds")

    def on_end(self, _: Any) -> None:
        """Note that one has ended."""


event.register("numba:compile", _Teller())  # type: ignore[no-untyped-call]  # numba has no types
