"""What keeps a client from storing or getting a file; each says whose move it is."""

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from chain.units import ProviderId
from ipfs.cid import CID
from ipfs.disk import StoreLocked


class ClientError(Exception):
    """The client can't go on; nothing is lost. `code` is stable, for programs."""

    code: ClassVar[str]


class WalletMissing(ClientError):
    """There is no key where the wallet should be."""

    code = "wallet-missing"

    def __init__(self, path: Path) -> None:
        super().__init__(f"no wallet at {path}; make one: holdfast wallet new")
        self.path = path


class WalletExists(ClientError):
    """A wallet is never overwritten: its money would be gone."""

    code = "wallet-exists"

    def __init__(self, path: Path) -> None:
        super().__init__(f"there is a wallet at {path} already; it is left as it is")
        self.path = path


class WalletUnreadable(ClientError):
    """The file is no key; perhaps it was cut short or edited."""

    code = "wallet-unreadable"

    def __init__(self, path: Path) -> None:
        super().__init__(f"{path} is not a key file; restore it from your copy")
        self.path = path


class KeyNameUnusable(ClientError):
    """A key can't be called so: its name is also a file's."""

    code = "usage"

    def __init__(self, name: str) -> None:
        super().__init__(f"{name!r} is no name for a key; take letters, digits, '-', '_', '.'")
        self.name = name


class KeyNotFound(ClientError):
    """No key has this name."""

    code = "key-not-found"

    def __init__(self, name: str) -> None:
        super().__init__(f"no key is called {name!r}; see: holdfast ipfs key list")
        self.name = name


class KeyExists(ClientError):
    """A key is never overwritten: nobody could point its name elsewhere any more."""

    code = "key-exists"

    def __init__(self, name: str) -> None:
        super().__init__(f"there is a key called {name!r} already; it is left as it is")
        self.name = name


class NowhereToKeep(ClientError):
    """What is asked for would have to be fetched, and another process writes where it would go."""

    code = "store-locked"

    def __init__(self, refusal: StoreLocked) -> None:
        super().__init__(f"not all of it is here, and what is fetched could not be kept: {refusal}")
        self.holder_pid = refusal.holder_pid


class PieceTooLarge(ClientError):
    """The file does not fit into one sector of any provider; nothing was spent."""

    code = "piece-too-large"

    def __init__(self, *, car_bytes: int, piece_bytes_max: int) -> None:
        payload_bytes_max = piece_bytes_max // 128 * 127
        super().__init__(
            f"{car_bytes} bytes with their DAG do not fit into any piece that is taken here: "
            f"{payload_bytes_max} at most; larger sectors take more: --sector-size 512MiB"
        )
        self.car_bytes = car_bytes
        self.payload_bytes_max = payload_bytes_max


class NotEnoughProviders(ClientError):
    """Fewer providers than copies take these terms; `reasons` says why each other one did not."""

    code = "not-enough-providers"

    def __init__(self, *, needed: int, found: int, reasons: Mapping[ProviderId, str]) -> None:
        why = "".join(f"\n  provider {key}: {reason}" for key, reason in sorted(reasons.items()))
        nobody = "nobody else was found" if found else "none was found: is a provider running?"
        super().__init__(
            f"{needed} more {'copy needs a provider' if needed == 1 else 'copies need providers'} "
            f"with owners of their own, {found} would take "
            f"the file{why or f'; {nobody}'}"
        )
        self.needed = needed
        self.found = found
        self.reasons = dict(reasons)


class DealFellThrough(ClientError):
    """A deal that was accepted came to nothing; its money is free again."""

    code = "deal-fell-through"

    def __init__(self, proposal_cid: CID, reason: str) -> None:
        super().__init__(f"the deal {proposal_cid} fell through: {reason}")
        self.proposal_cid = proposal_cid
        self.reason = reason
