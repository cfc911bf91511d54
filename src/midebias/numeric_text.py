"""Numbers written as text in whichever locale: "1,234.50", "1.234,5", "1 234", "45 %"; and true or false."""

import math
import re
from collections.abc import Sequence
from typing import Literal, NamedTuple

Decimal = Literal[".", ","]

MISSING_TEXT = frozenset({"", "nan", "NaN", "<NA>", "NaT"})
"""What missing values become in text."""

_SYMBOLS = "%$€£¥"
_BOOLEANS = {"true": 1.0, "false": 0.0}
_LARGEST_WHOLE = 2.0**53  # beyond, float64 joins neighbours: such whole numbers are identifiers
_SPACED = re.compile(r"(?<=\d)[ \u00a0\u2009\u202f'’](?=\d{3}(?:\D|$))")  # separators of thousands
_PATTERN = r"[+-]?(?:\d+|[1-9]\d{0,2}(?:%(group)s\d{2,3})*%(group)s\d{3})?(?:%(point)s\d*)?(?:[eE][+-]?\d+)?"
_PATTERNS: dict[Decimal, re.Pattern[str]] = {
    ".": re.compile(_PATTERN % {"point": r"\.", "group": ","}),
    ",": re.compile(_PATTERN % {"point": ",", "group": r"\."}),
}
_LEADING_ZERO = re.compile(r"[+-]?0\d")


class NumericText(NamedTuple):
    """Numbers that texts stand for, and how they were written.

    ``ambiguous`` is a text that is one number with a decimal point and another one with a decimal comma, or None.
    """

    numbers: dict[str, float]
    decimal: Decimal
    ambiguous: str | None = None


def parse_texts(texts: Sequence[str], decimal: Decimal | None = None) -> NumericText | None:
    """Read distinct texts as numbers, with one decimal sign for all; None where they are not all numbers.

    Text with leading zeros, whole numbers beyond 2**53, and words are not numbers. "true" and "false" are 1 and 0.

    Parameters
    ----------
    texts : sequence of str
    decimal : {".", ","}, optional
        Default is what the texts show.
    """
    if not texts:
        return None
    if are_booleans(texts):
        return NumericText({text: _BOOLEANS[text.strip().lower()] for text in texts}, ".")
    if not any(c.isdigit() for c in texts[0]) or len({_find_symbols(text) for text in texts}) > 1:
        return None
    bare = {text: _strip(text) for text in texts}
    found = {sign: _convert(bare, sign) for sign in _PATTERNS if decimal in (None, sign)}
    point, comma = found.get("."), found.get(",")
    if point is None or comma is None:
        known = point if point is not None else comma
        return None if known is None else NumericText(known, "." if known is point else ",")
    # Both read it. A point alone is decimal, as in what programs write; a comma may be either.
    unclear = next((text for text in texts if "," in text and point[text] != comma[text]), None)
    return NumericText(point, ".", unclear)


def parse_text(text: str, decimal: Decimal = ".") -> float | None:
    """Read one text as a number, leading zeros allowed; None where it is none."""
    bare = _strip(text)
    if bare.lower() in _BOOLEANS:
        return _BOOLEANS[bare.lower()]
    return _to_float(bare, decimal) if _PATTERNS[decimal].fullmatch(bare) else None


def are_booleans(texts: Sequence[str]) -> bool:
    """Whether all texts are true or false."""
    return all(text.strip().lower() in _BOOLEANS for text in texts)


def name_number(value: float) -> str:
    """Write a number so that no other number is written so: 94110 and not 9.411e+04."""
    return str(int(value)) if value.is_integer() and abs(value) <= _LARGEST_WHOLE else repr(float(value))


def is_exact(value: float) -> bool:
    """Whether a whole number is told from its neighbours in double precision."""
    return abs(value) <= _LARGEST_WHOLE


def _find_symbols(text: str) -> str:
    return "".join(c for c in text if c in _SYMBOLS)


def _strip(text: str) -> str:
    return _SPACED.sub("", text.strip(f" \t\u00a0\u202f{_SYMBOLS}").replace("\u2212", "-"))


def _convert(bare: dict[str, str], decimal: Decimal) -> dict[str, float] | None:
    found = {}
    for text, number in bare.items():
        value = None
        if _PATTERNS[decimal].fullmatch(number) and not _LEADING_ZERO.match(number):
            value = _to_float(number, decimal)
        if value is None or (not is_exact(value) and not any(c in number for c in ".eE")):
            return None
        found[text] = value
    return found


def _to_float(number: str, decimal: Decimal) -> float | None:
    group = "," if decimal == "." else "."
    try:
        value = float(number.replace(group, "").replace(decimal, "."))
    except ValueError:  # no digit at all
        return None
    return value if math.isfinite(value) else None
