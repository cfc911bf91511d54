"""Tables as numbers: missing values filled, numbers standardised, categories one-hot."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..column_kinds import Column, name_level
from ..errors import InputError
from ..numeric_text import parse_text, parse_texts

_FEW_CATEGORIES, _SHARE_OF_AN_IDENTIFIER = 20, 0.9  # text that is new in nearly every row names the row
MISSING = "(missing)"  # the category of values that are not there


class TablePreprocessor:
    """Columns as one matrix: numbers, then columns that mark missing numbers, then categories.

    A number is standardised, then goes through arcsinh (linear near zero, logarithmic in the tails, so that one huge
    value does not drown a column). NaN becomes the mean, with a column that says so where `fit_transform` saw one.
    A category is one-hot; missing is a category too, and categories that `fit_transform` did not see are all zeros.

    ``raw`` passes numbers on as they are, and refuses text and missing values. A text column with more than
    ``max_categories`` is most likely an identifier, and refused.

    Attributes
    ----------
    entries : list of dict
        One for each column, as plain JSON: ``name`` and ``kind``; of a "number" ``mean``, ``scale`` (None where there
        was no value), ``indicator``, and ``decimal`` where it was a comma; of a "category" ``categories``; of a "raw"
        number nothing more.
    """

    entries: list[dict[str, Any]]

    def __init__(self, *, raw: bool = False, max_categories: int = 1000) -> None:
        self.raw, self.max_categories = raw, max_categories

    def fit_transform(self, columns: Sequence[Column], weights: NDArray[np.float64] | None) -> NDArray[np.float64]:
        """Learn from columns (n rows each), weighted, and return their matrix (n, width)."""
        if self.raw:
            self.entries = [{"name": column.name, "kind": "raw"} for column in columns]
        else:
            numbers = iter(_describe_numbers([column for column in columns if _is_number(column)], weights))
            self.entries = [next(numbers) if _is_number(c) else self._describe_categories(c) for c in columns]
        return self.transform(columns)

    def transform(self, columns: Sequence[Column]) -> NDArray[np.float64]:
        """Return the matrix (n, width) of columns like those of `fit_transform`."""
        numbers, marks, categories = [], [], []
        for column, entry in zip(columns, self.entries, strict=True):
            if self.raw and not column.is_numeric:
                raise InputError(f"column {column.name!r} holds text, which preprocess=False does not take")
            code = _code_column(column, entry)
            if self.raw:
                if np.isnan(code).any():
                    raise InputError(f"column {column.name!r} has missing values, which preprocess=False does not take")
                numbers.append(code)
            elif entry["kind"] == "category":
                categories.append(code[:, None] == np.arange(len(entry["categories"])))
            else:
                mean, scale = (math.nan if entry[k] is None else entry[k] for k in ("mean", "scale"))
                with np.errstate(over="ignore"):  # what is too large to be standardised becomes the largest number
                    numbers.append(np.arcsinh(np.nan_to_num((code - mean) / scale)))
                if entry["indicator"]:
                    marks.append(np.isnan(code))
        return np.column_stack([*numbers, *marks, *categories]).astype(np.float64, copy=False)

    @property
    def category_columns(self) -> list[slice]:
        """Which columns of the matrix each category is, one-hot."""
        n = len(self.entries)
        at, found = n + sum(bool(entry.get("indicator")) for entry in self.entries), []
        widths = [len(entry["categories"]) for entry in self.entries if entry["kind"] == "category"]
        at -= len(widths)
        for width in widths:
            found.append(slice(at, at + width))
            at += width
        return found

    def _describe_categories(self, column: Column) -> dict[str, Any]:
        _, levels = column.code()
        found = {MISSING} if column.missing.any() else set()
        found |= set(map(name_level, levels))
        n = len(column.values)
        if len(found) > max(_FEW_CATEGORIES, _SHARE_OF_AN_IDENTIFIER * n):
            raise InputError(
                f"column {column.name!r} has {len(found):,} categories in {n:,} rows: leave identifiers out"
            )
        if len(found) > self.max_categories:
            raise InputError(
                f"column {column.name!r} has {len(found):,} categories, more than max_categories="
                f"{self.max_categories:,}: leave identifiers out, or raise max_categories"
            )
        return {"name": column.name, "kind": "category", "categories": sorted(found)}


def _is_number(column: Column) -> bool:
    return column.is_numeric and column.stored_as != "category"


def code_columns(columns: Sequence[Column], entries: Sequence[Mapping[str, Any]]) -> NDArray[np.float64]:
    """Return the matrix (n, p) of columns for the entries of a `TablePreprocessor`.

    A number is itself, NaN where it is missing. A category is its place among the entry's ``categories``, -1 where it
    is none of them, and NaN where it is missing and missing is none of them. `InputError` for text where numbers were,
    and for numbers where words were.
    """
    return np.column_stack([_code_column(column, entry) for column, entry in zip(columns, entries, strict=True)])


def _code_column(column: Column, entry: Mapping[str, Any]) -> NDArray[np.float64]:
    return _place_categories(column, entry) if entry["kind"] == "category" else _read_numbers(column, entry)


def _place_categories(column: Column, entry: Mapping[str, Any]) -> NDArray[np.float64]:
    """Find the places of values among categories: by their text, and of numbers by their size."""
    categories = entry["categories"]
    places = {category: float(place) for place, category in enumerate(categories)}
    missing = places.get(MISSING, math.nan)
    given = column.values if column.texts is None else column.texts
    if column.is_numeric and column.texts is None:
        sizes = {parse_text(category): place for category, place in places.items()}
        if len(sizes) > 1 or None not in sizes:
            places = {size: place for size, place in sizes.items() if size is not None}
        elif not column.missing.all():
            raise InputError(
                f"column {column.name!r} held text in fit ({categories[0]!r}) and now holds numbers "
                f"({name_level(given[~column.missing][0])})"
            )
    return np.array([missing if v is None or v != v else places.get(v, -1.0) for v in given.tolist()])


def _read_numbers(column: Column, entry: Mapping[str, Any]) -> NDArray[np.float64]:
    """Return the numbers of a column; those written as text by the decimal sign that fit has seen, if it has."""
    decimal = entry.get("decimal", column.decimal)
    if column.is_numeric and (column.texts is None or decimal == column.decimal):
        return column.values
    texts = column.values if column.texts is None else column.texts
    distinct = list(dict.fromkeys(text for text in texts if text is not None))
    parsed = parse_texts(distinct, decimal)
    if parsed is None and distinct:
        odd = next((text for text in distinct if parse_text(text, decimal) is None), distinct[0])
        row = int((texts == odd).argmax())
        raise InputError(f"column {column.name!r} held numbers in fit and now holds text ({odd!r}, row {row})")
    numbers = {} if parsed is None else parsed.numbers
    return np.array([np.nan if text is None else numbers[text] for text in texts])


def _describe_numbers(columns: Sequence[Column], weights: NDArray[np.float64] | None) -> list[dict[str, Any]]:
    from sklearn.preprocessing import StandardScaler

    if not columns:
        return []
    with np.errstate(invalid="ignore"):  # of a column without any value
        scaler = StandardScaler().fit(np.column_stack([column.values for column in columns]), sample_weight=weights)
    entries = []
    for column, *moments in zip(columns, scaler.mean_.tolist(), scaler.scale_.tolist(), strict=True):
        mean, scale = moments if all(map(math.isfinite, moments)) else (None, None)
        indicator = bool(np.isnan(column.values).any())
        entry = {"name": column.name, "kind": "number", "mean": mean, "scale": scale, "indicator": indicator}
        entries.append(entry | ({"decimal": column.decimal} if column.decimal != "." else {}))
    return entries
