"""multistream-select 1.0: two peers agree on a protocol, one line at a time (multiformats).

dialer    header, proposal ──▶            ──▶ next proposal …
listener           ◀── header, echo (agreed) or "na" (refused)

A line is its length as a varint, text, and a newline. Either side may say what follows the
agreement at once, so both machines keep the `rest`.
"""

from collections.abc import Container, Sequence
from typing import Final

from ipfs import varint
from ipfs.errors import LimitExceeded, MalformedBytes, OutOfTurn

HEADER: Final = "/multistream/1.0.0"
REFUSAL: Final = "na"
LINE_BYTES_MAX: Final = 1024
"""A protocol id is a short name; the longest met has some 60 bytes."""

PROPOSALS_MAX: Final = 64
"""More is a peer that never agrees."""


class _Lines:
    """Cuts bytes into lines and keeps what follows the last one taken."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> None:
        self._buffer += data

    def take(self) -> str | None:
        """Return the next line, or None if it is not complete."""
        prefix = bytes(self._buffer[:2])
        if not prefix or (len(prefix) == 1 and prefix[0] & 0x80):
            return None
        size_bytes, start = varint.decode(prefix)
        if not 1 <= size_bytes <= LINE_BYTES_MAX:
            raise LimitExceeded("multistream line", limit=LINE_BYTES_MAX, asked=size_bytes)
        line = bytes(self._buffer[start : start + size_bytes])
        if len(line) < size_bytes:
            return None
        del self._buffer[: start + size_bytes]
        if line[-1:] != b"\n" or not line.isascii():
            raise MalformedBytes("multistream", "not a line of ASCII")
        return line[:-1].decode()

    def take_rest(self) -> bytes:
        rest = bytes(self._buffer)
        self._buffer.clear()
        return rest


def encode_line(text: str) -> bytes:
    """Return one line behind its length."""
    line = text.encode() + b"\n"
    return varint.encode(len(line)) + line


class Dialer:
    """Proposes protocols in order, until one is agreed on or all are refused."""

    def __init__(self, protocol_ids: Sequence[str]) -> None:
        assert protocol_ids, "there is something to propose"
        self._proposals = list(protocol_ids)
        self._lines = _Lines()
        self._has_header = False
        self.agreed: str | None = None
        self.rest = b""
        """What the listener said after agreeing."""

    @property
    def is_refused(self) -> bool:
        """Whether the listener speaks none of the protocols."""
        return self.agreed is None and not self._proposals

    def start(self) -> bytes:
        """Return the first bytes to send."""
        return encode_line(HEADER) + encode_line(self._proposals[0])

    def receive(self, data: bytes) -> bytes:
        """Take the listener's bytes, return ours. Raises `PeerError`."""
        assert self.agreed is None, "bytes after the agreement are not ours"
        self._lines.feed(data)
        out = b""
        while self.agreed is None and self._proposals:
            line = self._lines.take()
            if line is None:
                return out
            if not self._has_header:
                if line != HEADER:
                    raise OutOfTurn("multistream: no header")
                self._has_header = True
            elif line == self._proposals[0]:
                self.agreed = line
                self.rest = self._lines.take_rest()
            elif line == REFUSAL:
                del self._proposals[0]
                out += encode_line(self._proposals[0]) if self._proposals else b""
            else:
                raise OutOfTurn("multistream: an answer to another proposal")
        return out


class Listener:
    """Takes the first proposal that it knows."""

    def __init__(self, protocol_ids: Container[str]) -> None:
        self._protocol_ids = protocol_ids
        self._lines = _Lines()
        self._has_header = False
        self._refused_count = 0
        self.agreed: str | None = None
        self.rest = b""
        """What the dialer said after its proposal, before it knew that we agree."""

    def receive(self, data: bytes) -> bytes:
        """Take the dialer's bytes, return ours. Raises `PeerError`."""
        assert self.agreed is None, "bytes after the agreement are not ours"
        self._lines.feed(data)
        out = b""
        while self.agreed is None and (line := self._lines.take()) is not None:
            if not self._has_header:
                if line != HEADER:
                    raise OutOfTurn("multistream: no header")
                self._has_header = True
                out += encode_line(HEADER)
            elif line in self._protocol_ids:
                self.agreed = line
                self.rest = self._lines.take_rest()
                out += encode_line(line)
            else:
                self._refused_count += 1
                if self._refused_count > PROPOSALS_MAX:
                    raise LimitExceeded(
                        "multistream proposals", limit=PROPOSALS_MAX, asked=self._refused_count
                    )
                out += encode_line(REFUSAL)
        return out
