"""Means and covariances of z with itself, and with attributes and labels, gathered over batches of rows."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..column_kinds import Column, name_level
from ..errors import InputError

Floats = NDArray[np.float64]
_MOST_LEVELS = 256  # of text: more are identifiers


class Moments:
    """Weight, mean and covariance of z (n, p).

    Sums are taken about the mean of the first batch, so that a large mean costs no digits.
    """

    def __init__(self, origin: Floats) -> None:
        p = len(origin)
        self.origin, self.weight, self.squares = origin, 0.0, 0.0
        self.total, self.products = np.zeros(p), np.zeros((p, p))

    def update(self, z: Floats, weights: Floats) -> None:
        """Count rows z (n, p), less the origin, of weights (n,)."""
        self.weight += float(weights.sum())
        self.squares += float((weights**2).sum())
        self.total += weights @ z
        self.products += z.T @ (weights[:, None] * z)

    @property
    def mean(self) -> Floats:
        """The mean of z (p,)."""
        return self.origin + self.total / self.weight

    @property
    def covariance(self) -> Floats:
        """The covariance of z (p, p), over n."""
        mean = self.total / self.weight
        return self.products / self.weight - np.outer(mean, mean)

    @property
    def rows(self) -> float:
        """The number of rows of equal weight that would tell as much: Kish's effective sample size."""
        return self.weight**2 / self.squares


class CrossMoments:
    """Covariance of z with one attribute or label, over the rows that have it, pooled within classes."""

    def __init__(self, column: Column, p: int) -> None:
        self.name, self.is_category, self.is_text, self.p = column.name, column.is_category, not column.is_numeric, p
        # Weight, sum of z, and, of a quantity, sum of it, of its square and of its product with z.
        self._cells: dict[tuple[Any, Any], Floats] = {}

    def update(self, z: Floats, column: Column, weights: Floats, classes: NDArray[Any]) -> None:
        """Count rows z (n, p), their values in ``column``, weights and classes (n,)."""
        if column.is_category != self.is_category or (not column.is_numeric) != self.is_text:
            kinds = ("a quantity", "categories")
            raise InputError(
                f"{self.name!r} held {kinds[self.is_category]} in the first batch and holds {kinds[column.is_category]}"
                " now, or text there and numbers here: give each batch the same type, categories as text"
            )
        codes, levels = column.code()
        present = (codes >= 0) & (weights > 0)
        keys = codes if self.is_category else np.zeros_like(codes)
        values = np.zeros(len(z)) if self.is_category else np.where(present, column.values, 0.0)
        for y in np.unique(classes[present]):
            for key in np.unique(keys[present & (classes == y)]):
                rows = present & (classes == y) & (keys == key)
                w, v = weights[rows], values[rows]
                place = (y, levels[key] if self.is_category else None)
                cell = self._cells.setdefault(place, np.zeros(2 * self.p + 3))
                cell[: self.p] += w @ z[rows]
                cell[self.p : 2 * self.p] += (w * v) @ z[rows]
                cell[2 * self.p :] += w.sum(), w @ v, w @ v**2

    @property
    def levels(self) -> list[Any]:
        """The categories seen."""
        return sorted({level for _, level in self._cells})

    def check(self, role: str) -> None:
        """Raise `InputError` unless there is something to be erased or kept."""
        if not self._cells:
            raise InputError(f"{role} {self.name!r} is missing in every row")
        if self.is_category and len(self.levels) > _MOST_LEVELS:
            raise InputError(
                f"{role} {self.name!r} has {len(self.levels):,} categories, more than {_MOST_LEVELS}: "
                "merge them, or give numbers if it is a quantity"
            )
        if self.is_category and len(self.levels) < 2:
            raise InputError(
                f"{role} {self.name!r} has one value only ({name_level(self.levels[0])}): there is nothing to be told"
            )

    def compute_covariance(self) -> Floats:
        """Compute the covariance (p, k) of z with the k categories' indicators, or with the quantity, in units of 1.

        Indicators and quantity are divided by their standard deviation.
        """
        p, levels = self.p, self.levels
        found, spread = np.zeros((p, len(levels))), np.zeros(len(levels))
        weight = sum(float(cell[2 * p]) for cell in self._cells.values())
        for y in {y for y, _ in self._cells}:
            cells = np.stack([self._cells.get((y, level), np.zeros(2 * p + 3)) for level in levels])
            total = cells.sum(axis=0)
            n = total[2 * p]
            if self.is_category:
                share = cells[:, 2 * p] / n
                found += cells[:, :p].T - np.outer(total[:p], share)
                spread += n * share * (1 - share)
            else:
                mean = total[2 * p + 1] / n
                found[:, 0] += total[p : 2 * p] - mean * total[:p]
                spread += total[2 * p + 2] - n * mean**2
        return found / weight / np.sqrt(np.maximum(spread / weight, 1e-300))
