"""What a column of somebody's table is, beside numbers and words: lists of numbers, or an index."""

import json
import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..column_kinds import Column
from ..numeric_text import parse_text

_INDEX_NAME = re.compile(r"unnamed: ?\d+(_level_\d+)?|(row_?)?(index|id|idx|nr|no)|__index_level_\d+__|level_\d+")
_LIST = re.compile(r"\s*[\[(].*[\])]\s*", re.DOTALL)


def is_list_column(series: Any) -> bool:
    """Whether a pandas series holds lists, also where they are written as text."""
    present = series[series.notna()] if series.dtype.kind == "O" or "list" in str(series.dtype) else series[:0]
    first = present.iloc[0] if len(present) else None
    return isinstance(first, (list, tuple, np.ndarray)) or (isinstance(first, str) and bool(_LIST.fullmatch(first)))


def parse_lists(series: Any) -> list[Any]:
    """Return the cells of a column of lists; text such as "[1, 2]" is read, and what is no list is None."""
    return [_parse_list(cell) if isinstance(cell, str) else cell for cell in series]


def _parse_list(text: str) -> list[float] | None:
    try:
        return list(json.loads(text))
    except (ValueError, TypeError):
        pass
    try:  # as numpy prints them
        return [float(part) for part in re.split(r"[\s,;]+", text.strip(" \t\n[]()")) if part]
    except ValueError:
        return None


def is_index(column: Column) -> bool:
    """Whether these are whole numbers, each once, that rise or fall with the rows, or are called an index."""
    values: NDArray[Any] = column.values
    if not column.is_numeric or column.missing.any() or len(values) < 2 or (values != np.round(values)).any():
        return False
    steps = np.diff(values)
    if (steps > 0).all() or (steps < 0).all():
        return True
    return bool(_INDEX_NAME.fullmatch(column.name.strip().lower())) and len(np.unique(values)) == len(values)


def holds_numbers(column: Column) -> bool:
    """Whether most of a column of text are numbers, beside words such as "< 0.1"; not identifiers, digits alone."""
    texts = [text for text in column.values if text is not None and not text.strip().isdigit()]
    found = sum(parse_text(text) is not None or parse_text(text, ",") is not None for text in texts)
    return found > 0.5 * len(column.values)
