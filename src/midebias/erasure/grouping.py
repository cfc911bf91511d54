"""Attributes as groups of rows."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..column_kinds import Column

_PARTS_OF_A_QUANTITY = 5


@dataclass(frozen=True)
class Grouping:
    """Groups of rows for one attribute.

    Parameters
    ----------
    name : str
    codes : array of shape (n,)
        The group of each row, from 0; -1 where the attribute is missing.
    strata : array of shape (k,)
        The class that each group lies in, from 0: groups are compared within classes.
    levels : list, default empty
        The category of each group, where there are no classes.
    """

    name: str
    codes: NDArray[np.intp]
    strata: NDArray[np.intp]
    levels: tuple[Any, ...] = ()


def group_rows(column: Column, classes: NDArray[Any]) -> Grouping:
    """Group rows by category within ``classes`` (n,); by the fifths of a quantity, each as large as the others."""
    if column.is_category:
        codes, levels = column.code()
    else:
        present = column.values[~column.missing]
        edges = np.unique(np.quantile(present, np.linspace(0, 1, _PARTS_OF_A_QUANTITY + 1)[1:-1]))
        codes, levels = np.where(column.missing, -1, np.searchsorted(edges, column.values)), edges[:0]
    _, stratum = np.unique(classes, return_inverse=True)
    k = int(codes.max(initial=0)) + 1
    cells, found = np.unique((stratum * k + codes)[codes >= 0], return_inverse=True)
    joined = np.full(len(codes), -1, dtype=np.intp)
    joined[codes >= 0] = found
    return Grouping(column.name, joined, cells // k, tuple(levels))
