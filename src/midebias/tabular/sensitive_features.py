"""``sensitive_features`` of a table, as c and the attribute that reads it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..attributes import Attribute, Attributes, Categorical, Continuous
from ..errors import InputError
from .columns import Column, columns_of_frame, is_frame, typed_column

__all__ = ["encode_sensitive", "sensitive_columns_of"]

_MOST_LEVELS = 12  # whole numbers with no more distinct values than this are categories, as 0/1 or months are
_MOST_CATEGORIES = 256


def sensitive_columns_of(sensitive_features: Any, n: int) -> list[Column]:
    """Columns of an array (n,) or (n, k), a list, a series, a frame, or a mapping of names to columns.

    Raises
    ------
    InputError
        Another number of rows or dimensions, infinity, or dates.
    """
    name = "sensitive_features"
    if isinstance(sensitive_features, dict):
        columns = [c for k, v in sensitive_features.items() for c in _renamed(sensitive_columns_of(v, n), str(k))]
    elif is_frame(sensitive_features):
        columns = columns_of_frame(sensitive_features, name=name)
    else:
        try:
            array = np.asarray(sensitive_features, dtype=None if hasattr(sensitive_features, "dtype") else object)
        except (TypeError, ValueError, RuntimeError) as error:
            raise InputError(f"sensitive_features cannot be read as an array ({error})") from error
        if array.ndim not in (1, 2):
            raise InputError(f"sensitive_features must have shape (n,) or (n, k), got {array.shape}")
        matrix = array[:, None] if array.ndim == 1 else array
        columns = [typed_column(matrix[:, j].tolist(), f"{name}[{j}]") for j in range(matrix.shape[1])]
    if not columns:
        raise InputError("sensitive_features holds no column")
    if len(columns[0].values) != n:
        raise InputError(f"sensitive_features has {len(columns[0].values)} rows, X has {n}")
    return columns


def _renamed(columns: Sequence[Column], name: str) -> list[Column]:
    return [Column(name, c.values) for c in columns]


def encode_sensitive(columns: Sequence[Column]) -> tuple[Tensor, Attribute]:
    """c (n, k), missing as NaN, and the attribute that reads it.

    Text, booleans and whole numbers of at most 12 distinct values are categories; other numbers are continuous, and
    standardised.

    Raises
    ------
    InputError
        A column of one value, of nothing but missing values, or of more than 256 categories.
    """
    encoded, parts = [], []
    for column in columns:
        values, kind = _encode(column)
        encoded.append(values)
        parts.append(kind)
    c = torch.tensor(np.column_stack(encoded), dtype=torch.float32)
    if bool(c.isnan().any(dim=1).all()):
        raise InputError("sensitive_features has no row without a missing value")
    if all(isinstance(p, Categorical) for p in parts):
        return c, Categorical(tuple(p.sizes[0] for p in parts if isinstance(p, Categorical)))
    return c, parts[0] if len(parts) == 1 else Attributes(*parts)


def _encode(column: Column) -> tuple[Any, Attribute]:
    missing = np.isnan(column.values) if column.is_numeric else np.array([v is None for v in column.values])
    if missing.all():
        raise InputError(f"attribute {column.name!r} is missing in every row")
    present = column.values[~missing]
    levels, codes = np.unique(present if column.is_numeric else present.astype(str), return_inverse=True)
    if len(levels) < 2:
        raise InputError(f"attribute {column.name!r} has one value only ({levels[0]}): there is nothing to be hidden")
    values = np.full(len(missing), np.nan)
    if column.is_numeric and not (len(levels) <= _MOST_LEVELS and (present == np.round(present)).all()):
        values[~missing] = (present - present.mean()) / present.std()
        return values, Continuous(1)
    if len(levels) > _MOST_CATEGORIES:
        raise InputError(
            f"attribute {column.name!r} has {len(levels):,} categories, more than {_MOST_CATEGORIES}: "
            "merge them, or give numbers if it is a quantity"
        )
    values[~missing] = codes
    return values, Categorical(len(levels))
