"""What y may be in a table: labels as codes, numbers as columns, and what separation conditions on."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.utils import check_array
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import column_or_1d
from torch import Tensor, nn

from ..attributes import Continuous
from ..column_kinds import find_missing, read_array, read_columns
from ..covariates import expand_covariates
from ..errors import InputError
from ..penalty import Criterion

Task = Literal["classification", "regression", "reconstruction"]
_MOST_FUNCTIONS = 24  # of numbers that separation conditions on


@dataclass(frozen=True)
class Target:
    """What a network is to predict: y (n,) of codes, or (n, n_outputs) of standardised numbers.

    ``groups_of`` maps y to what separation conditions on: labels, or as many functions of numbers as the rows bear.
    """

    task: Task
    y: Tensor
    n_outputs: int
    groups_of: Callable[[Tensor], Tensor] | None = None

    @classmethod
    def of_labels(cls, codes: NDArray[np.int64], n_classes: int, criterion: Criterion) -> Self:
        """Take codes (n,) of labels, which are their own groups."""
        groups_of = (lambda y: y) if criterion == "separation" else None
        return cls("classification", torch.from_numpy(codes), n_classes, groups_of)

    @classmethod
    def of_numbers(cls, values: NDArray[np.float64], criterion: Criterion) -> Self:
        """Take standardised numbers (n, n_outputs)."""
        groups_of = _expand if criterion == "separation" else None
        return cls("regression", torch.from_numpy(values), values.shape[1], groups_of)

    @property
    def condition_on(self) -> Continuous | None:
        """The argument of `MIPenalty`: numbers are declared, and labels are what it takes y for."""
        return Continuous(self.n_outputs) if self.task == "regression" and self.groups_of is not None else None

    def select(self, rows: NDArray[np.intp]) -> Self:
        """Keep these rows."""
        return replace(self, y=self.y[torch.from_numpy(rows)])


def compute_task_loss(outputs: Tensor, y: Tensor, weights: Tensor | None, task: Task) -> Tensor:
    """Cross-entropy, or squared error meaned over outputs; the mean over rows is weighted."""
    if task == "classification":
        losses = nn.functional.cross_entropy(outputs, y, reduction="none")
    else:
        losses = (outputs - y).square().mean(dim=1)
    return losses.mean() if weights is None else (losses * weights).sum() / weights.sum()


def read_target(y: Any) -> NDArray[Any]:
    """Read y as an array of one plain type, as it was given otherwise.

    Raises
    ------
    InputError
        No y, labels that are missing, dates, lists, or a mixture of numbers and text.
    """
    if y is None:
        raise InputError("requires y to be passed, but the target y is None")
    values = read_array(y, "y")
    if values.ndim == 0:
        raise InputError(f"y must have shape (n,), got the single value {y!r}")
    _refuse_missing(find_missing(values))
    if values.dtype.kind in "fiub" or values.ndim > 2:
        return values
    columns = read_columns(y, "y")
    for column in columns:
        _refuse_missing(column.missing)  # text that says so
    kinds = set(map(type, values.ravel().tolist()))
    if kinds <= {bool, np.bool_}:
        return values.astype(bool)
    if all(issubclass(kind, (int, np.integer)) for kind in kinds):
        return np.array(values.tolist())  # also beyond what float64 tells apart
    if not all(column.is_numeric and column.texts is None for column in columns):
        return values
    found = np.column_stack([column.values for column in columns])
    return found[:, 0] if values.ndim == 1 else found


def _refuse_missing(missing: NDArray[np.bool_]) -> None:
    rows = missing.any(axis=tuple(range(1, missing.ndim)))
    if rows.any():
        n, row = int(rows.sum()), int(rows.argmax())
        raise InputError(f"Input y contains NaN: {n} labels are missing, the first in row {row}; leave those rows out")


def read_labels(y: Any, n: int) -> tuple[NDArray[np.int64], NDArray[Any]]:
    """Return codes (n,) of labels y, and the sorted classes they stand for."""
    labels = column_or_1d(read_target(y), warn=True)
    if labels.dtype.kind == "f" and np.isinf(labels).any():
        raise InputError("Input y contains infinity")
    try:
        check_classification_targets(labels)
    except ValueError as error:
        raise InputError(f"y: {error}") from None
    _check_length(labels, n)
    classes, codes = np.unique(labels, return_inverse=True)
    return codes.astype(np.int64), classes


def read_numbers(y: Any, n: int) -> tuple[NDArray[np.float64], bool]:
    """Return numbers y as (n, n_outputs), and whether they came with a second axis."""
    values = read_target(y)
    if values.dtype.kind not in "fiub":
        columns = read_columns(y, "y")
        text = next((column for column in columns if not column.is_numeric), None)
        if text is not None:
            raise InputError(f"y must hold numbers, got text ({text.values[0]!r})")
        values = columns[0].values if values.ndim == 1 else np.column_stack([column.values for column in columns])
    values = check_array(values, ensure_2d=False, dtype=np.float64, input_name="y")
    _check_length(values, n)
    return (values, True) if values.ndim == 2 else (values[:, None], False)


def compute_moments(
    values: NDArray[np.float64], weights: NDArray[np.float64] | None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return mean and standard deviation of each column; the latter is 1 where a column does not vary."""
    center = np.average(values, axis=0, weights=weights)
    spread = np.sqrt(np.average((values - center) ** 2, axis=0, weights=weights))
    return center, np.where(spread > 0, spread, 1.0)


def _expand(y: Tensor) -> Tensor:
    return expand_covariates(y, min(_MOST_FUNCTIONS, len(y) // 12))


def _check_length(y: NDArray[Any], n: int) -> None:
    if len(y) != n:
        raise InputError(f"y has {len(y)} rows, X has {n}: inconsistent numbers of samples")
