"""What the audit accepts: a representation as an array of numbers, attributes and label as codes."""

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..column_kinds import MOST_CATEGORIES, Column, name_level, read_columns
from ..errors import InputError

_LARGEST = 1e18
_FEWEST_ROWS = 20  # of a category that stands alone


@dataclass(frozen=True)
class CodedColumn:
    """A label or an attribute as codes."""

    name: str
    codes: NDArray[np.int64]  # from 0; -1 where the value is missing
    names: tuple[str, ...]  # one for each code
    binned: bool  # whether codes are bins of a quantity, which hold equally many rows each
    joined: bool = False  # whether the last code stands for several rare categories

    def take(self, rows: NDArray[np.intp]) -> "CodedColumn":
        """Some of the rows."""
        return replace(self, codes=self.codes[rows])


def check_range(z: NDArray[Any]) -> None:
    """Raise `InputError` where z holds NaN, infinity, or what float32 cannot square."""
    # In blocks: a mask or a copy of the whole would double the memory of a large z, which may lie in a file.
    for start in range(0, len(z), 65536):
        block = z[start : start + 65536]
        if not np.isfinite(block).all():
            raise InputError("z contains NaN or infinity")
        if len(block) and max(float(block.max()), -float(block.min())) > _LARGEST:
            raise InputError(f"z holds values beyond {_LARGEST:g}, which float32 cannot square: scale it")


def code_columns(values: Any, argument: str, n: int, *, n_bins: int) -> tuple[CodedColumn, ...]:
    """Read an argument of ``n`` rows and code each of its columns."""
    return tuple(code_column(c, n_bins=n_bins) for c in read_columns(values, argument, n=n, like="z"))


def code_column(column: Column, *, n_bins: int) -> CodedColumn:
    """Code categories, of which rare ones are joined, and a quantity in ``n_bins`` bins of equally many rows."""
    column.check_categories()
    codes, levels = column.code()
    if not column.is_category and len(levels) > MOST_CATEGORIES:
        return _join_rare(_bin_quantity(column, n_bins))
    return _join_rare(CodedColumn(column.name, codes, tuple(map(name_level, levels)), False))


def code_predictions(predictions: Any, y: CodedColumn) -> NDArray[np.int64]:
    """Code a model's answers as those of y: labels, probabilities per class, or of the second of two classes.

    Probabilities stand in the ascending order of the classes, numbers by size, unless columns have the classes' names.
    """
    columns = read_columns(predictions, "predictions", n=len(y.codes), like="z")
    missing = sum(int(c.missing.sum()) for c in columns)
    if missing:
        raise InputError(f"predictions are missing (NaN) in {missing:,} places")
    if y.binned:
        raise InputError(f"predictions need a y of classes; a y of more than {MOST_CATEGORIES} values is none")
    if len(columns) > 1:
        return _choose_likeliest(columns, y)
    (answers,) = columns
    codes, levels = answers.code()
    if answers.is_numeric and answers.stored_as != "integer" and len(y.names) == 2 and len(levels) > 2:
        if levels[0] < 0 or levels[-1] > 1:
            raise InputError("predictions must be labels or probabilities in [0, 1]")
        return (answers.values >= 0.5).astype(np.int64)
    place = {name: i for i, name in enumerate(y.names)}
    names = [name_level(level) for level in levels]
    unknown = sorted(set(names) - set(place))
    if unknown and not y.joined:
        raise InputError(f"predictions hold {unknown[0]!r}, which y never is; y is {', '.join(y.names[:6])}")
    return np.array([place.get(name, len(place) - 1) for name in names])[codes]


def _choose_likeliest(columns: list[Column], y: CodedColumn) -> NDArray[np.int64]:
    if len(columns) != len(y.names):
        raise InputError(f"predictions must have {len(y.names)} columns, one per class, got {len(columns)}")
    text = next((c.name for c in columns if not c.is_numeric), None)
    if text is not None:
        raise InputError(f"predictions must hold probabilities, and column {text!r} holds text")
    names = [c.name for c in columns]
    order = [names.index(name) for name in y.names] if set(names) == set(y.names) else range(len(columns))
    return np.column_stack([columns[j].values for j in order]).argmax(axis=1)


def _bin_quantity(column: Column, n_bins: int) -> CodedColumn:
    edges = np.unique(np.quantile(column.values[~column.missing], np.linspace(0, 1, n_bins + 1)))
    last = len(edges) - 2
    codes = np.clip(np.searchsorted(edges, column.values, side="right") - 1, 0, last)
    texts = _name_edges(edges)
    names = tuple(f"{a} to {'' if i == last else 'below '}{b}" for i, (a, b) in enumerate(pairwise(texts)))
    return CodedColumn(column.name, np.where(column.missing, -1, codes).astype(np.int64), names, True)


def _join_rare(column: CodedColumn) -> CodedColumn:
    counts = np.bincount(column.codes[column.codes >= 0], minlength=len(column.names))
    if (counts >= 1).sum() < 2:
        raise InputError(f"{column.name} never varies: there is nothing to tell apart")
    rare = counts < _FEWEST_ROWS
    if rare.sum() < 2 or rare.all():
        return column
    kept = np.flatnonzero(~rare)
    place = np.where(rare, len(kept), np.cumsum(~rare) - 1)
    names = (*(column.names[i] for i in kept), f"other ({int(rare.sum())} rare)")
    codes = np.where(column.codes >= 0, place[column.codes], -1)
    return replace(column, codes=codes, names=names, joined=True)


def _name_edges(edges: NDArray[np.float64]) -> list[str]:
    """In as few digits, at least four, as tell them apart."""
    for digits in range(4, 17):
        names = [f"{edge:.{digits}g}" for edge in edges]
        if len(set(names)) == len(edges):
            break
    return names
