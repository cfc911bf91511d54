"""What `MIEraser.fit` is given, read."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import _check_sample_weight
from torch import Tensor

from ..column_kinds import Column, read_array, read_columns
from ..errors import InputError
from .moments import Floats


@dataclass(frozen=True)
class FitRows:
    """Rows z (n, p), the columns that are erased and kept, weights (n,), and the classes (n,) to compare within.

    Rows ``aside`` (n,), of weight zero, are those of a certificate.
    With ``covariates`` (n, k) these are what is conditioned on. ``targets`` are what linear maps erase: what y leaves
    of ``erased``, where y is a quantity.
    """

    z: NDArray[Any]
    erased: list[Column]
    kept: list[Column]
    weights: Floats
    classes: NDArray[Any]
    aside: NDArray[np.bool_]
    targets: list[Column]
    covariates: Tensor | None = None


def read_weights(sample_weight: Any, fit_on: Any, n: int) -> Floats:
    """Read the weights of n rows, zero of those that ``fit_on`` leaves out."""
    weights = np.ones(n)
    if sample_weight is not None:
        weights = _check_sample_weight(
            sample_weight, np.empty((n, 1)), dtype=np.float64, ensure_non_negative=True, copy=True
        )
    if fit_on is not None:
        chosen = read_array(fit_on, "fit_on")
        if chosen.shape != (n,) or not set(map(type, chosen.tolist())) <= {bool}:
            raise InputError(f"fit_on must hold {n} booleans, one for each row of X: True where it is learned from")
        weights = weights * chosen.astype(bool)
    if not weights.any():
        raise InputError("sample_weight and fit_on leave no row to learn from")
    return weights


def read_classes(y: Any, n: int, criterion: str) -> NDArray[Any]:
    """Read the classes of n rows that the criterion compares within: one for independence, or where y is a quantity."""
    if criterion != "separation":
        return np.zeros(n)
    if y is None:
        raise InputError("criterion='separation' needs y; use 'independence' to go without")
    columns: list[Column] = read_columns(y, "y", n=n)
    if any(not column.is_category for column in columns):
        return np.zeros(n)
    if len(columns) > 1 or columns[0].missing.any():
        raise InputError("y must be one column of labels, none of them missing, for criterion='separation'")
    return columns[0].values
