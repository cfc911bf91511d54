"""Covariates W, which an estimate conditions on: functions of them, and what these leave of other columns."""

import itertools
import math

import torch
from torch import Tensor

from .marginals import center_within
from .normal_scores import compute_normal_scores

_MOST_PRODUCTS = 64
_FARTHEST = 3.0  # standard deviations: beyond, functions other than linear ones go on as constants
# Of each block, in units of its mean variance.
_RIDGES = (0.0, 0.1, 1.0, math.inf), (0.01, 0.1, 1.0, math.inf), (1e-3, 1e-2, 0.1, 1.0, math.inf)


def encode_functions(w: Tensor, n_waves: int, *, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """Standardise covariates w (n, k): themselves, their squares and products, and ``n_waves`` random waves of them.

    Waves, which are cosines of one to three columns or of all, come from ``seed`` alone, so that each call has the
    same. Where columns are many, products of the first ones alone are formed.

    References
    ----------
    Rahimi and Recht, "Random Features for Large-Scale Kernel Machines", NeurIPS 2007.
    """
    centred = w - w.mean(dim=0)
    x = centred / centred.square().mean(dim=0).sqrt().clamp(min=1e-12)
    near, k = x.clamp(-_FARTHEST, _FARTHEST), x.shape[1]
    i, j = torch.triu_indices(k, k, device=w.device)[:, :_MOST_PRODUCTS]
    generator = torch.Generator().manual_seed(seed)
    directions = torch.randn(k, n_waves, generator=generator)
    several = torch.randint(1, 5, (n_waves,), generator=generator)  # columns of a wave; four stand for all
    chosen = torch.rand(k, n_waves, generator=generator).argsort(dim=0).argsort(dim=0) < several
    directions = torch.where(chosen | (several == 4), directions, 0.0)
    length = torch.exp(2.3 * torch.rand(n_waves, generator=generator) - 0.7) / directions.norm(dim=0).clamp(min=1e-6)
    phases = 2 * math.pi * torch.rand(n_waves, generator=generator)
    waves = torch.cos(near @ (directions * length).to(w) + phases.to(w))
    return x, near[:, i] * near[:, j], waves


def expand_covariates(w: Tensor, most: int) -> Tensor:
    """Expand w (n, k) to at most ``most`` functions: normal scores of w, and what varies most of waves and products."""
    x, products, waves = encode_functions(compute_normal_scores(w), 64)
    rest = center_within(torch.cat([products, waves], dim=1), x)[0]
    variances, directions = torch.linalg.eigh((rest.T @ rest).double())
    kept = (variances > 1e-6 * len(w)).nonzero().squeeze(1).flip(0)[: max(0, most - x.shape[1])]
    return torch.cat([x, rest @ directions[:, kept].to(rest) / rest.shape[1] ** 0.5], dim=1)


class CovariateRegression:
    """Ridge regressions on functions of covariates w (n, k), of whichever columns.

    Functions form three blocks: w itself, products, and waves, each made orthogonal to those before, and each with a
    ridge of its own, so that what is linear is hardly shrunk where nothing else is there. A prediction of a row is made
    without that row, and ridges are those of the least error of such predictions, column by column.

    References
    ----------
    Golub, Heath, Wahba, "Generalized cross-validation as a method for choosing a good ridge parameter", Technometrics
    1979, for leaving rows out in closed form.
    """

    def __init__(self, w: Tensor) -> None:
        n = len(w)
        taken = torch.ones(n, 1, dtype=torch.float64) / math.sqrt(n)
        self._blocks: list[tuple[Tensor, Tensor]] = []  # orthonormal columns, and the variance that each has
        for block in encode_functions(w, max(8, min(128, n // 8))):
            rest = block.double()
            for _ in range(2):  # once more, for digits
                rest = rest - taken @ (taken.T @ rest)
            columns, sizes, _ = torch.linalg.svd(rest, full_matrices=False)
            columns, sizes = columns[:, sizes > 1e-4 * math.sqrt(n)], sizes[sizes > 1e-4 * math.sqrt(n)]
            self._blocks.append((columns, sizes.square() / sizes.square().mean()))
            taken = torch.cat([taken, columns], dim=1)

    def predict(self, targets: Tensor) -> Tensor:
        """Predict targets (n, t), each row without itself."""
        y = targets.double()
        n = len(y)
        center = y.mean(dim=0)
        y = y - center
        parts = []
        for (columns, variances), ridges in zip(self._blocks, _RIDGES, strict=True):
            slopes, squares = columns.T @ y, columns.square()
            shares = [variances / (variances + ridge) for ridge in ridges]
            parts.append([(columns @ (share[:, None] * slopes), (squares @ share)[:, None]) for share in shares])
        least, best = torch.full_like(center, math.inf), torch.zeros_like(y)
        for combination in itertools.product(*parts):
            fits, leverages = (torch.stack(several).sum(dim=0) for several in zip(*combination, strict=True))
            leverage = (1 / n + leverages).clamp(max=0.99)
            predicted = (fits - leverage * y) / (1 - leverage)
            loss = (y - predicted).square().mean(dim=0)
            best = torch.where(loss < least, predicted, best)
            least = torch.minimum(loss, least)
        return (best + center).to(targets.dtype)

    def compute_residuals(self, targets: Tensor) -> Tensor:
        """Compute what is left of targets (n, t)."""
        return targets - self.predict(targets)

    def standardize(self, targets: Tensor) -> Tensor:
        """Compute what is left of targets (n, t), over its standard deviation as a function of w."""
        left = self.compute_residuals(targets)
        square = left.square()
        logarithm = (square + 0.02 * square.median(dim=0).values + 1e-30).log()
        return left * (-0.5 * self.predict(logarithm)).exp()
