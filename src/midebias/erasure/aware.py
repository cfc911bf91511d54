"""Erasure where the attribute is known at prediction too: each group is carried to the barycentre of all."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..column_kinds import Column, name_level
from ..errors import InputError
from .grouping import Grouping
from .line_search import Transport
from .moments import Floats
from .transport import GroupTransport, compute_transport


class AwareErasure(nn.Module):
    """z (n, p) and the codes (n, a) of a attributes -> z, each attribute's groups carried to their barycentre."""

    def __init__(self, transports: Sequence[Transport]) -> None:
        super().__init__()
        self.transports = nn.ModuleList(transports)

    def forward(self, z: Tensor, codes: Tensor) -> Tensor:
        """z, erased."""
        for j, transport in enumerate(self.transports):
            assert isinstance(transport, GroupTransport)
            z = transport(z, nn.functional.one_hot(codes[:, j], len(transport.shifts)))
        return z


@torch.no_grad()
def fit_aware(z: NDArray[np.floating], groupings: Sequence[Grouping], weights: Floats, *, linear: bool) -> AwareErasure:
    """Fit one transport after the other: of means alone where ``linear``, else of means and covariances."""
    x, transports = z, []
    for grouping in groupings:
        k = len(grouping.strata)
        transport = compute_transport(x, np.where(weights > 0, grouping.codes, -1), grouping.strata, weights)
        if linear:
            means = np.stack([np.average(x[c], axis=0, weights=weights[c] + 1e-300) for c in _list_rows(grouping)])
            sizes = np.bincount(grouping.codes[grouping.codes >= 0], weights[grouping.codes >= 0], k)
            shifts = torch.from_numpy(np.average(means, axis=0, weights=sizes) - means)
            transport = GroupTransport(shifts, torch.zeros_like(transport.slopes))
        transports.append(transport)
        known = grouping.codes >= 0
        x = x.copy()
        weight = nn.functional.one_hot(torch.from_numpy(grouping.codes[known]), k)
        x[known] = transport(torch.from_numpy(x[known]), weight).numpy()
    return AwareErasure(transports)


def _list_rows(grouping: Grouping) -> list[NDArray[np.intp]]:
    return [np.flatnonzero(grouping.codes == group) for group in range(len(grouping.strata))]


def code_levels(
    columns: Sequence[Column], levels: Sequence[Sequence[object]], names: Sequence[str]
) -> NDArray[np.intp]:
    """Number the categories of columns (n, a) as fit did; -1 for what it has not seen.

    Raises
    ------
    InputError
        Other columns than those of fit.
    """
    if [column.name for column in columns] != list(names):
        raise InputError(f"sensitive_features must hold the columns of fit, in their order: {', '.join(names)}")
    found = []
    for column, seen in zip(columns, levels, strict=True):
        places = {level: place for place, level in enumerate(seen)}
        codes, own = column.code()
        place = np.array([places.get(level, -1) for level in own.tolist()] + [-1])
        found.append(place[codes])
    return np.stack(found, axis=1)


def refuse_unseen(columns: Sequence[Column], codes: NDArray[np.intp]) -> None:
    """Raise `InputError`, which names the first category that fit has not seen, if there is one."""
    for column, part in zip(columns, codes.T, strict=True):
        if (part < 0).any():
            value = column.values[int((part < 0).argmax())]
            shown = "a missing value" if value is None or value != value else repr(name_level(value))
            raise InputError(
                f"attribute {column.name!r} holds {shown}, which fit has not seen: use unseen='unaware' to treat such "
                "rows by the map that does not look at the attribute"
            )
