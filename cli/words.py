"""What people write on a command line: durations, sizes, amounts, names."""

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from chain.keys import Address
    from chain.units import Atto
    from ipfs.cid import CID
    from ipfs.host import PeerAddress
    from ipfs.p2p.peer_id import PeerId


class Unreadable(ValueError):
    """A word on the command line that says nothing here."""

    code = "usage"


_SECONDS: Final = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
_BYTES: Final = {
    "": 1,
    "B": 1,
    "KB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
    "TB": 10**12,
    "KiB": 2**10,
    "MiB": 2**20,
    "GiB": 2**30,
    "TiB": 2**40,
}
_DURATION: Final = re.compile(r"([0-9]{1,9})([smhdwe])")
_URL: Final = re.compile(r"https?://(?:\[[0-9a-fA-F:.]+\]|[\w.-]+)(?::([0-9]{1,5}))?/?", re.ASCII)
_SPOKEN: Final = {
    "awaits-escrow": "waiting for the money",
    "reserved": "price set aside",
    "transferring": "fetching",
    "received": "fetched",
}
_SIZE: Final = re.compile(r"([0-9]{1,12}) ?([KMGT]?i?B|)")


def parse_epochs(text: str, *, epoch_seconds: int) -> int:
    """Return the epochs in `180d`, `12h`, `30m`, `45s` or, as they are, `320e`; rounded up.

    Raises `Unreadable`.
    """
    found = _DURATION.fullmatch(text)
    if found is None or int(found[1]) == 0:
        raise Unreadable(f"{text!r} is no duration; write 180d, 12h, 30m, 45s or 320e (epochs)")
    if found[2] == "e":
        return int(found[1])
    return -(-int(found[1]) * _SECONDS[found[2]] // epoch_seconds)


def parse_seconds(text: str) -> int:
    """Return the seconds in `48h`, `5m`, `30s` or `2d`. Raises `Unreadable`."""
    found = _DURATION.fullmatch(text)
    if found is None or found[2] == "e" or int(found[1]) == 0:
        raise Unreadable(f"{text!r} is not a time; write 48h, 5m, 30s or 2d")
    return int(found[1]) * _SECONDS[found[2]]


def parse_bytes(text: str) -> int:
    """Return the bytes in `512MiB`, `7MB` or `4096`. Raises `Unreadable`."""
    found = _SIZE.fullmatch(text)
    if found is None or found[2] not in _BYTES:
        raise Unreadable(f"{text!r} is no size; write 512MiB, 7MB or 4096")
    return int(found[1]) * _BYTES[found[2]]


def parse_tokens(text: str) -> "Atto":
    """Return the amount in `12.5` or `17 atto`. Raises `Unreadable`."""
    from chain.amount import parse_amount

    try:
        return parse_amount(text)
    except ValueError as error:
        raise Unreadable(f"{text!r}: {error}") from error


def parse_address(text: str) -> "Address":
    """Return the address that the text is. Raises `Unreadable`, mistyped ones included."""
    from chain.keys import Address, public_key_of

    try:
        public_key_of(Address(text))
    except ValueError as error:
        raise Unreadable(f"{text!r} is no address: {error}") from error
    return Address(text)


def parse_cid(text: str) -> "CID":
    """Return the CID that the text is. Raises `Unreadable`."""
    from ipfs.cid import CID, Codec
    from ipfs.errors import PeerError

    bare = text.removeprefix("ipfs://").removeprefix("/ipfs/")
    try:
        cid = CID.parse(bare)
    except PeerError as error:
        looks_like_one = bare.startswith(("baf", "Qm"))
        hint = "is it whole?" if looks_like_one else "a CID starts with bafy…, bafk… or Qm…"
        raise Unreadable(f"not a CID: {text!r}; {hint}") from error
    if cid.codec == Codec.LIBP2P_KEY:
        raise Unreadable(f"a name, not a CID: {text!r}; write /ipns/{bare}")
    return cid


def parse_peer(text: str) -> "PeerAddress":
    """Return the peer at a multiaddr that names it. Raises `Unreadable`."""
    from ipfs.errors import PeerError
    from ipfs.host import PeerAddress

    try:
        return PeerAddress.parse(text)
    except PeerError as error:
        example = "/ip4/127.0.0.1/tcp/4001/p2p/12D3…"
        raise Unreadable(f"not the address of a peer: {text!r}; write {example}") from error


def parse_name(text: str) -> "PeerId":
    """Return the IPNS name that the text is. Raises `Unreadable`."""
    from ipfs.errors import PeerError
    from ipfs.p2p.peer_id import PeerId

    bare = text.removeprefix("ipns://").removeprefix("/ipns/")
    try:
        return PeerId.parse(bare)
    except PeerError as error:
        hint = "a name starts with k51…, 12D3… or Qm…; DNS names are not looked up"
        raise Unreadable(f"not an IPNS name: {text!r}; {hint}") from error


def parse_url(text: str) -> str:
    """Return an http or https URL without a slash at its end. Raises `Unreadable`."""
    found = _URL.fullmatch(text)
    if found is None or int(found[1] or 0) > 65_535:
        raise Unreadable(f"{text!r} is no URL of a ledger; write http://host:8650")
    return text.rstrip("/")


def format_bytes(count: int) -> str:
    """Return a size as people read it, in binary units."""
    size, units = float(count), ("B", "KiB", "MiB", "GiB", "TiB")
    for unit in units[:-1]:
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "B" or size >= 100 else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} {units[-1]}"


def format_count(count: int, noun: str) -> str:
    """Return how many there are of a thing: `1 block`, `5 blocks`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def format_epochs(count: int, *, epoch_seconds: int) -> str:
    """Return a number of epochs as people reckon time."""
    seconds = count * epoch_seconds
    for unit, length in (("d", 86_400), ("h", 3_600), ("m", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.3g}{unit}"
    return f"{seconds}s"


def spoken(code: str) -> str:
    """Return in words what records and programs call by a code, such as `awaits-escrow`."""
    return _SPOKEN.get(code, code.replace("-", " "))


def told_step(stage: str, detail: str) -> str:
    """Return for people how far a deal is: `published: deal 1`."""
    if stage == "transferring":
        # The detail is how far that is: what the provider calls it.
        return spoken(detail)
    return f"{spoken(stage)}: {detail}" if detail else spoken(stage)


def printable(text: str) -> str:
    """Return a stranger's text with what could steer a terminal made visible."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
