"""Amounts of money as people write and read them: tokens with decimals, or whole atto."""

from typing import Final

from chain.units import ATTO_PER_TOKEN, Atto

_DECIMALS: Final = len(str(ATTO_PER_TOKEN)) - 1
_WHOLE_DIGITS_MAX: Final = 30
_ATTO_SUFFIX: Final = " atto"


def parse_amount(text: str) -> Atto:
    """Return what `"12.5"` (tokens) or `"17 atto"` says. Raises `ValueError`.

    Digits only: no sign, no exponent, no separator, and never more precision than an atto.
    """
    if text.endswith(_ATTO_SUFFIX):
        return Atto(_natural(text.removesuffix(_ATTO_SUFFIX), _WHOLE_DIGITS_MAX + _DECIMALS))
    whole, point, decimals = text.partition(".")
    fraction = _natural(decimals, _DECIMALS) if point else 0
    scale = 10 ** (_DECIMALS - len(decimals))
    return Atto(_natural(whole, _WHOLE_DIGITS_MAX) * ATTO_PER_TOKEN + fraction * scale)


def format_amount(amount_atto: int) -> str:
    """Return the amount in tokens, exact, without trailing zeros; `parse_amount` reads it back."""
    whole, fraction = divmod(amount_atto, ATTO_PER_TOKEN)
    decimals = f"{fraction:0{_DECIMALS}d}".rstrip("0")
    return f"{whole}.{decimals}" if decimals else str(whole)


def _natural(text: str, digits_max: int) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) <= digits_max):
        raise ValueError('an amount looks like "12.5" (tokens) or "17 atto"')
    return int(text)
