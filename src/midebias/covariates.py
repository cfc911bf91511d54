"""Covariates W, which an estimate conditions on: functions of them, and what these leave of other columns."""

import math

import torch
from torch import Tensor

from .marginals import center_within
from .normal_scores import compute_normal_scores

_MOST_PRODUCTS = 64
_MOST_ADDITIVE = 12  # columns of which functions of each alone are formed
_FREQUENCIES = (1.0, 2.0, 3.0, 4.0)  # radians per standard deviation
_FARTHEST = 3.0  # standard deviations: beyond, functions other than linear ones go on as constants
_RIDGES = (0.0, 1e-3, 1e-2, 0.1, 1.0, math.inf)  # of a block, in units of its mean variance
_SWEEPS = 2
_AT_ONCE = 32  # targets


def encode_functions(w: Tensor, n_waves: int, *, seed: int = 0) -> tuple[Tensor, ...]:
    """Standardise covariates w (n, k): themselves, squares and products, waves of each alone, and of several together.

    Waves are the smaller the faster; of several columns there are ``n_waves`` random ones, which come from ``seed``
    alone, so that each call has the same. Where columns are many, products and waves of the first ones alone
    are formed.

    References
    ----------
    Rahimi and Recht, "Random Features for Large-Scale Kernel Machines", NeurIPS 2007.
    """
    centred = w - w.mean(dim=0)
    x = centred / centred.square().mean(dim=0).sqrt().clamp(min=1e-12)
    near, k = x.clamp(-_FARTHEST, _FARTHEST), x.shape[1]
    alone = near[:, :_MOST_ADDITIVE]
    waves = [wave(f * alone) / f for f in _FREQUENCIES for wave in (torch.cos, torch.sin)]
    i, j = torch.triu_indices(k, k, device=w.device)[:, :_MOST_PRODUCTS]
    generator = torch.Generator().manual_seed(seed)
    directions = torch.randn(k, n_waves, generator=generator)
    several = torch.randint(2, 5, (n_waves,), generator=generator)  # columns of a wave; four stand for all
    order = torch.rand(k, n_waves, generator=generator)
    indicators = ((x == x.amin(dim=0)) | (x == x.amax(dim=0))).all(dim=0).cpu()
    order[indicators, : n_waves // 2] += 1.0  # half of the waves are of quantities first
    chosen = (order.argsort(dim=0).argsort(dim=0) < several) | ((several == 4) & (order < 1))
    directions = torch.where(chosen, directions, 0.0)
    length = torch.exp(2.3 * torch.rand(n_waves, generator=generator) - 0.7)
    phases = 2 * math.pi * torch.rand(n_waves, generator=generator)
    directions = directions * length / directions.norm(dim=0).clamp(min=1e-6)
    together = torch.cos(near @ directions.to(w) + phases.to(w)) / length.to(w)
    return x, near[:, i] * near[:, j], torch.cat(waves, dim=1), together


def expand_covariates(w: Tensor, most: int) -> Tensor:
    """Expand w (n, k) to at most ``most`` functions: normal scores of w, and what varies most of the others."""
    x, *others = encode_functions(compute_normal_scores(w), 32 if w.shape[1] > 1 else 0)
    rest = center_within(torch.cat(others, dim=1), x)[0]
    variances, directions = torch.linalg.eigh((rest.T @ rest).double())
    kept = (variances > 1e-6 * len(w)).nonzero().squeeze(1).flip(0)[: max(0, most - x.shape[1])]
    return torch.cat([x, rest @ directions[:, kept].to(rest) / rest.shape[1] ** 0.5], dim=1)


class CovariateRegression:
    """Ridge regressions on functions of covariates w (n, k), of whichever columns.

    Functions form blocks: w itself, products, waves of one column, and of several, each made orthogonal to those before
    and each with a ridge of its own, so that what is linear is hardly shrunk where nothing else is there. A prediction
    of a row is made without that row, and ridges are those of the least error of such predictions, column by column and
    block after block.

    References
    ----------
    Golub, Heath, Wahba, "Generalized cross-validation as a method for choosing a good ridge parameter", Technometrics
    1979, for leaving rows out in closed form.
    """

    def __init__(self, w: Tensor) -> None:
        n = len(w)
        taken = torch.ones(n, 1, dtype=torch.float64) / math.sqrt(n)
        self._blocks: list[tuple[Tensor, Tensor]] = []  # orthonormal columns, and the variance that each has
        for block in encode_functions(w, max(8, min(256, n // 4)) if w.shape[1] > 1 else 0):
            rest = block.double()
            for _ in range(2):  # once more, for digits
                rest = rest - taken @ (taken.T @ rest)
            columns, sizes, _ = torch.linalg.svd(rest, full_matrices=False)
            columns, sizes = columns[:, sizes > 1e-4 * math.sqrt(n)], sizes[sizes > 1e-4 * math.sqrt(n)]
            self._blocks.append((columns, sizes.square() / sizes.square().mean()))
            taken = torch.cat([taken, columns], dim=1)

    def predict(self, targets: Tensor) -> Tensor:
        """Predict targets (n, t), each row without itself."""
        return torch.cat([self._predict(part)[0] for part in targets.split(_AT_ONCE, dim=1)], dim=1)

    def measure_freedom(self, targets: Tensor) -> float:
        """Share of the degrees of freedom of targets (n, t) that predictions leave, on average."""
        return 1 - float(torch.cat([self._predict(part)[1] for part in targets.split(_AT_ONCE, dim=1)]).mean())

    def _predict(self, targets: Tensor) -> tuple[Tensor, Tensor]:
        n, t = targets.shape
        y = targets.double() - targets.double().mean(dim=0)
        ridges = torch.tensor(_RIDGES, dtype=y.dtype)[:, None]
        fits, leverages = [], []  # by block and ridge
        for columns, variances in self._blocks:
            shares = variances / (variances + ridges)
            fits.append([columns @ (share[:, None] * (columns.T @ y)) for share in shares])
            leverages.append((shares @ columns.square().T)[:, :, None].expand(-1, -1, t))
        chosen = [(fit[-1], leverage[-1]) for fit, leverage in zip(fits, leverages, strict=True)]
        for k in [*range(len(fits))] * _SWEEPS:
            others = [pair for j, pair in enumerate(chosen) if j != k]
            left = y - torch.stack([fit for fit, _ in others]).sum(dim=0)
            known = 1 / n + torch.stack([leverage for _, leverage in others]).sum(dim=0)
            least = torch.full_like(y[0], math.inf)
            for fit, leverage in zip(fits[k], leverages[k], strict=True):
                loss = ((left - fit) / (1 - known - leverage).clamp(min=0.01)).square().mean(dim=0)
                better = loss < least
                chosen[k] = torch.where(better, fit, chosen[k][0]), torch.where(better, leverage, chosen[k][1])
                least = torch.minimum(loss, least)
        found, leverage = (torch.stack(part).sum(dim=0) for part in zip(*chosen, strict=True))
        return (targets - (y - found) / (1 - 1 / n - leverage).clamp(min=0.01)).to(targets.dtype), leverage.mean(dim=0)

    def compute_residuals(self, targets: Tensor) -> Tensor:
        """Compute what is left of targets (n, t)."""
        return targets - self.predict(targets)

    def standardize(self, targets: Tensor) -> Tensor:
        """Compute what is left of targets (n, t), over its standard deviation as a function of w."""
        left = self.compute_residuals(targets)
        square = left.square()
        logarithm = (square + 0.02 * square.median(dim=0).values + 1e-30).log()
        return left * (-0.5 * self.predict(logarithm)).exp()
