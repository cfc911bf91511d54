"""The residual map: a perceptron that moves z, trained until random features of it tell nothing of the group."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..estimators.gaussian_features import project_columns
from ..estimators.log_determinant import compute_gaussian_information
from ..marginals import center_within
from ..networks import build_perceptron
from ..randomness import seeded
from .moments import Floats

_HIDDEN = (256, 256)
_STEPS = 240
_BATCH = 1024
_FEATURES, _LINEAR_FEATURES = 256, 64
_RATE = 5e-3
_PRICE = 0.7  # nats that moving all of the variance costs


class ResidualTransport(nn.Module):
    """x (n, p) and the weights of k groups (n, k) -> x moved by ``step`` of what a perceptron makes of both."""

    mean: Tensor
    spread: Tensor
    step: Tensor

    def __init__(self, p: int, k: int) -> None:
        super().__init__()
        self.mean, self.spread = nn.Buffer(torch.zeros(p)), nn.Buffer(torch.ones(p))
        self.network = build_perceptron(p + k, _HIDDEN, p, activation=nn.GELU)
        for parameter in self.network[-1].parameters():
            nn.init.zeros_(parameter)
        self.step = nn.Buffer(torch.tensor(1.0))

    def forward(self, x: Tensor, weights: Tensor) -> Tensor:
        """Move x."""
        return x + (self.step * self.compute_movement(x, weights)).to(x.dtype)

    def compute_movement(self, x: Tensor, weights: Tensor) -> Tensor:
        """The whole movement (n, p)."""
        known = ((x.float() - self.mean) / torch.maximum(self.spread, 1e-3 * self.spread.max() + 1e-12)).clamp(-6, 6)
        moved: Tensor = self.network(torch.cat([known, weights.float().clamp(-1, 2)], dim=1))
        return moved * self.spread


def train_residual(
    z: NDArray[np.floating],
    read: Tensor,
    codes: NDArray[np.intp],
    strata: NDArray[np.intp],
    weights: Floats,
    seed: int,
    functions: Tensor | None = None,
) -> ResidualTransport:
    """Train on rows z (n, p) of known groups, with what a reader says of them (n, k).

    Minimised is the information that random Fourier features and z itself have on the group within its stratum, or
    beyond functions (n, m) of covariates, by the log-determinant formula, plus the movement. Features are drawn afresh
    at every step, some of all columns and some of one to three, which trees look at.
    """
    generator = torch.Generator().manual_seed(seed)
    with seeded(seed):
        residual = ResidualTransport(z.shape[1], read.shape[1])
    x, chances = torch.from_numpy(z).float(), torch.from_numpy(weights)
    residual.mean, residual.spread = x.mean(dim=0), x.std(dim=0)
    least, variance = 1e-3 * x.std() + 1e-12, x.var(dim=0).sum() + 1e-12
    groups, stratum = torch.from_numpy(codes), torch.from_numpy(strata)
    c = nn.functional.one_hot(groups, len(strata)).float()
    optimizer = torch.optim.Adam(residual.network.parameters(), lr=_RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, _STEPS)
    batch = min(_BATCH, max(len(x), 4 * len(strata)))
    for _ in range(_STEPS):
        rows = torch.multinomial(chances, batch, replacement=True, generator=generator)
        movement = residual.compute_movement(x[rows], read[rows])
        moved, within = x[rows] + movement, stratum[groups[rows]] if functions is None else functions[rows]
        moved = (moved - moved.mean(dim=0)) / (moved.std(dim=0).detach() + least)
        own = center_within(c[rows], within)[0]
        linear = project_columns(moved, generator, most=_LINEAR_FEATURES)
        told = sum(
            compute_gaussian_information(features, own, within, ridge=1e-2)
            for features in (_draw_features(moved, generator), linear)
        )
        optimizer.zero_grad()
        (told + _PRICE * movement.square().sum(dim=1).mean() / variance).backward()
        optimizer.step()
        schedule.step()
    return residual.requires_grad_(False).eval()


def _draw_features(z: Tensor, generator: torch.Generator) -> Tensor:
    """Cosines of random directions of z (n, p), of columns of unit variance: of all columns, or of one to three."""
    p, m = z.shape[1], min(_FEATURES, len(z) // 4)
    directions = torch.randn(p, m, generator=generator)
    columns = torch.randint(4, (m,), generator=generator)
    places = torch.randint(p, (3, m), generator=generator)
    chosen = torch.zeros(p, m).scatter_reduce_(0, places, (torch.arange(3)[:, None] < columns).float(), "amax")
    directions = torch.where(columns == 0, directions / p**0.5, directions * chosen / columns.clamp(min=1) ** 0.5)
    length = torch.exp(torch.rand(m, generator=generator) * torch.where(columns == 0, 2.5, 4.5) - 1.2)
    features: Tensor = torch.cos(z @ (directions * length) + 2 * torch.pi * torch.rand(m, generator=generator))
    return features
