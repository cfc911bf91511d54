"""Closed-form mutual information on learned features: a critic that sees much and whose last layer never lags."""

import math
from typing import Literal

import torch
from torch import Tensor, nn

from ..arguments import check_conditions, check_encoded, check_representation, checked
from ..errors import InputError
from ..marginals import center_within
from ..networks import build_perceptron
from ..randomness import seeded
from .gaussian_features import append_products, project_columns, sign_groups
from .interface import Bound, DrawingEstimator
from .log_determinant import compute_gaussian_information
from .running_moments import RunningMoments


class LearnedGaussianMI(DrawingEstimator):
    r"""The log-determinant formula on z beside features of z that learn to predict c.

    A small network learns, on detached pairs, to predict c (less its mean within each group) from z. Its
    outputs, joined to z, go through `GaussianMI`'s formula on the very pairs it is called with. So the last
    layer of the critic is solved afresh at every call: signs that flipped or scales that shrank since the
    network last learned do not fool it, as they fool a neural critic of the usual kind. And it sees what
    linear and random features miss: dependence of second order, in few directions of many, or in one group.

    For jointly Gaussian features the value is exact; for others it is the Gaussian reading of the features'
    correlation, which can exceed H(C) for a discrete c that is read without error.

    Parameters
    ----------
    dim, attribute_dim : int
    hidden : int, default 128
        Width of the network's two layers.
    n_linear : int, default 64
        A z of more columns joins as so many random projections, drawn afresh at every call.
    attribute_degree : {1, 2}, default 1
        2 adds squares and products of the columns of c.
    ridge : float, default 1e-3
        Added to the covariance of the features, in units of their mean variance.
    seed : int, default 0
        Seeds the network, and the local generator of projections and signs.

    Raises
    ------
    InputError
        An argument that cannot be used; the message names it.

    References
    ----------
    Andrew, Arora, Bilmes, Livescu, "Deep Canonical Correlation Analysis", ICML 2013, for the log-determinant's
    features; Cover and Thomas, "Elements of Information Theory", 2006, eq. 8.56.

    Examples
    --------
    >>> import torch
    >>> generator = torch.Generator().manual_seed(0)
    >>> z, c = torch.randn(256, 4, generator=generator), torch.randn(256, 1, generator=generator)
    >>> nats = LearnedGaussianMI(4, 1)(z, c)
    >>> nats.shape, bool(nats.abs() < 0.2)
    (torch.Size([]), True)
    """

    bound: Bound = "exact"
    trainable = True
    closed_form = True
    takes_covariates = True
    preconditioning = 1 / 3

    @checked
    def __init__(
        self,
        dim: int,
        attribute_dim: int,
        *,
        hidden: int = 128,
        n_linear: int = 64,
        attribute_degree: Literal[1, 2] = 1,
        ridge: float = 1e-3,
        seed: int = 0,
    ) -> None:
        super().__init__(seed=seed)
        if min(dim, attribute_dim, hidden, n_linear) < 1:
            raise InputError(
                f"dim, attribute_dim, hidden and n_linear must be at least 1, got {dim}, {attribute_dim}, "
                f"{hidden} and {n_linear}"
            )
        if attribute_degree not in (1, 2):
            raise InputError(f"attribute_degree must be 1 or 2, got {attribute_degree!r}")
        if not 0 <= ridge < math.inf:
            raise InputError(f"ridge must be >= 0, got {ridge}")
        columns = attribute_dim if attribute_degree == 1 else attribute_dim * (attribute_dim + 3) // 2
        with seeded(seed):
            self.critic = build_perceptron(dim, (hidden, hidden), columns)
        self.dim, self.attribute_dim, self.n_linear = dim, attribute_dim, n_linear
        self.attribute_degree, self.ridge = attribute_degree, ridge
        self.moments = RunningMoments(dim, floor=1e-4)

    def forward(self, z: Tensor, c: Tensor, groups: Tensor | None = None) -> Tensor:
        """Estimate in nats on these pairs, with the features as they stand; differentiable in z.

        Raises
        ------
        InputError
            As `GaussianMI` does.
        """
        self._check(z, c, groups)
        z = z.float() if z.dtype in (torch.float16, torch.bfloat16) else z
        standardized = self.moments.standardize(z)
        # The critic's, in the precision of z: a closed form gains by it, a critic does not.
        learned = self.critic(standardized.to(self.moments.mean.dtype)).to(z.dtype)
        linear, learned = (project_columns(v, self._generator, most=self.n_linear) for v in (standardized, learned))
        target = center_within(self._expand(c.to(z.dtype)), groups)[0]
        target = sign_groups(target, groups, self._generator)
        target = project_columns(target, self._generator, most=self.n_linear)
        features = _scale_columns(torch.cat([linear, learned], dim=1))
        return compute_gaussian_information(features, target, groups, ridge=self.ridge)

    def learning_loss(self, z: Tensor, c: Tensor, groups: Tensor | None = None) -> Tensor:
        """Mean squared error of predicting c within groups. Updates the running moments of z."""
        self._check(z, c, groups)
        z = z.detach().to(self.moments.mean.dtype)
        products = self._expand(c.to(z))
        within, target = center_within(torch.cat([z, products], dim=1), groups)[0].split(
            [self.dim, products.shape[1]], 1
        )
        target = target / target.square().mean().sqrt().clamp(min=1e-6)
        self.moments.follow(z.mean(dim=0), within.square().mean(dim=0))
        return nn.functional.mse_loss(self.critic(self.moments.standardize(z)), target)

    def _check(self, z: Tensor, c: Tensor, groups: Tensor | None) -> None:
        check_representation(z, dim=self.dim)
        check_conditions(groups, len(z))
        check_encoded(c, len(z), self.attribute_dim)

    def _expand(self, c: Tensor) -> Tensor:
        return append_products(c) if self.attribute_degree == 2 else c


def _scale_columns(features: Tensor) -> Tensor:
    """Columns brought to comparable size, so that one ridge suits all; scales count as constants."""
    constant = features.detach()
    variance = constant.var(0, unbiased=False)
    return (features - constant.mean(0)) / (variance + 1e-3 * variance.mean()).sqrt().clamp(min=1e-12)
