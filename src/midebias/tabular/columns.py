"""Columns of tables: arrays and frames read as named columns of numbers or text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError

__all__ = ["Column", "columns_of_frame", "is_frame", "typed_column"]


_MISSING = "(missing)"


@dataclass(frozen=True)
class Column:
    """One column: its name, and float64 values (missing is NaN) or text (missing is None)."""

    name: str
    values: NDArray[Any]

    @property
    def is_numeric(self) -> bool:
        """Whether the values are numbers."""
        return self.values.dtype != object


def is_frame(X: Any) -> bool:
    """Whether X is an eager data frame or a series (pandas, polars, pyarrow and whatever else narwhals reads)."""
    import narwhals as nw

    native: Any = nw.from_native(X, eager_only=True, allow_series=True, pass_through=True)
    return isinstance(native, (nw.DataFrame, nw.Series))


def columns_of_frame(X: Any, *, name: str = "X") -> list[Column]:
    """Columns of a data frame or series; booleans count as numbers.

    Raises
    ------
    InputError
        A column of dates or of lists, numbers mixed with text, or infinity; the message names the column.
    """
    import narwhals as nw

    frame: Any = nw.from_native(X, eager_only=True, allow_series=True)
    several = [frame] if isinstance(frame, nw.Series) else [frame[:, j] for j in range(frame.shape[1])]
    columns = []
    for j, series in enumerate(several):
        title = str(series.name) if series.name is not None else f"{name}[{j}]"
        dtype = series.dtype
        if dtype.is_numeric() or dtype == nw.Boolean:
            if series.null_count() or dtype == nw.Boolean:
                raw: Any = [np.nan if _is_missing(v) else float(v) for v in series.to_list()]
            else:
                raw = series.to_numpy()
            columns.append(Column(title, _finite(np.array(raw, dtype=np.float64), title)))
        elif dtype in (nw.String, nw.Categorical, nw.Enum, nw.Object, nw.Unknown):
            columns.append(typed_column(series.to_list(), title))
        else:
            raise InputError(f"column {title!r} holds {dtype}: make numbers or categories of it first")
    return columns


def typed_column(values: Sequence[Any] | NDArray[Any], name: str) -> Column:
    """A column of Python objects: numbers if all of them are, else text.

    Raises
    ------
    InputError
        Numbers mixed with text, which is as likely a typing error as a category, or infinity.
    """
    if set(map(type, values)) <= {str, float, type(None)}:  # most columns of text, for which there is a faster way
        cells = [None if v != v else v for v in values]
    else:
        cells = [None if _is_missing(v) else v for v in values]
    if set(map(type, cells)) - {type(None)} == {str}:
        return Column(name, _objects(cells))
    present = [v for v in cells if v is not None]
    numbers = [isinstance(v, (int, float, np.number, np.bool_)) for v in present]
    if all(numbers):
        return Column(name, _finite(np.array([np.nan if v is None else float(v) for v in cells], np.float64), name))
    if any(numbers):
        odd = present[numbers.index(False)]
        raise InputError(f"column {name!r} mixes numbers and text ({odd!r}): make it one or the other")
    return Column(name, _objects([None if v is None else str(v) for v in cells]))


def _objects(cells: list[str | None]) -> NDArray[np.object_]:
    out = np.empty(len(cells), dtype=object)
    out[:] = cells
    return out


def _is_missing(value: Any) -> bool:
    # NaN, NaT and the NA of pandas are the values that do not equal themselves, or say so of the comparison.
    if value is None:
        return True
    try:
        return bool(value != value)
    except (TypeError, ValueError):
        return type(value).__name__ == "NAType"


def _finite(values: NDArray[np.float64], name: str) -> NDArray[np.float64]:
    infinite = np.isinf(values)
    if infinite.any():
        row = int(infinite.argmax())
        raise InputError(f"column {name!r} holds infinity (row {row}): use NaN where a value is missing")
    return values
