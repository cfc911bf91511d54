"""Representations of others as matrices: of arrays, tensors, frames, and columns of lists."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .column_kinds import Column, is_frame, read_array, read_column, read_frame
from .errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray  # which takes time to import


def read_matrix(values: Any, name: str) -> NDArray[Any]:
    """Read a representation: numbers of shape (n, dim), not copied where they are an array already.

    Parameters
    ----------
    values : array, tensor, frame or lists
        Further axes are flattened. Numbers may be written as text; a column of lists is as many columns.
    name : str
        Of the argument.

    Raises
    ------
    InputError
    """
    found = _read_frame_matrix(values, name) if is_frame(values, name) else read_array(values, name)
    if found.dtype == object and found.ndim == 1:
        found = stack_lists(found, name)
    elif found.dtype.kind in "OUS" and found.ndim == 2:
        found = _join_numbers([read_column(row, f"{name}[{j}]") for j, row in enumerate(found.T)], name)
    if found.dtype.kind not in "fiub":
        raise InputError(f"{name} must hold numbers, got {found.dtype}")
    if found.ndim > 2:
        found = found.reshape(len(found), -1)
    if found.ndim != 2 or found.shape[1] == 0:
        raise InputError(f"{name} must have shape (n, dim), got {found.shape}")
    return found


def _read_frame_matrix(frame: Any, name: str) -> NDArray[Any]:
    import narwhals as nw

    native: Any = nw.from_native(frame, eager_only=True, allow_series=True)
    several = [native] if isinstance(native, nw.Series) else [native[:, j] for j in range(native.shape[1])]
    if all(series.dtype.is_numeric() or series.dtype == nw.Boolean for series in several):
        found: NDArray[Any] = native.to_numpy()
        if found.dtype != object:
            return found
    parts = []
    for j, series in enumerate(several):
        title = str(series.name or f"{name}[{j}]")
        cells = series.to_list()
        if any(isinstance(cell, (list, tuple, np.ndarray)) for cell in cells[:1]):
            parts.append(stack_lists(cells, title))
        else:
            parts.append(_join_numbers(read_frame(series.to_frame().to_native(), name), name))
    return np.concatenate(parts, axis=1)


def _join_numbers(columns: Sequence[Column], name: str) -> NDArray[np.float64]:
    for column in columns:
        if not column.is_numeric:
            raise InputError(f"{name} must hold numbers, and column {column.name!r} holds text")
    return np.column_stack([column.values for column in columns])


def stack_lists(cells: Sequence[Any] | NDArray[Any], name: str) -> NDArray[np.float64]:
    """Read a column of lists, equally long each, as a matrix (n, dim)."""
    try:
        found = np.stack([np.asarray(cell, dtype=np.float64) for cell in cells])
    except (TypeError, ValueError) as error:
        raise InputError(f"{name} must hold numbers only, in lists of one length") from error
    return found.reshape(len(found), -1)
