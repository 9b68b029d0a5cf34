"""What a stranger's proof can raise: one type, with a stable code."""

from typing import ClassVar


class ProofRejected(Exception):
    """The proof does not show what it claims. Nothing else can come out of a stranger's bytes.

    `code` is part of the protocol: it is what receipts store and the REST API returns.
    """

    code: ClassVar[str] = "proof-rejected"

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __reduce__(self) -> tuple[type["ProofRejected"], tuple[str]]:
        return type(self), (self.reason,)
