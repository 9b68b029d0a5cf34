"""Records: frozen values with one canonical encoding, each also an IPFS block."""

from enum import Enum
from functools import cached_property
from typing import Any, Final, Self

from pydantic import BaseModel, ConfigDict, GetCoreSchemaHandler, ValidationError
from pydantic_core import core_schema

from ipfs import dag_cbor
from ipfs.block import Block
from ipfs.cid import CID, Codec
from ipfs.errors import MalformedBytes

BIG_NATURAL_BITS_MAX: Final = 256
"""More is no amount; and a number's decimal digits cost the square of its length."""

_DECIMAL_DIGITS_MAX: Final = 78


class BigNatural(int):
    """A natural number of any size: bytes in DAG-CBOR, a decimal string in JSON, an int in Python.

    DAG-CBOR integers end at 64 bits and JSON's at 53, which money passes.
    """

    def to_bytes_minimal(self) -> bytes:
        """Return the big-endian bytes without leading zeros; zero is no bytes at all."""
        return self.to_bytes((self.bit_length() + 7) // 8)

    @classmethod
    def _from_python(cls, value: object) -> Self:
        number = int.from_bytes(value) if isinstance(value, bytes) else value
        if not isinstance(number, int) or isinstance(number, bool):
            raise ValueError("a natural number is due")
        if number < 0 or number.bit_length() > BIG_NATURAL_BITS_MAX:
            raise ValueError(f"a natural number of at most {BIG_NATURAL_BITS_MAX} bits is due")
        return cls(number)

    @classmethod
    def _from_json(cls, text: str) -> Self:
        if len(text) <= _DECIMAL_DIGITS_MAX and text.isascii() and text.isdecimal():
            return cls._from_python(int(text))
        raise ValueError("a natural number in decimal digits is due")

    @classmethod
    def __get_pydantic_core_schema__(
        cls, source: type[Any], handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        """Let records hold it."""
        return core_schema.json_or_python_schema(
            json_schema=core_schema.no_info_after_validator_function(
                cls._from_json, core_schema.str_schema()
            ),
            python_schema=core_schema.no_info_plain_validator_function(cls._from_python),
            serialization=core_schema.plain_serializer_function_ser_schema(
                str, when_used="json", return_schema=core_schema.str_schema()
            ),
        )


class Record(BaseModel):
    """What two machines must agree on: a typed, immutable DAG-CBOR block.

    Valid by construction: a field that does not fit raises pydantic's `ValidationError` where
    *we* make a record, `MalformedBytes` where a stranger's bytes claim to be one.
    """

    model_config = ConfigDict(
        frozen=True, strict=True, extra="forbid", ser_json_bytes="hex", val_json_bytes="hex"
    )

    def encode(self) -> bytes:
        """Return the canonical DAG-CBOR bytes."""
        return self._encoded

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Return the record that the bytes encode. Raises `MalformedBytes`.

        Validation is lax (DAG-CBOR knows lists, fields are tuples), then made strict by encoding
        again: bytes that are not the record's own encoding are refused.
        """
        value = dag_cbor.decode(data)
        try:
            record = cls.model_validate(value, strict=False)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            where = ".".join(map(str, first["loc"])) or "value"
            raise MalformedBytes(cls.__name__, f"{where}: {first['msg']}") from error
        if record.encode() != data:
            raise MalformedBytes(cls.__name__, "not its canonical encoding")
        return record

    @property
    def cid(self) -> CID:
        """Return the CID of the record's block."""
        return self._cid

    def block(self) -> Block:
        """Return the record as a block."""
        return Block(self.cid, self.encode())

    def evolve(self, **changes: Any) -> Self:
        """Return a copy with these fields changed, validated again."""
        return type(self).model_validate({**dict(self), **changes})

    @cached_property
    def _encoded(self) -> bytes:
        return dag_cbor.encode(_plain(self))

    @cached_property
    def _cid(self) -> CID:
        return CID.of(Codec.DAG_CBOR, self.encode())


def _plain(value: Any) -> Any:
    match value:
        case Record():
            return {name: _plain(item) for name, item in value}
        case tuple():
            return [_plain(item) for item in value]
        case BigNatural():
            return value.to_bytes_minimal()
        case Enum():
            return value.value
        case _:
            return value
