"""The judge of a map: what regressions read of held-out rows, and the neighbours that these keep."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier
from torch import Tensor

from ..leakage.statistics import compare_with_marginal
from .linear import compute_linear_erasure
from .moments import Floats

# Of each kernel, what a column of unit variance counts, over p, and the ridge, of the mean eigenvalue: weak dependences
# want more of it, and those of many turns a narrow kernel.
_KERNELS = ((1.0, 3e-4), (1.0, 1e-2), (1.0, 0.3), (8.0, 1e-2))
_SHARPNESS = (0.0, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0)
_TREES = 60  # of all groups together, at least five of each: they see what lies along single columns
_NEIGHBOURS = 10


@dataclass(frozen=True)
class Judge:
    """Fits a probe on some rows and reads others.

    Parameters
    ----------
    codes : array of shape (m + n,)
        Groups of the m rows that a probe is fitted on, then of the n held-out ones.
    m : int
    strata : array of shape (k,)
        Of each group: what is read is what z tells of the group within its stratum.
    """

    codes: NDArray[np.intp]
    m: int
    strata: NDArray[np.intp]

    def measure_leakage(self, z: Tensor) -> float:
        """Measure what z (m + n, p) tells of the group, in nats: what regressions and trees read of the held-out rows.

        As the linear erasure follows whatever is judged, what is linear is taken out first.
        """
        wide, k = z.double(), len(self.strata)
        c = np.eye(k)[self.codes[: self.m]]
        fit = wide[: self.m].numpy()
        centred = fit - fit.mean(axis=0)
        erased = centred.T @ (c - self._compute_share(c)) / self.m
        linear = compute_linear_erasure(fit.mean(axis=0), centred.T @ centred / self.m, erased, rows=self.m)
        x = linear(wide).float()
        x = (x - x[: self.m].mean(dim=0)) / (x[: self.m].std(dim=0) + 1e-3 * x[: self.m].std() + 1e-12)
        x = x.clamp(-6, 6)
        y = torch.from_numpy(c - c.mean(axis=0)).float()
        found, kernel = [], _compute_kernel(x, x[: self.m], 1 / x.shape[1])
        for width, ridge in _KERNELS:
            narrow = kernel if width == 1 else kernel**width
            factor = torch.linalg.cholesky(narrow[: self.m] + ridge * self.m * torch.eye(self.m))
            found.append((narrow[self.m :] @ torch.cholesky_solve(y, factor)).numpy())
        squares = x.square() - x[: self.m].square().mean(dim=0)  # kernels are slow to see a few variances that differ
        inner = squares[: self.m].T @ squares[: self.m] + 1e-2 * self.m * torch.eye(x.shape[1])
        found.append((squares[self.m :] @ torch.linalg.solve(inner, squares[: self.m].T @ y)).numpy())
        trees = HistGradientBoostingClassifier(
            max_iter=max(5, _TREES // k), learning_rate=0.2, max_leaf_nodes=8, early_stopping=False, random_state=0
        ).fit(x[: self.m].numpy(), self.codes[: self.m])
        scores = np.zeros((len(x) - self.m, k))
        scores[:, trees.classes_] = trees.predict_proba(x[self.m :].numpy()) - c.mean(axis=0)[trees.classes_]
        found.append(scores)
        return self._read(found)

    def count_neighbours(self, before: Tensor, after: Tensor) -> float:
        """Count the share of the ten nearest held-out rows that are still among the ten nearest."""
        near, now = (_find_neighbours(z[self.m :].float()) for z in (before, after))
        return float((near[:, :, None] == now[:, None, :]).any(dim=2).float().mean())

    def _compute_share(self, c: Floats) -> Floats:
        """Shares of the groups in each row's stratum."""
        same = self.strata[:, None] == self.strata[None]
        counts = c.sum(axis=0)
        return (same * counts / np.maximum(same @ counts, 1e-300)[:, None])[self.codes[: self.m]]

    def _read(self, candidates: Sequence[NDArray[np.floating]]) -> float:
        """Nats of held-out scores (n, k): which, and how sharp, is chosen on one half and read on the other."""
        truth, total = self.codes[self.m :], 0.0
        for stratum in np.unique(self.strata):
            columns = np.flatnonzero(self.strata == stratum)
            rows = np.flatnonzero(np.isin(truth, columns))
            if len(rows) < 4 or len(columns) < 2:
                continue
            c = np.searchsorted(columns, truth[rows])
            share = np.maximum(np.bincount(c, minlength=len(columns)) / len(rows), 1e-3)
            parts = [scores[rows][:, columns] / share for scores in candidates]
            parts = [np.clip(ratio / max(float(ratio.std()), 1e-12), -4, 4) for ratio in parts]
            halves = slice(0, None, 2), slice(1, None, 2)
            for one, other in (halves, halves[::-1]):
                known = [(_compare(a * r[one], c[one]), a, j) for j, r in enumerate(parts) for a in _SHARPNESS]
                _, sharpness, j = max(known)
                total += _compare(sharpness * parts[j][other], c[other])
        return total / max(1, len(truth))


def _compare(scores: NDArray[np.floating], c: NDArray[np.intp]) -> float:
    return float(compare_with_marginal(scores, c)[0].sum())


def _compute_kernel(x: Tensor, y: Tensor, width: float) -> Tensor:
    distance = x.square().sum(dim=1)[:, None] + y.square().sum(dim=1) - 2 * x @ y.T
    return (-width * distance.clamp(min=0)).exp()


def _find_neighbours(z: Tensor) -> Tensor:
    distance = torch.cdist(z, z)
    distance.fill_diagonal_(torch.inf)
    return distance.topk(min(_NEIGHBOURS, len(z) - 1), largest=False).indices
