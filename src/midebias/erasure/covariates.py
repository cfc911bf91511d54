"""What erasing conditions on where that is a quantity: its columns, and what they leave of the attributes."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..attributes import encode_covariates
from ..column_kinds import Column, read_columns
from ..covariates import CovariateRegression, expand_covariates
from ..errors import InputError
from ..marginals import center_within
from ..normal_scores import compute_normal_scores
from .judging import Judge
from .moments import Floats

_FUNCTIONS = 24  # of the columns, which are taken off


def read_covariates(y: Any, n: int, criterion: str) -> Tensor | None:
    """Read y that separation conditions on as normal scores (n, k), categories one-hot; None of labels alone."""
    columns = read_columns(y, "y", n=n) if criterion == "separation" and y is not None else []
    if all(column.is_category for column in columns):
        return None
    encoded, present = encode_covariates(columns)
    if not bool(present.all()):
        raise InputError(f"y is missing in {int((~present).sum()):,} rows, in which nothing can be conditioned on it")
    return compute_normal_scores(encoded)


def expand_rows(w: Tensor) -> Tensor:
    """Expand covariates (n, k) to functions (n, m) that so many rows bear."""
    return expand_covariates(w, min(_FUNCTIONS, len(w) // 12))


def compute_residuals(columns: Sequence[Column], w: Tensor, weights: Floats) -> list[Column]:
    """Compute what functions of w (n, k) leave, by least squares, of quantities and of the indicators of categories."""
    found = []
    for column in columns:
        codes, levels = column.code()
        rows = (codes >= 0) & (weights > 0)
        several = {column.name: np.where(rows, column.values, 0.0)} if not column.is_category else {
            f"{column.name}[{level}]": (codes == k).astype(np.float64) for k, level in enumerate(levels)
        }  # fmt: skip
        for name, values in several.items():
            left = np.full(len(values), np.nan)
            inside = torch.from_numpy(values[rows].astype(np.float64))[:, None]
            left[rows] = center_within(inside, expand_rows(w[torch.from_numpy(rows)]))[0][:, 0].numpy()
            found.append(Column(name, left, "quantity"))
    return found


def take_off(x: NDArray[Any], w: Tensor | None, groups: NDArray[np.intp]) -> NDArray[Any]:
    """Take functions of w (n, k) off rows x (n, p), by a regression on these and on the groups, -1 where not known."""
    if w is None:
        return x
    functions = expand_rows(w).double()
    functions = functions - functions.mean(dim=0)
    known = torch.from_numpy(groups >= 0)
    onehot = torch.eye(int(groups.max()) + 1, dtype=torch.float64)[torch.from_numpy(groups[groups >= 0])]
    design, targets = torch.cat([functions[known], onehot], dim=1), torch.from_numpy(x)[known].double()
    ridge = 1e-6 * len(design) * torch.eye(design.shape[1], dtype=torch.float64)
    slopes = torch.linalg.solve(design.T @ design + ridge, design.T @ targets)
    left: NDArray[Any] = x - (functions @ slopes[: functions.shape[1]]).numpy().astype(x.dtype)
    return left


class JudgeGivenCovariates(Judge):
    """A judge of what covariates w (m + n, k) leave of z: a lower estimate of I(Z;C|W) if that tells nothing of w."""

    def __init__(self, codes: NDArray[np.intp], m: int, strata: NDArray[np.intp], w: Tensor) -> None:
        super().__init__(codes, m, strata)
        object.__setattr__(self, "_regression", CovariateRegression(w))

    def measure_leakage(self, z: Tensor) -> float:
        """Measure what is left of z (m + n, p) tells of the group, in nats, as by `Judge`."""
        left: Tensor = self._regression.standardize(z)  # type: ignore[attr-defined]  # of a frozen class
        return super().measure_leakage(left)
