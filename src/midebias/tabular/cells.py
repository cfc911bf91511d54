"""Cells for what a network of tables has learned."""

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..column_kinds import Column
from ..leakage.cells import Cells
from ..leakage.certificate import Certificate
from .networks import TabularNetwork
from .targets import Task

Limit = float | Mapping[str, float]

_MARGIN = 2.5  # standard errors: 1.64 of the bound, the rest for chance in what it is a bound of
_LEAST_LIMIT = 1e-3


def tighten_limits(
    limits: Mapping[str, Limit], columns: Sequence[Column], classes: NDArray[np.int64]
) -> dict[str, Limit]:
    """Make limits of disparities smaller by what a certificate from rows held aside, (n,), will lie above these."""
    tightened = dict(limits)
    for name, strata in (("parity_difference", np.zeros_like(classes)), ("odds_difference", classes)):
        if name not in limits:
            continue
        within = [column.code()[0][strata == s] for column in columns for s in np.unique(strata)]
        sizes = [np.sort(counts[counts > 0])[:2] for counts in (np.bincount(codes + 1)[1:] for codes in within)]
        margin = _MARGIN * max(0.5 * math.sqrt((1 / rows).sum()) for rows in sizes)
        limit = limits[name]
        several = limit if isinstance(limit, Mapping) else {"": limit}
        changed = {key: max(value - margin, _LEAST_LIMIT) for key, value in several.items()}
        tightened[name] = changed if isinstance(limit, Mapping) else changed[""]
    return tightened


def describe_miss(certificate: Certificate, criterion: str, limit: Limit | None) -> str:
    """Say which limit of the criterion's disparity is not certified; empty if there is none."""
    for bound in certificate.bounds:
        of = limit.get(bound.attribute) if isinstance(limit, Mapping) else limit
        if of is not None and bound.criterion == criterion and bound.decision_difference > of:
            return f"no difference of {of:g} is certified of {bound.attribute!r}, but {bound.decision_difference:.3g}"
    return ""


@torch.no_grad()
def lay_cells(
    network: TabularNetwork, x: Tensor, columns: Sequence[Column], groups_of: Callable[[Tensor], Tensor] | None,
    y: Tensor, task: Task, n_cells: int, limit: Limit | None, offset: NDArray[np.float64], seed: int,
) -> Cells:  # fmt: skip
    """Lay cells in z of rows x that a network was trained on; of labels, joined to tell little of attributes."""
    with network.read_beforehand():
        parts = [network(part) for part in x.double().split(8192)]
    outputs, z = (torch.cat(several) for several in zip(*parts, strict=True))
    if task != "classification":
        return Cells.place(z, n_cells, outputs, seed=seed)
    decided = (outputs + torch.as_tensor(offset)).argmax(dim=1)
    strata = np.zeros(len(z), dtype=np.int64) if groups_of is None else groups_of(y).numpy()
    limit = min(limit.values()) if isinstance(limit, Mapping) else limit
    groups = [column.code()[0] for column in columns]
    return Cells.join(z, outputs, decided, groups, strata, n_cells, limit, seed=seed)
