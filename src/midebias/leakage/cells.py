"""A representation in few cells, for which a certificate can be given."""

from collections.abc import Mapping, Sequence
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..column_kinds import Column
from ..errors import InputError
from .certificate import check_groups
from .confidence import measure_information

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]

_HELD_ASIDE = 0.25  # of the rows of a fit, for its certificate
_PLACES, _ROWS_OF_A_PLACE = 128, 20  # that are joined to cells, at most; rows near each, on average
_GROUP_WEIGHT = 3.0  # nats of the outputs that are given up for a nat of the attribute
_KEPT = 0.4  # of what z tells of the label, at least
_ROOM = 1.5  # times the least bound of any number of cells, for the bound of more of them
_QUANTILE = 1.645  # of one-sided bounds of 95%


def hold_aside(columns: Sequence[Column], n: int, seed: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Draw rows to fit to, and a quarter to certify attributes on. Raises `InputError` if these are no groups."""
    if not columns:
        raise InputError("n_cells needs sensitive_features: what is certified is about them")
    check_groups(columns)
    order, aside = np.random.default_rng(seed).permutation(n), round(_HELD_ASIDE * n)
    return np.sort(order[aside:]), np.sort(order[:aside])


class Cells(nn.Module):
    """z (n, dim) -> the mean of its cell, (n, dim).

    Each row belongs to the nearest of several places, and each cell has one place or more.

    Parameters
    ----------
    places : Tensor of shape (m, dim)
    cell : Tensor of shape (m,)
        Of each place, from 0.
    means : Tensor of shape (K, dim)
        Of each cell.
    outputs : Tensor of shape (K, n_outputs)
        Of each cell; without columns where there are no outputs.
    """

    def __init__(self, places: Tensor, cell: Tensor, means: Tensor, outputs: Tensor) -> None:
        super().__init__()
        self.places, self.cell, self.means, self.outputs = map(nn.Buffer, (places, cell, means, outputs))

    @classmethod
    def from_state_dict(cls, state: Mapping[str, Tensor]) -> Self:
        """Make the module whose ``state_dict`` this is."""
        return cls(*(state[name] for name in ("places", "cell", "means", "outputs")))

    def forward(self, z: Tensor) -> Tensor:
        """Mean of the cell of each row."""
        return self.means[self.code(z)].to(z.dtype)

    def read(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Outputs (n, n_outputs) and mean (n, dim) of the cell of each row."""
        cell = self.code(z)
        return self.outputs[cell], self.means[cell]

    def code(self, z: Tensor) -> Tensor:
        """Number the cell of each row: (n,)."""
        z = z.to(self.places.dtype)
        # The square of z itself is the same for all places.
        return self.cell[(self.places.square().sum(dim=1) - 2 * z @ self.places.T).argmin(dim=1)]

    @classmethod
    def place(cls, z: Tensor, n_cells: int, outputs: Tensor | None = None, *, seed: int) -> Self:
        """Lay cells where rows z (n, dim) are, by k-means, with the mean of outputs (n, n_outputs) in each."""
        places, near = _find_places(z, n_cells, seed)
        return cls._average(places, np.arange(len(places)), near, z, z[:, :0] if outputs is None else outputs)

    @classmethod
    def join(
        cls, z: Tensor, outputs: Tensor, decided: Tensor, groups: Sequence[Codes], strata: Codes, n_cells: int,
        limit: float | None = None, *, seed: int,
    ) -> Self:  # fmt: skip
        """Join places of rows z (n, dim) to at most so many cells, which tell much of the label and little of groups.

        Those two cells are joined that lose least: nats of the label, as outputs tell it, less three times the nats of
        groups. Places with different decisions are joined last. Rows that have joined no cells say how many there are:
        as many as have bounds of ``limit`` at most or, without one, of one and a half times the least of any number of
        cells that keeps four tenths of the label's nats, if one does.

        Parameters
        ----------
        z, outputs, decided : Tensor
            Of shapes (n, dim), (n, n_outputs), and (n,): log-odds, and the labels decided for.
        groups : sequence of integer arrays of shape (n,)
            Of each attribute the group of each row, -1 where it is missing.
        strata : integer array of shape (n,)
            Within which groups are compared, from 0.
        n_cells, seed : int
        limit : float, optional

        References
        ----------
        Slonim and Tishby, "Agglomerative information bottleneck", NeurIPS 1999.
        """
        order = np.random.default_rng(seed).permutation(len(z))
        learn, choose = order[len(z) // 3 :], order[: len(z) // 3]
        places, near = _find_places(z, max(n_cells, min(_PLACES, len(learn) // _ROWS_OF_A_PLACE)), seed, learn)
        m, soft = len(places), outputs.double().softmax(dim=1)
        told = torch.zeros(m, soft.shape[1], dtype=torch.float64)
        told.index_add_(0, torch.from_numpy(near[learn]), soft[torch.from_numpy(learn)])
        answers = _count(m, near[learn], decided.numpy()[learn]).argmax(axis=1)
        tables = [_count(m, near[learn], strata[learn], codes[learn]) for codes in groups]
        steps = _list_joints(told.numpy(), tables, answers)
        seen = [_count(m, near[choose], strata[choose], codes[choose]) for codes in groups]
        possible: Sequence[int] = range(min(n_cells, m, max(2, len(np.unique(answers)))), min(n_cells, m) + 1)
        if limit is None:
            enough = _KEPT * _tell(told.numpy(), steps[m])
            possible = [k for k in possible if _tell(told.numpy(), steps[k]) >= enough] or possible
        bounds = {k: _estimate_certificate(seen, steps[k]) for k in possible}
        least = min(bounds.values())
        limit = _ROOM * least if limit is None else max(limit, least)
        kept = max(k for k, bound in bounds.items() if bound <= limit)
        cells = cls._average(places, steps[kept], near, z, soft)
        cells.outputs.clamp_(min=1e-12).log_()
        return cells

    @classmethod
    def _average(cls, places: Tensor, cell: Codes, near: Codes, z: Tensor, outputs: Tensor) -> Self:
        """Cells of places, with the means of z and outputs over the rows that are near them."""
        at = torch.from_numpy(cell[near])
        rows = torch.bincount(at, minlength=int(cell.max()) + 1).to(z.dtype)[:, None].clamp(min=1)
        means = (torch.zeros(len(rows), p.shape[1], dtype=p.dtype).index_add_(0, at, p) / rows for p in (z, outputs))
        return cls(places, torch.from_numpy(cell), *means)


def _find_places(z: Tensor, m: int, seed: int, learn: Codes | None = None) -> tuple[Tensor, Codes]:
    """Means of k-means, each the nearest of some row, and the nearest of each row; learned from some rows, or all."""
    from sklearn.cluster import KMeans

    values = z.numpy()
    rows = values if learn is None else values[learn]
    distinct = np.unique(rows, axis=0)
    found = distinct
    if len(distinct) > m:
        found = KMeans(m, n_init=1, random_state=seed).fit(rows).cluster_centers_
    places = torch.from_numpy(found.astype(values.dtype))
    identity = Cells(places, torch.arange(len(places)), places, places[:, :0])
    near = torch.cat([identity.code(part) for part in z.split(8192)])
    used = torch.unique(near if learn is None else near[torch.from_numpy(learn)])
    places = places[used]
    identity = Cells(places, torch.arange(len(places)), places, places[:, :0])
    return places, torch.cat([identity.code(part) for part in z.split(8192)]).numpy()


def _count(m: int, at: Codes, *codes: Codes) -> Codes:
    """Rows of each place and code, of codes that are not missing: (m, ...)."""
    known = np.logical_and.reduce([c >= 0 for c in codes])
    table = np.zeros((m, *(int(c.max(initial=0)) + 1 for c in codes)), dtype=np.int64)
    np.add.at(table, (at[known], *(c[known] for c in codes)), 1)
    return table


def _list_joints(told: Floats, tables: Sequence[Codes], answers: Codes) -> dict[int, Codes]:
    """The cell of each place, by how many cells there are."""
    parts = [(told / told.sum(), 1.0)] + [(t / max(1, t.sum()), -_GROUP_WEIGHT) for t in tables]
    m, cell = len(told), np.arange(len(told))
    alive, steps = np.ones(len(told), dtype=bool), {len(told): np.arange(len(told))}
    shares = [(part.reshape(m, -1, part.shape[-1]).copy(), weight) for part, weight in parts]

    def compute_costs(i: int) -> Floats:
        """What joining cell i with each other loses."""
        cost = np.where(answers == answers[i], 0.0, 1e6)
        for part, weight in shares:
            cost = cost + weight * (
                _measure_entropy(part + part[i]) - _measure_entropy(part) - _measure_entropy(part[i])
            )
        cost[i], cost[~alive] = np.inf, np.inf
        return cost

    costs = np.stack([compute_costs(i) for i in range(m)])
    for left in range(m - 1, 0, -1):
        i, j = (int(v) for v in np.unravel_index(costs.argmin(), costs.shape))
        for part, _ in shares:
            part[i] += part[j]
        cell[cell == j], alive[j] = i, False
        costs[j], costs[:, j] = np.inf, np.inf
        costs[i] = compute_costs(i)
        costs[:, i] = costs[i]
        steps[left] = np.unique(cell, return_inverse=True)[1]
    return steps


def _measure_entropy(shares: Floats) -> Floats:
    """Entropy over the last axis, times the shares' sum, summed over the one before: (...,) of (..., S, G)."""
    total = shares.sum(axis=-1, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        nats = np.where(shares > 0, shares * np.log(total / shares), 0.0)
    return np.asarray(nats.sum(axis=(-1, -2)))


def _tell(told: Floats, cell: Codes) -> float:
    """Nats that cells tell of the label, from the shares (m, n_outputs) of each place."""
    joined = np.zeros((int(cell.max()) + 1, told.shape[1]))
    np.add.at(joined, cell, told)
    return measure_information([joined])


def _estimate_certificate(tables: Sequence[Codes], cell: Codes) -> float:
    """Estimate the bound of the difference of decisions that rows (m, S, G) of places would certify."""
    largest = 0.0
    for table in tables:
        counts = np.zeros((int(cell.max()) + 1, *table.shape[1:]))
        np.add.at(counts, cell, table)
        sizes = np.maximum(counts.sum(axis=0), 1)
        shares = counts / sizes
        for g in range(table.shape[2]):
            for h in range(g):
                p, q = shares[:, :, g], shares[:, :, h]
                a, b = (np.where(p > q, part, 0.0).sum(axis=0) for part in (p, q))
                error = np.sqrt(a * (1 - a) / sizes[:, g] + b * (1 - b) / sizes[:, h])
                largest = max(largest, float((a - b + _QUANTILE * error).max()))
    return largest
