"""Compiling with numba: kept on disk where there is one, told to the user once."""

import logging
from collections.abc import Callable
from contextlib import suppress
from pickle import UnpicklingError
from typing import Any, cast

import numba
from numba.core import event
from numba.core.caching import FunctionCache

log = logging.getLogger(__name__)


def compiled(function: Callable[..., None]) -> Callable[..., None]:
    """Compile on the first call and keep the result on disk, if there is a disk to keep it on.

    numba renews what it kept when the function's file or its target CPU changes, but not when only
    `intrinsics.py` or an `_ir.py` file does: whoever edits those touches the function's file too.
    """
    dispatcher: Any = numba.njit(nogil=True, error_model="numpy")(function)
    with suppress(RuntimeError):  # numba found no folder that it may write to
        dispatcher._cache = _Kept(function)  # type: ignore[no-untyped-call]  # noqa: SLF001
    return cast(Callable[..., None], dispatcher)


class _Kept(FunctionCache):
    """What is kept of one function. A disk that fails costs a compilation, nothing else."""

    def load_overload(self, *arguments: Any) -> Any:
        """Return what was kept, None if nothing was or it was torn."""
        try:
            return super().load_overload(*arguments)  # type: ignore[no-untyped-call]
        except (OSError, EOFError, UnpicklingError):
            self.flush()
            return None

    def save_overload(self, *arguments: Any) -> None:
        """Keep it if that goes."""
        with suppress(OSError):
            super().save_overload(*arguments)  # type: ignore[no-untyped-call]

    def flush(self) -> None:
        """Forget what is kept, if that goes."""
        with suppress(OSError):
            super().flush()  # type: ignore[no-untyped-call]


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
