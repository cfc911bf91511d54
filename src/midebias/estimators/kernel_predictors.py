"""A kernel predictor of c from z: ridge regression on random Fourier features, from moments that fade."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

_FEATURES = 256
_BANDWIDTHS = (0.5, 2.0)  # in units of the mean distance of two rows
_RIDGE = 0.03  # in units of the features' mean variance
_ROUNDING = 1e-4


class KernelPredictors(nn.Module):
    """Predictor of centred c (n, q) from centred z (n, dim) of mean square 1, as smooth functions of all columns.

    Frequencies are drawn once, so that the moments of remembered rows stay moments of the same functions. Each half of
    a batch is predicted from what is remembered and the other half.

    Parameters
    ----------
    dim, width : int
        Columns of z and of c.
    memory : float
        Rows.
    seed : int
        Of the frequencies.

    References
    ----------
    Rahimi and Recht, "Random features for large-scale kernel machines", NeurIPS 2007.
    """

    names = ("kernel",)
    frequencies: Tensor
    phases: Tensor
    rows: Tensor
    mean: Tensor
    gram: Tensor
    cross: Tensor

    def __init__(self, dim: int, width: int, *, memory: float, seed: int) -> None:
        super().__init__()
        self.memory = memory
        generator = torch.Generator().manual_seed(seed)
        several = [torch.randn(dim, _FEATURES // len(_BANDWIDTHS), generator=generator) / b for b in _BANDWIDTHS]
        self.register_buffer("frequencies", torch.cat(several, dim=1) / math.sqrt(2 * dim))
        self.register_buffer("phases", 2 * math.pi * torch.rand(_FEATURES, generator=generator))
        for name, shape in (
            ("rows", ()), ("mean", (_FEATURES,)), ("gram", (_FEATURES, _FEATURES)), ("cross", (_FEATURES, width)),
        ):  # fmt: skip
            self.register_buffer(name, torch.zeros(shape))

    def predict(self, z: Tensor, target: Tensor, halves: Sequence[Tensor]) -> dict[str, Tensor]:
        """Predictions (n, width) by name, differentiable in z."""
        features = self._compute_features(z)
        constant = features.detach()
        parts = [
            (features[half] - features[half].mean(0)) @ self._fit(constant[other], target[other])
            for half, other in zip(halves, halves[::-1], strict=True)
        ]
        return {"kernel": torch.cat(parts)[torch.argsort(torch.cat(list(halves)))]}

    def learn(self, z: Tensor, target: Tensor) -> None:
        """Remember rows."""
        features = self._compute_features(z)
        kept = math.exp(-len(z) / self.memory)
        self.rows.mul_(kept).add_(len(z))
        self.mean.mul_(kept).add_(features.sum(0))
        self.gram.mul_(kept).add_(features.T @ features)
        self.cross.mul_(kept).add_(features.T @ target)

    def _compute_features(self, z: Tensor) -> Tensor:
        return torch.cos(z @ self.frequencies.to(z) + self.phases.to(z))

    def _fit(self, features: Tensor, target: Tensor) -> Tensor:
        rows = float(self.rows) + len(features)
        mean = (self.mean.to(features) + features.sum(0)) / rows
        gram = (self.gram.to(features) + features.T @ features) / rows - torch.outer(mean, mean)
        cross = (self.cross.to(features) + features.T @ target) / rows  # c is centred
        gram.diagonal().add_(_RIDGE * gram.diagonal().mean() + _ROUNDING)
        return torch.cholesky_solve(cross, torch.linalg.cholesky_ex(gram)[0])
