"""Columns of data: the one reader of labels, attributes, predictions and tables, and of what is a category."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence, Sized
from dataclasses import dataclass, replace
from decimal import Decimal
from numbers import Real
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from torch import Tensor

from . import numeric_text
from .errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray  # which takes time to import

__all__ = [
    "MOST_CATEGORIES", "Column", "describe_columns", "find_missing", "is_frame", "name_level", "read_array",
    "read_column", "read_columns", "read_frame",
]  # fmt: skip

MOST_CATEGORIES = 20
"""Whole numbers of more distinct values than this are a quantity, as ages are; of fewer they are categories."""

_LARGEST_SHARE_DISTINCT = 0.5  # of the rows: what is more is no category but an identifier
_MOST_ODD_WORDS = 3  # distinct, among many numbers: "n/a" and "?", and not codes such as V27 beside 250
_REMEDY = "make numbers or categories of it first"
_CLOCK = r"\d{1,3}:\d{2}(:\d{2}([.,]\d+)?)?( ?[AaPp]\.?[Mm]\.?)?"
_QUANTITIES = {
    "dates": re.compile(
        r"(\d{4}[-/.]\d{1,2}([-/.]\d{1,2})?|\d{1,2}[-/. ](\d{1,2}|[^\W\d]{3,9}\.?)[-/., ]+\d{2,4}"
        r"|[^\W\d]{3,9}\.? \d{1,2},? \d{4})([T ].*)?"
    ),
    "times": re.compile(rf"[+-]?((\d+ days?,? )?[+-]?{_CLOCK}|\d+ days?|P(\d+[YMWD])*(T(\d+([.,]\d+)?[HMS])*)?)"),
}
_WITH_UNIT = re.compile(r"[+-]?\d[\d.,]*\s*([^\W\d][^\d]*)")


@dataclass(frozen=True)
class Column:
    """One column of a table, one attribute, or one label.

    Parameters
    ----------
    name : str
    values : array of shape (n,)
        float64, with NaN where a value is missing; or objects, each a str, or None where it is missing.
    stored_as : {"integer", "category", "quantity", "other"}, default "other"
        "integer": of an integer type. "category": of a data frame's categorical type, or said to be one, as "quantity".
    texts : array of shape (n,), optional
        Of numbers that were given as text: that text, or None where a value is missing.
    decimal : {".", ","}, default "."
        The decimal sign of ``texts``.
    """

    name: str
    values: NDArray[Any]
    stored_as: Literal["integer", "category", "quantity", "other"] = "other"
    texts: NDArray[Any] | None = None
    decimal: numeric_text.Decimal = "."

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
        `MOST_CATEGORIES` distinct values, however they are stored. All other numbers are quantities.
        """
        if not self.is_numeric or self.stored_as in ("category", "quantity"):
            return self.stored_as != "quantity"
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
        levels, found = np.unique(values, return_inverse=True)  # of objects: an array of text strips zero bytes
        codes = np.full(len(present), -1, dtype=np.int64)
        codes[present] = found
        return codes, levels

    def declare(self, kind: Literal["category", "quantity"]) -> Column:
        """Say what the column holds, whatever its values look like. Raises `InputError` for text as a quantity."""
        if kind == "quantity" and not self.is_numeric:
            raise InputError(f"{self.name!r} is declared a quantity, and holds text: {_REMEDY}")
        return replace(self, stored_as=kind)

    def take(self, rows: NDArray[np.intp]) -> Column:
        """Some of the rows."""
        return replace(self, values=self.values[rows], texts=None if self.texts is None else self.texts[rows])

    def check_categories(self) -> None:
        """Raise `InputError` for categories that nearly every row has one of its own of."""
        codes, levels = self.code()
        n = int((codes >= 0).sum())
        if self.is_category and len(levels) > max(MOST_CATEGORIES, _LARGEST_SHARE_DISTINCT * n):
            raise InputError(
                f"{self.name!r} has {len(levels):,} categories in {n:,} rows, nearly all distinct, as {levels[0]!s}: "
                "join them to fewer, or give numbers if it is a quantity"
            )

    def describe(self) -> str:
        """Write in a few words what was read: kind, distinct values, missing ones."""
        _, levels = self.code()
        if len(levels) == 0:
            text = "no value"
        elif self.is_category:
            shown = [name_level(level) for level in levels[:6]]
            text = f"{_count(len(levels), 'category', 'categories')} ({', '.join(shown)}{', ...' * (len(levels) > 6)})"
        else:
            ends = f"{name_level(levels[0])} to {name_level(levels[-1])}"
            text = f"a quantity of {_count(len(levels), 'distinct value', 'distinct values')} ({ends})"
        missing = int(self.missing.sum())
        text += ", with a decimal comma" if self.decimal == "," else ""
        return text + (f", missing in {_count(missing, 'row', 'rows')}" if missing else "")


def describe_columns(columns: Mapping[str, Any], roles: Mapping[str, Sequence[str]]) -> list[str]:
    """Write a line for each column of a role, such as "attribute", that says what it was read as."""
    found = {role: read_columns({n: columns[n] for n in names}, role) for role, names in roles.items() if names}
    return [f"{role} {column.name}: {column.describe()}" for role, several in found.items() for column in several]


def _count(n: int, one: str, several: str) -> str:
    return f"{n:,} {one if n == 1 else several}"


def name_level(level: Any) -> str:
    """Write a level so that no other level of its column is written so."""
    return str(level) if isinstance(level, str) else numeric_text.name_number(float(level))


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
        parts = {key: read_columns(value, str(key), n=n, like=like) for key, value in values.items()}
        columns = [replace(c, name=_name_column(key, j, p)) for key, p in parts.items() for j, c in enumerate(p)]
    elif is_frame(values, name):
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
    is_frame(values, name)  # refuses a lazy one, which numpy takes for a single object
    if isinstance(values, Tensor):
        values = values.detach().cpu()
        return np.asarray(values.float() if str(values.dtype) == "torch.bfloat16" else values)  # numpy has no bfloat16
    try:
        return np.asarray(values, dtype=None if hasattr(values, "dtype") else object)
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(f"{name} cannot be read as an array ({error})") from error


def is_frame(values: Any, name: str = "X") -> bool:
    """Whether these are an eager data frame or a series: of pandas, polars, pyarrow or whatever else narwhals reads.

    Raises `InputError` for a lazy frame.
    """
    kind = type(values)
    if issubclass(kind, (np.ndarray, Tensor)) or not any(
        hasattr(kind, method) for method in ("to_numpy", "__dataframe__", "collect", "compute")
    ):
        return False
    try:
        import narwhals as nw
    except ModuleNotFoundError:
        raise InputError("narwhals, which reads data frames, is not installed; pip install 'midebias[audit]'") from None
    native: Any = nw.from_native(values, allow_series=True, pass_through=True)
    if isinstance(native, nw.LazyFrame):
        raise InputError(f"{name} is a lazy frame ({kind.__name__}): collect it first")
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
        if (dtype.is_numeric() or dtype == nw.Boolean) and not series.null_count():
            columns.append(read_column(series.to_numpy(), title))
        elif dtype.is_numeric() or dtype in (nw.Boolean, nw.String, nw.Object, nw.Unknown):
            columns.append(read_column(series.to_list(), title))
        elif dtype in (nw.Categorical, nw.Enum):
            columns.append(_read_cells(series.to_list(), title, declared=True))
        else:
            raise InputError(f"column {title!r} holds {dtype}: {_REMEDY}")
    return columns


def read_column(values: Sequence[Any] | NDArray[Any], name: str) -> Column:
    """Read one column: numbers if all values are, or are written as text in one locale; else text.

    Whole numbers beyond 2**53, which float64 cannot tell apart, are read as text.

    Raises
    ------
    InputError
        Infinity; dates, lists and other objects; numbers mixed with text, as likely a typing error as a category;
        numbers whose comma may be decimal or not.
    """
    if isinstance(values, np.ndarray):
        kind = values.dtype.kind
        if kind in "fb":
            return Column(name, _check_finite(values.astype(np.float64), name))
        if kind in "iu" and (not len(values) or numeric_text.is_exact(float(max(values.max(), -float(values.min()))))):
            return Column(name, values.astype(np.float64), "integer")
        if kind in "mMcV":
            raise InputError(f"column {name!r} holds {values.dtype}: {_REMEDY}")
        values = values.tolist()
    return _read_cells(list(values), name)


def _read_cells(values: Sequence[Any], name: str, *, declared: bool = False) -> Column:
    """Read a column of objects; ``declared`` as categories, whatever they look like."""
    if set(map(type, values)) <= {str, float, type(None)}:  # most columns of text, for which there is a faster way
        cells = [None if v != v else v for v in values]
    else:
        cells = [None if _is_missing(v) else v.decode(errors="replace") if isinstance(v, bytes) else v for v in values]
    types = set(map(type, cells)) - {type(None)}
    numeric = {t for t in types if issubclass(t, (Real, Decimal, np.bool_))}
    text = {t for t in types if issubclass(t, str)}
    if types == numeric:
        return _read_numbers(cells, name, types, "category" if declared else "other")
    if declared:
        return Column(name, np.array([None if v is None else str(v) for v in cells], dtype=object), "category")
    for kinds, message in ((types - numeric - text, "holds {}"), (text, "mixes numbers and text")):
        if kinds and types != text:
            odd = next(v for v in cells if type(v) in kinds)
            raise InputError(f"column {name!r} {message.format(type(odd).__name__)} ({odd!r:.40}): {_REMEDY}")
    return _read_texts(cells, name)


def _read_numbers(cells: Sequence[Any], name: str, types: set[type], stored_as: Literal["category", "other"]) -> Column:
    whole = bool(types) and all(issubclass(t, (int, np.integer)) and t is not bool for t in types)
    if whole and not all(numeric_text.is_exact(v) for v in cells if v is not None):
        return Column(name, np.array([None if v is None else str(int(v)) for v in cells], dtype=object), stored_as)
    numbers = _check_finite(np.array([np.nan if v is None else float(v) for v in cells], np.float64), name)
    return Column(name, numbers, "integer" if whole and stored_as == "other" else stored_as)


def _read_texts(cells: Sequence[str | None], name: str) -> Column:
    kept = np.array([None if v is None or v.strip() in numeric_text.MISSING_TEXT else str(v) for v in cells], object)
    distinct = list(dict.fromkeys(v for v in kept if v is not None))
    parsed = numeric_text.parse_texts(distinct)
    if parsed is None:
        _check_texts(distinct, name)
        return Column(name, kept)
    numbers = parsed.numbers
    if len(set(numbers.values())) < len(distinct) <= MOST_CATEGORIES and not numeric_text.are_booleans(distinct):
        return Column(name, kept)  # as "1.1" and "1.10": codes, which numbers would join
    if parsed.ambiguous is not None:
        raise InputError(
            f"column {name!r} holds {parsed.ambiguous!r}, whose comma may be decimal or part thousands: "
            "write numbers without separators of thousands"
        )
    values = np.array([np.nan if v is None else numbers[v] for v in kept], np.float64)
    return Column(name, values, "other", kept, parsed.decimal)


def _check_texts(distinct: Sequence[str], name: str) -> None:
    """Raise `InputError` for too many for categories of what is a quantity: dates, times, numbers with a unit or words.

    As codes with a letter ("12A", "7C") end in many words, so few are taken for units.
    """
    if len(distinct) <= MOST_CATEGORIES:
        return
    found = next((k for k, p in _QUANTITIES.items() if all(p.fullmatch(text.strip()) for text in distinct)), None)
    units = {match and match[1] for match in (_WITH_UNIT.fullmatch(text.strip()) for text in distinct)}
    if found is None and None not in units and len(units) <= _MOST_ODD_WORDS:
        found = "numbers with a unit"
    if found is not None:
        raise InputError(f"column {name!r} holds {found} ({distinct[0]!r}): {_REMEDY}")
    odd = [text for text in distinct if numeric_text.parse_text(text) is None]
    odd = [text for text in odd if numeric_text.parse_text(text, ",") is None]
    if 0 < len(odd) <= _MOST_ODD_WORDS:
        raise InputError(f"column {name!r} mixes numbers and text ({odd[0]!r}): {_REMEDY}")


def find_missing(values: NDArray[Any]) -> NDArray[np.bool_]:
    """Find NaN, NaT and None in an array of any kind and shape."""
    if values.dtype == object:
        return np.array([_is_missing(v) for v in values.ravel()], dtype=bool).reshape(values.shape)
    return np.asarray(values != values)


def _is_missing(value: Any) -> bool:
    # NaN, NaT and the NA of pandas are the values that do not equal themselves, or say so of the comparison.
    if value is None:
        return True
    try:
        return bool(value != value)
    except (TypeError, ValueError, ArithmeticError):
        return type(value).__name__ == "NAType"


def _check_finite(values: NDArray[np.float64], name: str) -> NDArray[np.float64]:
    infinite = np.isinf(values)
    if infinite.any():
        raise InputError(f"column {name!r} holds infinity (row {infinite.argmax()}): use NaN where a value is missing")
    return values
