"""Tables as numbers: missing values filled, numbers standardised, categories one-hot."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..columns import Column
from ..errors import InputError

__all__ = ["TablePreprocessor"]

_MISSING = "(missing)"


class TablePreprocessor:
    """Numbers: standardised, compressed beyond a standard deviation, NaN to the mean with a column that says so.

    Categories: one-hot, missing is one more; those not seen in `fit` are all zeros.
    Numbers go through `StandardScaler`, arcsinh (linear near zero, logarithmic in the tails, so that one huge value
    does not drown a column) and `SimpleImputer`; categories through `OneHotEncoder`.

    Parameters
    ----------
    max_categories : int, default 1000
        A text column with more is most likely an identifier, and refused.
    """

    def __init__(self, *, max_categories: int = 1000) -> None:
        self.max_categories = max_categories

    def fit_transform(self, columns: Sequence[Column], weights: NDArray[np.float64] | None) -> NDArray[np.float64]:
        """Learn from columns (n rows each), weighted, and return their matrix (n, width)."""
        from sklearn.impute import SimpleImputer
        from sklearn.preprocessing import OneHotEncoder, StandardScaler

        self._kinds = [column.is_numeric for column in columns]
        for column in columns:
            if not column.is_numeric:
                found = len(set(column.values.tolist()))
                if found > self.max_categories:
                    raise InputError(
                        f"column {column.name!r} has {found:,} categories, more than max_categories="
                        f"{self.max_categories:,}: leave identifiers out, or raise max_categories"
                    )
        numbers, texts = self._split(columns)
        parts = []
        if numbers is not None:
            with np.errstate(invalid="ignore"):  # of a column without any value
                self._scaler = StandardScaler().fit(numbers, sample_weight=weights)
            self._imputer = SimpleImputer(
                strategy="constant", fill_value=0.0, add_indicator=True, keep_empty_features=True
            ).fit(numbers)
            parts.append(self._numeric(numbers))
        if texts is not None:
            self._encoder = OneHotEncoder(handle_unknown="ignore", sparse_output=False).fit(texts)
            parts.append(self._encoder.transform(texts))
        return np.hstack(parts)

    def transform(self, columns: Sequence[Column]) -> NDArray[np.float64]:
        """The matrix (n, width) of columns like those of `fit_transform`.

        Raises
        ------
        InputError
            Text in a column that held numbers.
        """
        numbers, texts = self._split(columns)
        parts = [] if numbers is None else [self._numeric(numbers)]
        if texts is not None:
            parts.append(self._encoder.transform(texts))
        return np.hstack(parts)

    def described(self, names: Sequence[str]) -> list[dict[str, Any]]:
        """What was learned, a dict for each column, as plain JSON; see `ServedTable`."""
        numbers = [name for name, numeric in zip(names, self._kinds, strict=True) if numeric]
        texts = [name for name, numeric in zip(names, self._kinds, strict=True) if not numeric]
        entries: dict[str, dict[str, Any]] = {}
        if numbers:
            marked = set(self._imputer.indicator_.features_.tolist())
            for j, (name, mean, scale) in enumerate(zip(numbers, self._scaler.mean_, self._scaler.scale_, strict=True)):
                known = bool(np.isfinite([mean, scale]).all())
                center = float(mean) if known else None
                entries[name] = {"kind": "number", "mean": center, "scale": float(scale) if known else None,
                                 "indicator": j in marked}  # fmt: skip
        if texts:
            for name, categories in zip(texts, self._encoder.categories_, strict=True):
                entries[name] = {"kind": "category", "categories": categories.tolist()}
        return [{"name": name, **entries[name]} for name in names]

    def _split(self, columns: Sequence[Column]) -> tuple[NDArray[np.float64] | None, NDArray[Any] | None]:
        numbers, texts = [], []
        for column, numeric in zip(columns, self._kinds, strict=True):
            if numeric:
                numbers.append(_as_numbers(column))
            else:
                texts.append(_as_text(column))
        return (
            np.column_stack(numbers) if numbers else None,
            np.column_stack(texts) if texts else None,
        )

    def _numeric(self, numbers: NDArray[np.float64]) -> NDArray[np.float64]:
        with np.errstate(over="ignore"):
            scaled = np.arcsinh(self._scaler.transform(numbers))
        filled: NDArray[np.float64] = self._imputer.transform(scaled)
        return filled


def _as_numbers(column: Column) -> NDArray[np.float64]:
    if column.is_numeric:
        return column.values
    for row, value in enumerate(column.values):
        if value is not None:
            raise InputError(f"column {column.name!r} held numbers in fit and now holds text ({value!r}, row {row})")
    return np.full(len(column.values), np.nan)


def _as_text(column: Column) -> NDArray[Any]:
    out = np.empty(len(column.values), dtype=object)
    if column.is_numeric:
        out[:] = [_MISSING if v != v else f"{v:g}" for v in column.values]
    else:
        out[:] = [_MISSING if v is None else v for v in column.values]
    return out
