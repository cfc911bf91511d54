"""Cells for what has been erased, and their certificate."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from ..arguments import check_kind
from ..column_kinds import Column
from ..errors import InputError
from ..leakage.cells import Cells, hold_aside
from ..leakage.certificate import MOST_CELLS, Certificate, certify_columns
from .inputs import FitRows

_ROWS_AT_ONCE = 8192


def check_cells(n_cells: int | None, *, aware: bool) -> None:
    """Raise `InputError` for a number of cells that cannot be used."""
    check_kind("n_cells", n_cells, int | None)
    if n_cells is not None and not 2 <= n_cells <= MOST_CELLS:
        raise InputError(f"n_cells must lie in 2 to {MOST_CELLS:,}, got {n_cells}")
    if n_cells is not None and aware:
        raise InputError("n_cells needs aware=False: what is certified may not be given the attribute")


def draw_aside(n_cells: int | None, erased: Sequence[Column], n: int, seed: int) -> NDArray[np.bool_]:
    """Draw the rows (n,) that a certificate is to be from, if there is to be one."""
    aside = np.zeros(n, dtype=bool)
    if n_cells is not None:
        aside[hold_aside(erased, n, seed)[1]] = True
    return aside


@torch.no_grad()
def lay_cells(module: nn.Module, rows: FitRows, n_cells: int, groups: Any, seed: int) -> tuple[Cells, Certificate]:
    """Lay cells where ``module`` puts rows of positive weight, and certify them by the rows aside."""
    if groups is not None:
        raise InputError("n_cells takes rows for independent, and groups says that they are not")
    learned, held = (
        torch.cat([module(part) for part in torch.from_numpy(rows.z[chosen]).split(_ROWS_AT_ONCE)])
        for chosen in (rows.weights > 0, rows.aside)
    )
    cells = Cells.place(learned, n_cells, seed=seed)
    codes = torch.cat([cells.code(part) for part in held.split(_ROWS_AT_ONCE)]).numpy()
    levels, classes = np.unique(rows.classes[rows.aside], return_inverse=True)
    columns = [column.take(np.flatnonzero(rows.aside)) for column in rows.erased]
    return cells, certify_columns(codes, columns, classes if len(levels) > 1 else None)
