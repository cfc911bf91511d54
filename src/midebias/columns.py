"""Columns of data: read from whatever holds them as numbers or text, and the one rule of which are categories."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Sized
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from torch import Tensor

from .errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray  # which takes time to import

__all__ = [
    "MOST_CATEGORIES", "Column", "is_frame", "read_array", "read_column", "read_columns", "read_frame", "read_matrix",
]  # fmt: skip

MOST_CATEGORIES = 20
"""Whole numbers of more distinct values than this are a quantity, as ages are; of fewer they are categories."""


@dataclass(frozen=True)
class Column:
    """One column of a table, one attribute, or one label.

    Parameters
    ----------
    name : str
    values : array of shape (n,)
        float64, with NaN where a value is missing; or objects, each a str, or None where it is missing.
    stored_as : {"integer", "category", "other"}, default "other"
        "integer": of an integer type. "category": of a data frame's categorical type.
    """

    name: str
    values: NDArray[Any]
    stored_as: Literal["integer", "category", "other"] = "other"

    @property
    def is_numeric(self) -> bool:
        """Whether the values are numbers."""
        return self.values.dtype != object

    @property
    def missing(self) -> NDArray[np.bool_]:
        """Which values are missing: (n,)."""
        if self.is_numeric:
            return np.isnan(self.values)
        return np.fromiter((v is None for v in self.values), dtype=bool, count=len(self.values))

    @property
    def is_category(self) -> bool:
        """Whether the column holds categories; otherwise it is a quantity.

        Text, booleans and categorical types of data frames are categories, and so are whole numbers of at most
        `MOST_CATEGORIES` distinct values, whether they are stored as integers or not. All other numbers are quantities.
        """
        if not self.is_numeric or self.stored_as == "category":
            return True
        present = self.values[~self.missing]
        return bool((present == np.round(present)).all()) and len(np.unique(present)) <= MOST_CATEGORIES

    def code(self) -> tuple[NDArray[np.int64], NDArray[Any]]:
        """Number the distinct values.

        Returns
        -------
        codes : integer array of shape (n,)
            From 0; -1 where the value is missing.
        levels : array
            Floats or text in ascending order: what each code stands for.
        """
        present = ~self.missing
        values = self.values[present]
        levels, found = np.unique(values if self.is_numeric else values.astype(str), return_inverse=True)
        codes = np.full(len(present), -1, dtype=np.int64)
        codes[present] = found
        return codes, levels

    def take(self, rows: NDArray[np.intp]) -> Column:
        """Some of the rows."""
        return replace(self, values=self.values[rows])


def read_columns(values: Any, name: str, *, n: int | None = None, like: str = "X") -> list[Column]:
    """Read an argument as named columns.

    Parameters
    ----------
    values : array, tensor or list of shape (n,) or (n, k), series, frame, or mapping of names to columns
    name : str
        Of the argument; columns without a name of their own are called by it.
    n : int, optional
        Rows that each column must have, as ``like`` has.
    like : str, default "X"

    Raises
    ------
    InputError
        Another shape, or a column that `read_column` or `read_frame` refuses.
    """
    if isinstance(values, Mapping):
        parts = {key: read_columns(value, name, n=n, like=like) for key, value in values.items()}
        columns = [replace(c, name=_name_column(key, j, p)) for key, p in parts.items() for j, c in enumerate(p)]
    elif is_frame(values):
        columns = read_frame(values, name)
    else:
        array = read_array(values, name)
        if array.ndim not in (1, 2):
            raise InputError(f"{name} must have shape (n,) or (n, k), got {array.shape}")
        matrix = array[None] if array.ndim == 1 else array.T
        columns = [read_column(row, _name_column(name, j, matrix)) for j, row in enumerate(matrix)]
    if not columns:
        raise InputError(f"{name} holds no column")
    for column in columns:
        if n is not None and len(column.values) != n:
            raise InputError(f"{name} has {len(column.values)} rows, {like} has {n}")
    return columns


def _name_column(name: Any, j: int, several: Sized) -> str:
    return f"{name}[{j}]" if len(several) > 1 else str(name)


def read_array(values: Any, name: str) -> NDArray[Any]:
    """Read a tensor, an array, or lists as an array; what has no type of its own becomes objects."""
    if isinstance(values, Tensor):
        values = values.detach().cpu()
        return np.asarray(values.float() if str(values.dtype) == "torch.bfloat16" else values)  # numpy has no bfloat16
    try:
        return np.asarray(values, dtype=None if hasattr(values, "dtype") else object)
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(f"{name} cannot be read as an array ({error})") from error


def read_matrix(values: Any, name: str) -> NDArray[Any]:
    """Read a representation: numbers of shape (n, dim), not copied where they are an array already.

    Parameters
    ----------
    values : array, tensor, frame or lists
        Further axes are flattened.
    name : str
        Of the argument.

    Raises
    ------
    InputError
    """
    if is_frame(values):
        import narwhals as nw

        found: Any = nw.from_native(values, eager_only=True, allow_series=True).to_numpy()
    else:
        found = read_array(values, name)
    if found.dtype == object:
        try:
            found = found.astype(np.float32)
        except (TypeError, ValueError) as error:
            raise InputError(f"{name} must hold numbers only") from error
    if found.dtype.kind not in "fiub":
        raise InputError(f"{name} must hold numbers, got {found.dtype}")
    if found.ndim > 2:
        found = found.reshape(len(found), -1)
    if found.ndim != 2 or found.shape[1] == 0:
        raise InputError(f"{name} must have shape (n, dim), got {found.shape}")
    return found


def is_frame(values: Any) -> bool:
    """Whether these are an eager data frame or a series: of pandas, polars, pyarrow or whatever else narwhals reads."""
    kind = type(values)
    if issubclass(kind, (np.ndarray, Tensor)) or not (hasattr(kind, "to_numpy") or hasattr(kind, "__dataframe__")):
        return False
    try:
        import narwhals as nw
    except ModuleNotFoundError:
        raise InputError("narwhals, which reads data frames, is not installed; pip install 'midebias[audit]'") from None
    native: Any = nw.from_native(values, eager_only=True, allow_series=True, pass_through=True)
    return isinstance(native, (nw.DataFrame, nw.Series))


def read_frame(frame: Any, name: str = "X") -> list[Column]:
    """Read the columns of a data frame or series; booleans become 0 and 1, dates and lists are refused."""
    import narwhals as nw

    native: Any = nw.from_native(frame, eager_only=True, allow_series=True)
    several = [native] if isinstance(native, nw.Series) else [native[:, j] for j in range(native.shape[1])]
    columns = []
    for j, series in enumerate(several):
        title = _name_column(name, j, several) if series.name in (None, "") else str(series.name)
        dtype = series.dtype
        if dtype.is_numeric() or dtype == nw.Boolean:
            raw: Any = series.to_numpy()
            if series.null_count() or dtype == nw.Boolean:
                raw = [np.nan if _is_missing(v) else float(v) for v in series.to_list()]
            numbers = _check_finite(np.array(raw, dtype=np.float64), title)
            columns.append(Column(title, numbers, "integer" if dtype.is_integer() else "other"))
        elif dtype in (nw.Categorical, nw.Enum, nw.String, nw.Object, nw.Unknown):
            column = read_column(series.to_list(), title)
            columns.append(replace(column, stored_as="category") if dtype in (nw.Categorical, nw.Enum) else column)
        else:
            raise InputError(f"column {title!r} holds {dtype}: make numbers or categories of it first")
    return columns


def read_column(values: Sequence[Any] | NDArray[Any], name: str) -> Column:
    """Read one column: numbers if all values are, else text.

    Raises `InputError` for infinity, dates, and numbers mixed with text: as likely a typing error as a category.
    """
    if isinstance(values, np.ndarray):
        kind = values.dtype.kind
        if kind in "fiub":
            numbers = _check_finite(values.astype(np.float64), name)
            return Column(name, numbers, "integer" if kind in "iu" else "other")
        if kind in "mMcV":
            raise InputError(f"column {name!r} holds {values.dtype}: make numbers or categories of it first")
        values = values.tolist()
    if set(map(type, values)) <= {str, float, type(None)}:  # most columns of text, for which there is a faster way
        cells = [None if v != v else v for v in values]
    else:
        cells = [None if _is_missing(v) else v for v in values]
    types = set(map(type, cells)) - {type(None)}
    present = [v for v in cells if v is not None]
    numeric = [isinstance(v, (int, float, np.integer, np.floating, np.bool_)) for v in present]
    if all(numeric):
        whole = bool(types) and all(issubclass(t, (int, np.integer)) and t is not bool for t in types)
        numbers = np.array([np.nan if v is None else float(v) for v in cells], np.float64)
        return Column(name, _check_finite(numbers, name), "integer" if whole else "other")
    if any(numeric):
        odd = present[numeric.index(False)]
        raise InputError(f"column {name!r} mixes numbers and text ({odd!r}): make it one or the other")
    return Column(name, np.array([None if v is None else str(v) for v in cells], dtype=object))


def _is_missing(value: Any) -> bool:
    # NaN, NaT and the NA of pandas are the values that do not equal themselves, or say so of the comparison.
    if value is None:
        return True
    try:
        return bool(value != value)
    except (TypeError, ValueError):
        return type(value).__name__ == "NAType"


def _check_finite(values: NDArray[np.float64], name: str) -> NDArray[np.float64]:
    infinite = np.isinf(values)
    if infinite.any():
        raise InputError(f"column {name!r} holds infinity (row {infinite.argmax()}): use NaN where a value is missing")
    return values
