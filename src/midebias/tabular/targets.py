"""What y may be in a table: labels as codes, numbers as columns, and the groups that separation conditions on."""

from __future__ import annotations

import math
from collections.abc import Callable
from numbers import Integral
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.utils import check_array
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import column_or_1d

from ..errors import InputError

__all__ = ["Groups", "as_labels", "as_numbers", "itself", "moments", "quantile_bins", "refuse_missing"]

Groups = Callable[[torch.Tensor], torch.Tensor]


def refuse_missing(y: Any) -> None:
    """Raise `InputError` for labels that are None or NaN."""
    if y is None:
        raise InputError("requires y to be passed, but the target y is None")
    try:
        values = np.asarray(y, dtype=object)
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(f"y cannot be read as an array ({error})") from error
    if values.ndim == 0:
        raise InputError(f"y must have shape (n,), got the single value {y!r}")
    missing = np.array([v is None or (isinstance(v, float) and math.isnan(v)) for v in values.ravel().tolist()])
    if missing.any():
        raise InputError(
            f"Input y contains NaN: {int(missing.sum())} labels are missing, the first in row "
            f"{int(missing.argmax()) // max(1, values[:1].size)}; leave those rows out"
        )


def as_labels(y: Any, n: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """Codes (n,) and the classes they stand for."""
    refuse_missing(y)
    labels = column_or_1d(y, warn=True)
    if labels.dtype.kind == "f" and np.isinf(labels).any():
        raise InputError("Input y contains infinity")
    check_classification_targets(labels)
    if len(labels) != n:
        raise InputError(f"y has {len(labels)} rows, X has {n}: inconsistent numbers of samples")
    classes, codes = np.unique(labels, return_inverse=True)
    return codes, classes


def as_numbers(y: Any, n: int) -> tuple[NDArray[np.float64], bool]:
    """y as (n, n_outputs), and whether it came with a second axis."""
    refuse_missing(y)
    values = check_array(y, ensure_2d=False, dtype=np.float64, input_name="y")
    if len(values) != n:
        raise InputError(f"y has {len(values)} rows, X has {n}: inconsistent numbers of samples")
    return (values, True) if values.ndim == 2 else (values[:, None], False)


def moments(
    values: NDArray[np.float64], weights: NDArray[np.float64] | None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and standard deviation of each column; the latter is 1 where a column does not vary."""
    center = np.average(values, axis=0, weights=weights)
    spread = np.sqrt(np.average((values - center) ** 2, axis=0, weights=weights))
    return center, np.where(spread > 0, spread, 1.0)


def itself(y: torch.Tensor) -> torch.Tensor:
    """Labels are their own groups; a function by name, so that an estimator that holds it can be pickled."""
    return y


def quantile_bins(target: torch.Tensor, n_bins: Any) -> Groups:
    """y -> its quantile bin by the first output, on which separation is conditioned."""
    if not isinstance(n_bins, Integral) or n_bins < 2:
        raise InputError(f"n_bins must be at least 2, got {n_bins!r}")
    inner = torch.linspace(0, 1, int(n_bins) + 1, dtype=torch.float64)[1:-1]
    edges = torch.from_numpy(np.quantile(target[:, 0].numpy(), inner.numpy()))

    def groups(y: torch.Tensor) -> torch.Tensor:
        return torch.bucketize(y[:, 0].double().contiguous(), edges, right=True)

    return groups
