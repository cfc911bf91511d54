from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from midebias.numeric_text import name_number, parse_text, parse_texts


@pytest.mark.parametrize(
    ("texts", "numbers"),
    [
        (["1,234.50", "12"], [1234.5, 12]), (["1.234,5", "12"], [1234.5, 12]), (["1234,5"], [1234.5]),
        (["1.234.567"], [1234567]), (["12,34,567.5"], [1234567.5]), (["1 234,5", "7"], [1234.5, 7]),
        (["1'234.5"], [1234.5]), (["0,125"], [0.125]), (["1.234"], [1.234]), (["-3", "\u22124", "+5"], [-3, -4, 5]),
        (["45 %", "3%"], [45, 3]), (["$1,234.00"], [1234]), (["1e3", ".5"], [1000, 0.5]), ([" 7 "], [7]),
        (["True", "false"], [1, 0]),
    ],
)  # fmt: skip
def test_numbers_of_every_locale(texts: list[str], numbers: list[float]) -> None:
    found = parse_texts(texts)
    assert found is not None
    assert found.ambiguous is None
    assert [found.numbers[text] for text in texts] == numbers


@pytest.mark.parametrize("texts", [["007"], ["1", "a"], ["1.2.3"], ["2020-01-01"], ["."], ["9" * 17], ["5%", "5"], []])
def test_names_codes_and_identifiers_are_no_numbers(texts: list[str]) -> None:
    assert parse_texts(texts) is None


def test_a_comma_that_may_be_either_is_said() -> None:
    found = parse_texts(["1,234", "5"])
    assert found is not None
    assert found.ambiguous == "1,234"
    again = parse_texts(["1,234"], ",")
    assert again is not None
    assert (again.numbers["1,234"], again.ambiguous) == (1.234, None)


@settings(deadline=None, derandomize=True, database=None)
@given(st.lists(st.floats(-1e15, 1e15), min_size=2, max_size=2, unique=True))
def test_numbers_and_their_names_are_one_to_one(values: list[float]) -> None:
    first, second = map(name_number, values)
    assert first != second or values[0] == values[1]
    assert parse_text(first) == values[0]
    found = parse_texts([first, second])
    assert found is not None
    assert found.numbers == dict(zip((first, second), values, strict=True))
