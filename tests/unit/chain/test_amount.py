import pytest
from hypothesis import given
from hypothesis import strategies as st

from chain.amount import format_amount, parse_amount
from chain.units import ATTO_PER_TOKEN


@given(st.integers(0, 2**150))
def test_amounts_come_back_as_they_were_written(amount_atto: int) -> None:
    assert parse_amount(format_amount(amount_atto)) == amount_atto
    assert parse_amount(f"{amount_atto % 10**48} atto") == amount_atto % 10**48


def test_tokens_have_decimals() -> None:
    assert parse_amount("12.5") == ATTO_PER_TOKEN * 25 // 2
    assert parse_amount("0.000000000000000001") == 1
    assert format_amount(ATTO_PER_TOKEN) == "1"


@pytest.mark.parametrize(
    "text",
    ["", ".5", "1.", "-1", "+1", "1e3", "NaN", "inf", "1_000", "1,5", " 1", "1 ", "0x1", "١",
     "0.0000000000000000001", "1.5 atto", "atto", " atto", "-1 atto", "9" * 31, "9" * 49 + " atto"],
)  # fmt: skip
def test_what_is_no_amount_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="an amount looks like"):
        parse_amount(text)
