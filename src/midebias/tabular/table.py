"""X and ``sensitive_features`` of a fit, as columns."""

from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Any, Self, cast

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import validate_data
from torch import Tensor

from ..column_kinds import Column, is_frame, read_array, read_column, read_columns, read_frame
from ..errors import InputError

_NO_FEATURES = "X has no column beside sensitive_columns"


@dataclass(frozen=True)
class Table:
    """Columns of n rows each: the features, and what must not be learned."""

    features: list[Column]
    sensitive: list[Column]

    def __len__(self) -> int:
        return len(self.features[0].values)

    def select(self, rows: NDArray[np.intp]) -> Self:
        """Keep these rows."""
        return type(self)(*([c.take(rows) for c in part] for part in (self.features, self.sensitive)))


def read_table(
    estimator: Any, X: Any, sensitive_columns: str | int | Sequence[str | int] | None, sensitive_features: Any = None,
    *, reset: bool,
) -> Table:  # fmt: skip
    """Read X, without its ``sensitive_columns``, and these or ``sensitive_features``.

    ``reset`` is for a first fit: ``estimator`` is given ``n_features_in_`` and ``feature_names_in_``. Else X is
    compared with them, and its sensitive columns need not be there.
    """
    refuse_same_names(X, "X")
    named: Any = [] if sensitive_columns is None else sensitive_columns
    named = [named] if isinstance(named, (str, Integral)) else list(named)
    table = _read_frame(estimator, X, named, reset) if is_frame(X) else _read_array(estimator, X, named, reset)
    if sensitive_features is None:
        return table
    if table.sensitive:
        raise InputError("give sensitive_features or sensitive_columns, not both")
    refuse_same_names(sensitive_features, "sensitive_features")
    sensitive = read_columns(sensitive_features, "sensitive_features", n=len(table))
    twice = sorted({c.name for c in table.features} & {c.name for c in sensitive})
    if twice and hasattr(estimator, "feature_names_in_"):
        raise InputError(
            f"column {twice[0]!r} is both a feature in X and in sensitive_features: "
            "drop it from X, or name it in sensitive_columns="
        )
    return Table(table.features, sensitive)


def refuse_same_names(frame: Any, name: str) -> None:
    """Raise `InputError` for a frame in which two columns have one name."""
    seen = set[str]()
    # Frames of other libraries have no two alike, and a lazy one would have to look for them.
    for column in map(str, frame.columns if hasattr(frame, "iloc") and hasattr(frame, "columns") else ()):
        if column in seen:
            raise InputError(f"{name} has two columns named {column!r}: rename one of them, or leave it out")
        seen.add(column)


def refuse_other_order(X: Any, given: Any, name: str) -> None:
    """Raise `InputError` where pandas' index says that ``given`` holds the rows of X in another order."""
    mine, other = (getattr(part, "index", None) for part in (X, given))
    mine, other = cast(Any, mine), cast(Any, other)
    if not (hasattr(mine, "equals") and hasattr(other, "equals")) or len(mine) != len(other) or mine.equals(other):
        return
    if mine.is_unique and other.is_unique and mine.isin(other).all():
        raise InputError(
            f"{name} has the index of X in another order: pass {name}.loc[X.index], or {name}.to_numpy() if the rows "
            "are in the order of X"
        )


def _read_frame(estimator: Any, X: Any, named: list[Any], reset: bool) -> Table:
    import narwhals as nw

    frame: Any = nw.from_native(X, eager_only=True, allow_series=True)
    if isinstance(frame, nw.Series):
        raise InputError(f"X must be two-dimensional, got the series {frame.name!r}: use to_frame()")
    names, taken = [str(name) for name in frame.columns], {str(name) for name in named}
    unknown = [name for name in named if str(name) not in names]
    if unknown and reset:
        raise InputError(f"sensitive_columns: X has no column {unknown[0]!r}; it has {', '.join(names[:20])}")
    if taken >= set(names):
        raise InputError(_NO_FEATURES)
    if len(frame) == 0:
        raise InputError("X has 0 rows (n_samples=0)")
    features, sensitive = ([j for j, name in enumerate(names) if (name in taken) == wanted] for wanted in (False, True))
    X = frame[:, features].to_native()
    validate_data(estimator, X, skip_check_array=True, reset=reset)
    return Table(read_frame(X), read_frame(frame[:, sensitive].to_native()) if sensitive else [])


def _read_array(estimator: Any, X: Any, named: list[Any], reset: bool) -> Table:
    sensitive: list[Column] = []
    X = read_array(X, "X") if isinstance(X, Tensor) else X
    if named:
        X, sensitive = _take_columns(estimator, X, named, reset)
    try:
        values = validate_data(estimator, X, dtype=np.float64, ensure_all_finite="allow-nan", reset=reset)
        return Table([Column(f"X[{j}]", values[:, j]) for j in range(values.shape[1])], sensitive)
    except ValueError as error:
        if "could not convert" not in str(error) and "numeric bytes/strings" not in str(error):
            raise
    values = validate_data(estimator, X, dtype=object, ensure_all_finite=False, reset=reset)
    return Table(read_columns(values, "X"), sensitive)


def _take_columns(estimator: Any, X: Any, named: list[Any], reset: bool) -> tuple[Any, list[Column]]:
    """An array without the columns of these numbers, and those columns."""
    X = read_array(X, "X")
    if not all(isinstance(j, Integral) for j in named):
        raise InputError(f"sensitive_columns must be column numbers where X has no names, got {named!r}")
    if X.ndim != 2:
        return X, []  # refused with the words of scikit-learn
    width = X.shape[1]
    if not reset and width == estimator.n_features_in_:
        return X, []  # the attribute is not needed any more
    for j in named:
        if not -width <= j < width:
            raise InputError(f"sensitive_columns: X has {width} columns, there is no column {j}")
    taken = [j % width for j in named]
    rest = [j for j in range(width) if j not in taken]
    if not rest:
        raise InputError(_NO_FEATURES)
    return X[:, rest], [read_column(X[:, j], f"X[{j}]") for j in taken]
