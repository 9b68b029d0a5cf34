"""From a bare connection to a proven peer over a multiplexed, sealed one; sans-io.

    multistream: /noise ─▶ Noise XX ─▶ multistream: /yamux/1.0.0, sealed ─▶ done

The dialler starts. What the peer says beyond the end of one stage belongs to the next.
"""

from dataclasses import dataclass
from typing import Final

from ipfs.errors import PeerError
from ipfs.p2p.multistream import Dialer, Listener
from ipfs.p2p.noise import NoiseChannel, NoiseHandshake
from ipfs.p2p.peer_id import Identity, PeerId

NOISE: Final = "/noise"
YAMUX: Final = "/yamux/1.0.0"


class UpgradeRefused(PeerError):
    """The peer does not speak the security or the multiplexer that we do."""

    code = "upgrade-refused"


@dataclass(frozen=True, slots=True)
class Upgraded:
    """What an upgrade comes to; `rest` is the plaintext that came after it."""

    peer_id: PeerId
    channel: NoiseChannel
    rest: bytes


class Upgrade:
    """One side of the upgrade: feed it the peer's bytes, send what it returns, until `result`."""

    def __init__(
        self, identity: Identity, *, is_initiator: bool, expected_peer: PeerId | None = None
    ) -> None:
        self._is_initiator = is_initiator
        self._security = _negotiation(NOISE, is_initiator=is_initiator)
        self._handshake = NoiseHandshake(
            identity, is_initiator=is_initiator, expected_peer=expected_peer
        )
        self._multiplexer = _negotiation(YAMUX, is_initiator=is_initiator)
        self.result: Upgraded | None = None

    def start(self) -> bytes:
        """Return what the dialler says first; a listener waits."""
        return _start(self._security)

    def receive(self, data: bytes) -> bytes:
        """Take the peer's bytes, return ours. Raises `PeerError`."""
        assert self.result is None, "bytes after the upgrade belong to the channel"
        out = b""
        if self._security.agreed is None:
            out, is_agreed = _advance(self._security, data)
            if not is_agreed:
                return out
            data = self._security.rest
            if self._is_initiator:
                out += self._handshake.start()
        if not self._handshake.is_finished:
            reply, is_finished = _shake(self._handshake, data)
            out += reply
            if not is_finished:
                return out
            data = self._handshake.rest
            if self._is_initiator:
                out += self._handshake.channel.encrypt(_start(self._multiplexer))
        return out + self._agree_on_multiplexer(data)

    def _agree_on_multiplexer(self, data: bytes) -> bytes:
        channel = self._handshake.channel
        reply, is_agreed = _advance(self._multiplexer, b"".join(channel.decrypt(data)))
        if is_agreed:
            self.result = Upgraded(self._handshake.peer_id, channel, self._multiplexer.rest)
        return channel.encrypt(reply)


def _negotiation(protocol_id: str, *, is_initiator: bool) -> Dialer | Listener:
    return Dialer([protocol_id]) if is_initiator else Listener({protocol_id})


def _start(negotiation: Dialer | Listener) -> bytes:
    return negotiation.start() if isinstance(negotiation, Dialer) else b""


def _advance(negotiation: Dialer | Listener, data: bytes) -> tuple[bytes, bool]:
    out = negotiation.receive(data)
    if isinstance(negotiation, Dialer) and negotiation.is_refused:
        raise UpgradeRefused("the peer does not speak what we must speak")
    return out, negotiation.agreed is not None


def _shake(handshake: NoiseHandshake, data: bytes) -> tuple[bytes, bool]:
    out = handshake.receive(data)
    return out, handshake.is_finished
