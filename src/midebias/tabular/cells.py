"""Cells for what a network of tables has learned, and rows aside to certify them on."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..columns import Column
from ..errors import InputError
from ..leakage.cells import HELD_ASIDE, Cells
from ..leakage.certificate import check_groups
from .networks import TabularNetwork
from .targets import Task


def hold_aside(columns: Sequence[Column], n: int, seed: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Draw rows to fit to, and a quarter to certify attributes on. Raises `InputError` if these are no groups."""
    if not columns:
        raise InputError("n_cells needs sensitive_features: a certificate is of attributes")
    check_groups(columns)
    order, aside = np.random.default_rng(seed).permutation(n), round(HELD_ASIDE * n)
    return np.sort(order[aside:]), np.sort(order[:aside])


@torch.no_grad()
def lay_cells(
    network: TabularNetwork, x: Tensor, columns: Sequence[Column], groups_of: Callable[[Tensor], Tensor] | None,
    y: Tensor, task: Task, n_cells: int, offset: NDArray[np.float64], seed: int,
) -> Cells:  # fmt: skip
    """Lay cells in z of rows x that a network was trained on; of labels, joined to tell little of attributes."""
    with network.read_beforehand():
        parts = [network(part) for part in x.double().split(8192)]
    outputs, z = (torch.cat(several) for several in zip(*parts, strict=True))
    if task != "classification":
        return Cells.place(z, n_cells, outputs, seed=seed)
    decided = (outputs + torch.as_tensor(offset)).argmax(dim=1)
    strata = np.zeros(len(z), dtype=np.int64) if groups_of is None else groups_of(y).numpy()
    return Cells.join(z, outputs, decided, [column.code()[0] for column in columns], strata, n_cells, seed=seed)
