"""Features of z that a small network learns, from pairs, to predict the attribute with."""

import math

import torch
from torch import Tensor, nn

from ..marginals import center_within
from ..networks import build_perceptron
from ..randomness import seeded
from .running_moments import RunningMoments


class LearnedFeatures(nn.Module):
    """The outputs of a network of two hidden layers that learns to predict centred c (n, width) from z (n, dim).

    Parameters
    ----------
    dim, width : int
        Columns of z and of c.
    hidden : int
        Width of both layers.
    seed : int
        Of the first weights.
    memory : float, optional
        Updates after which 1/e is left of what was learned, as `fade` draws the weights towards the first ones.
    """

    def __init__(self, dim: int, width: int, *, hidden: int, seed: int, memory: float = math.inf) -> None:
        super().__init__()
        with seeded(seed):
            self.network = build_perceptron(dim, (hidden, hidden), width)
        self.dim, self.memory = dim, memory
        first = [nn.Parameter(p.detach().clone(), requires_grad=False) for p in self.network.parameters()]
        self.first = nn.ParameterList(first if memory < math.inf else [])
        self.moments = RunningMoments(dim, floor=1e-4)

    def forward(self, z: Tensor) -> Tensor:
        """Features (n, width), in the precision of z; differentiable in z."""
        return self.read(self.moments.standardize(z))

    def read(self, standardized: Tensor) -> Tensor:
        """Features of rows in units of ``moments``, from the network in its own precision."""
        features: Tensor = self.network(standardized.to(self.moments.mean.dtype))
        return features.to(standardized.dtype)

    def measure_error(self, z: Tensor, target: Tensor, groups: Tensor | None) -> Tensor:
        """Mean squared error of predicting ``target`` (n, width) within groups. Updates the running moments of z."""
        z = z.detach().to(self.moments.mean.dtype)
        pairs = torch.cat([z, target.to(z)], dim=1)
        within, target = center_within(pairs, groups)[0].split([self.dim, target.shape[1]], 1)
        target = target / target.square().mean().sqrt().clamp(min=1e-6)
        self.moments.follow(z.mean(dim=0), within.square().mean(dim=0))
        return nn.functional.mse_loss(self.network(self.moments.standardize(z)), target)

    @torch.no_grad()
    def fade(self) -> None:
        """Forget a little: one update's share of ``memory``."""
        for parameter, first in zip(self.network.parameters(), self.first, strict=False):
            parameter.lerp_(first, 1 / self.memory)


def scale_columns(features: Tensor) -> Tensor:
    """Columns brought to comparable size, so that one ridge suits all; scales count as constants."""
    constant = features.detach()
    variance = constant.var(0, unbiased=False)
    return (features - constant.mean(0)) / (variance + 1e-3 * variance.mean()).sqrt().clamp(min=1e-12)
