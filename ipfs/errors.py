"""What a stranger's bytes can raise: one family, each with a stable code."""

from typing import ClassVar


class PeerError(Exception):
    """A peer said something that its protocol does not allow; drop the stream, keep the process.

    Every parser of a stranger's bytes raises this type (or a child of it) and no other.
    `code` is stable, for logs and programs.
    """

    code: ClassVar[str] = "peer-fault"


class MalformedBytes(PeerError):
    """The bytes are not a valid, canonical encoding of what they claim to be."""

    code = "malformed-bytes"

    def __init__(self, what: str, reason: str) -> None:
        super().__init__(f"{what}: {reason}")
        self.what = what
        self.reason = reason

    def __reduce__(self) -> tuple[type["MalformedBytes"], tuple[str, str]]:
        return type(self), (self.what, self.reason)


class LimitExceeded(PeerError):
    """The peer asked for more than the stated limit; nothing was allocated for it."""

    code = "limit-exceeded"

    def __init__(self, what: str, *, limit: int, asked: int) -> None:
        super().__init__(f"{what}: {asked} asked, {limit} allowed")
        self.what = what
        self.limit = limit
        self.asked = asked


class WrongBlock(PeerError):
    """The bytes do not hash to the CID that was asked for."""

    code = "wrong-block"


class PeerHungUp(PeerError):
    """The peer closed the stream before the conversation was over."""

    code = "peer-hung-up"


class OutOfTurn(PeerError):
    """The peer said something that the conversation does not expect at this point."""

    code = "out-of-turn"


class PeerTooSlow(PeerError):
    """The peer did not finish in time what it had begun."""

    code = "peer-too-slow"
