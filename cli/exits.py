"""How a command ends: exit codes by the error's stable code, and what is said."""

from collections.abc import Mapping
from typing import Final

OK: Final = 0
FAILED: Final = 1
USAGE: Final = 2
NOT_FOUND: Final = 4
NOT_ALLOWED: Final = 5
INSUFFICIENT_FUNDS: Final = 6
NETWORK: Final = 7
VERIFICATION_FAILED: Final = 8
NO_KEYS: Final = 10
LOCKED: Final = 11
INTERRUPTED: Final = 130
NOBODY_READS: Final = 141
TERMINATED: Final = 143
"""128 and the number of the signal, as shells count."""

HELP: Final = (
    "Exit codes: 0 done, 1 failed, 2 wrong usage or configuration, 4 not found, 5 not allowed, "
    "6 not enough money, 7 network (try again), 8 verification failed, 10 no wallet or provider, "
    "11 folder in use, 130 interrupted, 141 nobody reads the output, 143 terminated."
)

_BY_CODE: Final[Mapping[str, int]] = {
    "usage": USAGE,
    "not-a-file": USAGE,
    "config-invalid": USAGE,
    "ledger-foreign": USAGE,
    "sealing-needs-memory": USAGE,
    "object-store-missing": USAGE,
    "not-found": NOT_FOUND,
    "block-not-found": NOT_FOUND,
    "no-such-entry": NOT_FOUND,
    "pin-not-found": NOT_FOUND,
    "name-not-found": NOT_FOUND,
    "key-not-found": NOT_FOUND,
    "no-provider": NOT_FOUND,
    "not-allowed": NOT_ALLOWED,
    "wrong-signature": NOT_ALLOWED,
    "key-file-open": NOT_ALLOWED,
    "insufficient-funds": INSUFFICIENT_FUNDS,
    "ledger-unreachable": NETWORK,
    "object-store-failed": NETWORK,
    "peer-unreachable": NETWORK,
    "protocol-unsupported": NETWORK,
    "dag-unavailable": NETWORK,
    "nobody-to-ask": NETWORK,
    "name-not-published": NETWORK,
    "not-enough-providers": NETWORK,
    "wrong-block": VERIFICATION_FAILED,
    "malformed-bytes": VERIFICATION_FAILED,
    "unsafe-entry": VERIFICATION_FAILED,
    "limit-exceeded": VERIFICATION_FAILED,
    "car-incomplete": VERIFICATION_FAILED,
    "car-version-unsupported": VERIFICATION_FAILED,
    "proof-invalid": VERIFICATION_FAILED,
    "audit-failed": VERIFICATION_FAILED,
    "database-damaged": VERIFICATION_FAILED,
    "sector-damaged": VERIFICATION_FAILED,
    "file-lost": VERIFICATION_FAILED,
    "block-corrupt": VERIFICATION_FAILED,
    "pinned-dag-broken": VERIFICATION_FAILED,
    "pins-damaged": VERIFICATION_FAILED,
    "wallet-missing": NO_KEYS,
    "provider-missing": NO_KEYS,
    "folder-locked": LOCKED,
    "store-locked": LOCKED,
}


_PACKAGES: Final = frozenset(("chain", "cli", "client", "ipfs", "market", "proofs", "provider"))


def code_of(error: BaseException) -> str | None:
    """Return the stable code of an error that is an answer; None for one that is a bug."""
    # Others' errors have codes too, which mean something else.
    is_ours = type(error).__module__.partition(".")[0] in _PACKAGES
    if is_ours and isinstance(code := getattr(error, "code", None), str):
        return code
    if isinstance(error, FileNotFoundError):
        return "not-found"
    if isinstance(error, FileExistsError):
        return "already-exists"
    if isinstance(error, PermissionError):
        return "not-allowed"
    return "os-error" if isinstance(error, OSError) else None


def exit_status(code: str) -> int:
    """Return the exit code of a command that ended with this error."""
    return _BY_CODE.get(code, FAILED)


def said(error: BaseException) -> str:
    """Return what is wrong in words: what the system says of what, without its numbers."""
    if not isinstance(error, OSError) or error.strerror is None:
        return str(error)
    what = error.strerror[:1].lower() + error.strerror[1:]
    return what if error.filename is None else f"{error.filename}: {what}"
