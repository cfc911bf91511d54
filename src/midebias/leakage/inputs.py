"""What the audit accepts: tensors, arrays, frames and lists become arrays of floats and of codes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError, TooFewSamples

__all__ = ["Column", "as_array", "as_attributes", "as_column", "as_representation", "check_size", "distinct_values"]

_MOST_CATEGORIES = 20  # of a number, before it is cut into bins
_LARGEST = 1e18
_FEWEST_ROWS = 20  # of a category that stands alone


@dataclass(frozen=True)
class Column:
    """A label or an attribute.

    Attributes
    ----------
    name : str
    codes : integer array of shape (n,)
        From 0; -1 where missing.
    names : tuple of str
        One for each code.
    binned : bool
        Whether the codes are bins of a number, which hold equally many rows each.
    values : array of shape (n,)
        As given.
    """

    name: str
    codes: NDArray[np.int64]
    names: tuple[str, ...]
    binned: bool
    values: NDArray[Any]

    def take(self, rows: NDArray[np.intp]) -> Column:
        """Some of the rows."""
        return Column(self.name, self.codes[rows], self.names, self.binned, self.values[rows])


def as_array(values: Any, *, name: str) -> NDArray[Any]:
    """A tensor, frame, series or list as an array. Raises `InputError` for rows of different lengths."""
    if hasattr(values, "detach"):
        values = values.detach().cpu()
        if str(values.dtype) == "torch.bfloat16":  # numpy has none
            values = values.float()
    if hasattr(values, "to_numpy"):
        return np.asarray(values.to_numpy())
    try:
        return np.asarray(values)
    except (TypeError, ValueError) as error:
        raise InputError(f"{name} cannot be read as an array ({error})") from error


def as_representation(z: Any) -> NDArray[Any]:
    """Z as a finite array of numbers of shape (n, dim), not copied where it is one already.

    Raises
    ------
    InputError
        Another shape or kind, NaN or infinity.
    """
    found = as_array(z, name="z")
    if found.dtype == object:
        try:
            found = found.astype(np.float32)
        except (TypeError, ValueError) as error:
            raise InputError("z must hold numbers only") from error
    if found.dtype.kind not in "fiub":
        raise InputError(f"z must hold numbers, got {found.dtype}")
    if found.ndim > 2:
        found = found.reshape(len(found), -1)
    if found.ndim != 2 or found.shape[1] == 0:
        raise InputError(f"z must have shape (n, dim), got {found.shape}")
    # In blocks: a mask or a copy of the whole would double the memory of a large z, which may lie in a file.
    for start in range(0, len(found), 65536):
        block = found[start : start + 65536]
        if not np.isfinite(block).all():
            raise InputError("z contains NaN or infinity")
        if len(block) and max(float(block.max()), -float(block.min())) > _LARGEST:
            raise InputError(f"z holds values beyond {_LARGEST:g}, which float32 cannot square: scale it")
    return found


def as_attributes(c: Any, n: int, *, n_bins: int) -> tuple[Column, ...]:
    """One `Column` for each attribute in c: an array, a matrix of columns, a frame or a mapping of names.

    Raises
    ------
    InputError
        Other lengths than ``n``.
    """
    found: dict[str, Any]
    if isinstance(c, Mapping):
        found = {str(k): v for k, v in c.items()}
    elif hasattr(c, "columns"):
        found = {str(k): c[k] for k in c.columns}
    else:
        array = as_array(c, name="c")
        if array.ndim == 2 and array.shape[1] != 1:
            found = {f"c{i}": array[:, i] for i in range(array.shape[1])}
        else:
            name = getattr(c, "name", None)
            found = {str(name) if isinstance(name, str) and name else "c": array.reshape(-1)}
    if not found:
        raise InputError("c names no attribute")
    return tuple(as_column(v, n, name=k, n_bins=n_bins, argument="c") for k, v in found.items())


def as_column(values: Any, n: int, *, name: str, n_bins: int, argument: str) -> Column:
    """Codes of a column: categories as they are, a number of many values in ``n_bins`` bins.

    NaN, None and, in integers, negative values count as missing. Categories of fewer than 20 rows are joined into one.
    """
    array = as_array(values, name=argument)
    which = argument if name == argument else f"{argument} ({name})"
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.shape != (n,):
        raise InputError(f"{which} must have shape ({n},) like z has rows, got {array.shape}")
    if array.dtype.kind in "fiub":
        present = np.isfinite(array) if array.dtype.kind == "f" else np.ones(n, dtype=bool)
        if array.dtype.kind == "i" and len(np.unique(array)) <= _MOST_CATEGORIES:
            present = array >= 0
        distinct = np.unique(array[present])
        if len(distinct) > _MOST_CATEGORIES:
            return _binned(array, present, name, n_bins)
        texts = np.array([_number(v) for v in distinct], dtype=object)
        codes = np.where(present, np.searchsorted(distinct, np.where(present, array, 0)), -1)
    else:
        places, kinds = distinct_values(array)
        texts, named = np.unique([k for k in kinds if k is not None], return_inverse=True)
        known = np.full(len(kinds), -1)
        known[[k is not None for k in kinds]] = named
        codes = known[places]
    return _column(name, codes.astype(np.int64), [str(t) for t in texts], False, array, which)


def distinct_values(array: NDArray[Any]) -> tuple[NDArray[np.intp], list[str | None]]:
    """For each row the place of its value among the distinct ones, and their names; None for what is missing."""
    if array.dtype.kind in "fiub":
        numbers, places = np.unique(array, return_inverse=True)
        return places, [_number(v) for v in numbers]
    values = array.tolist()
    try:
        found = {v: i for i, v in enumerate(dict.fromkeys(values))}
    except TypeError:  # lists and the like: by what they print as
        values = [str(v) for v in values]
        found = {v: i for i, v in enumerate(dict.fromkeys(values))}
    places = np.fromiter(map(found.__getitem__, values), dtype=np.intp, count=len(values))
    names = [None if v is None or str(v) in ("", "nan", "NaN", "<NA>", "NaT") else str(v) for v in found]
    return places, names


def _binned(array: NDArray[Any], present: NDArray[np.bool_], name: str, n_bins: int) -> Column:
    numbers = array.astype(np.float64)
    edges = np.unique(np.quantile(numbers[present], np.linspace(0, 1, n_bins + 1)))
    codes = np.clip(np.searchsorted(edges, numbers, side="right") - 1, 0, len(edges) - 2)
    last = len(edges) - 2
    names = [f"{_number(a)} to {'' if i == last else 'below '}{_number(b)}" for i, (a, b) in enumerate(pairwise(edges))]
    return _column(name, np.where(present, codes, -1).astype(np.int64), names, True, array, name)


def _column(
    name: str, codes: NDArray[np.int64], names: list[str], binned: bool, values: NDArray[Any], which: str
) -> Column:
    counts = np.bincount(codes[codes >= 0], minlength=len(names))
    if (counts >= 1).sum() < 2:
        raise InputError(f"{which} never varies: there is nothing to tell apart")
    rare = counts < _FEWEST_ROWS
    if rare.sum() > 1 and (~rare).sum() >= 1:
        kept = np.flatnonzero(~rare)
        place = np.full(len(names), len(kept))
        place[kept] = np.arange(len(kept))
        codes = np.where(codes >= 0, place[codes], -1)
        names = [names[i] for i in kept] + [f"other ({int(rare.sum())} rare)"]
    return Column(name, codes, tuple(names), binned, values)


def _number(value: Any) -> str:
    return f"{float(value):.4g}"


def check_size(n: int, least: int) -> None:
    """Raise `TooFewSamples` unless n >= ``least``."""
    if n < least:
        raise TooFewSamples(f"z holds {n} rows; an audit needs at least {least}")
