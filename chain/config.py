"""What an operator may set: one TOML per process, read once, refused with its line and key."""

import re
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from chain.amount import parse_amount
from chain.beacon import DrandBeacon
from chain.keys import Address
from chain.policy import MAIN, POLICIES
from chain.units import Atto
from ipfs.errors import PeerError
from ipfs.host import PeerAddress
from ipfs.p2p.multiaddr import Multiaddr
from proofs.drand import QUICKNET, Scheme

Model = TypeVar("Model", bound=BaseModel)


class ConfigError(Exception):
    """A setting can't be used; says where it stands and what is wrong with it.

    key:   dotted, with the index of a table in a list of tables; empty: the file as a whole
    line:  counted from one; None: the setting is in no line, because it is missing
    """

    code = "config-invalid"

    def __init__(self, path: Path, *, key: str, line: int | None, reason: str) -> None:
        place = f"{path}:{line}" if line is not None else str(path)
        super().__init__(f"{place}: {key}: {reason}" if key else f"{place}: {reason}")
        self.path = path
        self.key = key
        self.line = line
        self.reason = reason


class Settings(BaseModel):
    """What one process is told by its operator."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def _amount(value: object) -> object:
    if isinstance(value, int) and not isinstance(value, Atto):
        raise ValueError("tokens or atto? Write an amount as text")
    return parse_amount(value) if isinstance(value, str) else value


def _address(text: str) -> str:
    try:
        return str(Multiaddr.parse(text))
    except PeerError as error:
        raise ValueError(f"{text!r} is no address: {error}") from error


def _peer_address(text: str) -> str:
    try:
        peer = PeerAddress.parse(text)
    except PeerError as error:
        raise ValueError(f"{text!r} is no peer's address: {error}") from error
    if not peer.addresses:
        raise ValueError(f"{text!r} does not say where the peer is reached")
    return text


AddressText = Annotated[str, AfterValidator(_address)]
"""A multiaddr, such as `/ip4/0.0.0.0/tcp/4001`."""

PeerAddressText = Annotated[str, AfterValidator(_peer_address)]
"""A multiaddr that ends in `/p2p/` and a peer id."""


def _hex(value: object) -> object:
    return bytes.fromhex(value) if isinstance(value, str) else value


HexBytes = Annotated[bytes, BeforeValidator(_hex)]


class DrandSettings(Settings):
    """A drand chain, quicknet unless told otherwise, and who serves its rounds.

    urls:  nobody there needs to be trusted; the more, the sooner one answers

    The chain makes the genesis, once; the servers may change.
    """

    urls: Annotated[tuple[str, ...], Field(min_length=1)] = (
        "https://api.drand.sh",
        "https://api2.drand.sh",
        "https://api3.drand.sh",
        "https://drand.cloudflare.com",
    )
    chain_hash: HexBytes = QUICKNET.chain_hash
    scheme: Scheme = QUICKNET.scheme
    public_key: HexBytes = QUICKNET.public_key
    genesis_seconds: int = QUICKNET.genesis_seconds
    period_seconds: int = QUICKNET.period_seconds

    @model_validator(mode="after")
    def _is_a_beacon(self) -> Self:
        try:
            self.beacon  # noqa: B018 - made to be checked
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            raise ValueError(_reason(first["type"], first["msg"])) from error
        return self

    @property
    def beacon(self) -> DrandBeacon:
        """Return the chain as a genesis names it."""
        return DrandBeacon(**self.model_dump(exclude={"urls"}))


class AllocationSettings(Settings):
    """Money that an account has from the start: tokens as `"12.5"`, or `"17 atto"`."""

    address: Address
    amount: Annotated[Atto, BeforeValidator(_amount)]


class LedgerConfig(Settings):
    """A ledger node's `ledger.toml`.

    policy, drand and allocations make the genesis, once: a chain that exists they do not change.
    """

    policy: Literal["dev", "laptop", "main"] = "dev"
    drand: DrandSettings | None = None
    """Whom the beacon comes from; None: for main quicknet, else a key of the ledger's own."""

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65_535)] = 8_650
    """0: any that is free."""

    allowed_hosts: tuple[str, ...] = ()
    """Names under which browsers may reach it, besides loopback and `host`."""

    database_url: str | None = None
    """Any SQLAlchemy URL; None: `ledger.sqlite` in the data folder."""

    allocations: tuple[AllocationSettings, ...] = ()

    @property
    def followed(self) -> DrandSettings | None:
        """Return the drand chain that a new network follows, if any."""
        return DrandSettings() if self.drand is None and self.policy == MAIN.name else self.drand

    @field_validator("drand", mode="after")
    @classmethod
    def _fits_policy(
        cls, drand: DrandSettings | None, info: ValidationInfo
    ) -> DrandSettings | None:
        policy = POLICIES.get(info.data.get("policy", ""))
        if drand is None or policy is None:
            return drand
        if policy.epoch_seconds % drand.period_seconds:
            raise ValueError(f"epochs of {policy.epoch_seconds} s are no whole number of rounds")
        if policy == MAIN and not drand.beacon.is_quicknet:
            raise ValueError("main follows drand's quicknet; only its urls may be others")
        return drand


def load_toml(path: Path, model: type[Model]) -> Model:
    """Return the settings in a file; one that is not there sets nothing. Raises `ConfigError`."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        text = ""
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or error
        raise ConfigError(path, key="", line=None, reason=f"can't be read: {why}") from error
    try:
        return model.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        found = _AT_LINE.search(str(error))
        line = int(found[1]) if found else len(text.splitlines())
        raise ConfigError(path, key="", line=line, reason=f"no TOML: {error}") from error
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        location = first["loc"]
        raise ConfigError(
            path,
            key=".".join(map(str, location)),
            line=_line_of(text, location),
            reason=_reason(first["type"], first["msg"]),
        ) from error


_AT_LINE: Final = re.compile(r"at line (\d+)")
_TABLE: Final = re.compile(r"\s*(\[\[?)\s*([^\]]+?)\s*\]\]?\s*(?:#.*)?$")
_KEY: Final = re.compile(r"\s*([\w.\"'-]+?)\s*=")


def _line_of(text: str, location: Sequence[Any]) -> int | None:
    """Return where the setting stands, or the nearest table around it that stands somewhere."""
    places, wanted = _places(text), tuple(map(str, location))
    for length in range(len(wanted), 0, -1):
        for number, place in places:
            if place[:length] == wanted[:length]:
                return number
    return None


def _places(text: str) -> list[tuple[int, tuple[str, ...]]]:
    places: list[tuple[int, tuple[str, ...]]] = []
    counts: dict[str, int] = {}
    table: tuple[str, ...] = ()
    for number, line in enumerate(text.splitlines(), start=1):
        if header := _TABLE.match(line):
            table = tuple(header[2].split("."))
            if header[1] == "[[":
                index = counts[header[2]] = counts.get(header[2], -1) + 1
                table = (*table, str(index))
            places.append((number, table))
        elif key := _KEY.match(line):
            places.append((number, (*table, *key[1].replace('"', "").replace("'", "").split("."))))
    return places


def _reason(kind: str, message: str) -> str:
    match kind:
        case "extra_forbidden":
            return "there is no such setting"
        case "missing":
            return "is missing"
        case _:
            return message.removeprefix("Value error, ")
