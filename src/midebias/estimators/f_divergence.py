"""Estimators from variational forms of f-divergences: NWJ, Jensen-Shannon and SMILE."""

import math
from typing import Any

import torch
from torch import Tensor

from ..arguments import checked
from ..errors import InputError
from .critic_estimator import CriticEstimator
from .interface import Bound

_LINEAR_FROM = 40.0  # e^40 and its multiples are finite in float32


class NWJ(CriticEstimator):
    r"""Neural lower bound of I(Z;C) of Nguyen, Wainwright and Jordan (f-GAN's KL, MINE-f).

    .. math:: I(Z;C) \ge E_{p(z,c)}[T] - e^{-1} E_{p(z)p(c)}[e^T]

    Unlike `DonskerVaradhan` unbiased on any batch, at the price of more variance. Above T = 40 the exponential goes
    on as its tangent, so that no score overflows.

    Parameters
    ----------
    dim, attribute_dim : int
        Columns of z and of the encoded attribute.
    critic : {"joined", "separable", "bilinear"}, default "joined"
        One network of (z, c); the inner product of a network of z and one of c; or a bilinear form.
    hidden : sequence of int, default (64, 64, 64)
        Critic widths.
    n_groups : int, default 0
        Number of groups for the conditional form; 0 for the unconditional one.
    standardize : bool, default True
        Divide z by running moments before the critic, so that an encoder cannot outrun it by scale.
    seed : int, default 0
        Seeds the critic's weights and the permutations; both from local generators.

    Raises
    ------
    InputError
        An argument that cannot be used; the message names it.

    References
    ----------
    Nguyen, Wainwright, Jordan, "Estimating divergence functionals and the likelihood ratio by convex risk
    minimization", IEEE Trans. Information Theory 2010; Poole et al., "On variational bounds of mutual information",
    ICML 2019, eq. 6.

    Examples
    --------
    >>> import torch
    >>> c = torch.arange(512.0)[:, None] % 2
    >>> z = c + 0.1 * torch.randn(512, 1, generator=torch.Generator().manual_seed(0))
    >>> estimator = NWJ(1, 1)
    >>> optimizer = torch.optim.Adam(estimator.parameters(), lr=0.01)
    >>> _ = estimator.update(z, c, None, optimizer, steps=100)
    >>> 0.3 < float(estimator(z, c).detach()) < 0.8    # the truth is log 2, 0.69 nats
    True
    """

    bound: Bound = "lower"
    assumption = "none: holds in expectation for any critic"

    def _value(self, z: Tensor, c: Tensor, groups: Tensor | None) -> Tensor:
        joint, marginal = self._score(z, c, groups)
        return joint.mean() - _exp(marginal - 1).mean()


class JensenShannon(CriticEstimator):
    r"""Critic trained on the Jensen-Shannon divergence, read as the lower bound of Nguyen, Wainwright and Jordan.

    The learning loss is logistic: T learns to tell joint from marginal pairs, and at its optimum is the log density
    ratio. Its gradient stays small where NWJ's explodes. The estimate is NWJ's with 1 + T,

    .. math:: I(Z;C) \ge E_{p(z,c)}[T] + 1 - E_{p(z)p(c)}[e^T],

    a lower bound in expectation for any critic.

    Parameters
    ----------
    dim, attribute_dim : int
    critic : {"joined", "separable", "bilinear"}, default "joined"
    hidden : sequence of int, default (64, 64, 64)
    n_groups : int, default 0
    standardize : bool, default True
    seed : int, default 0
        As of `NWJ`.

    References
    ----------
    Hjelm et al., "Learning deep representations by mutual information estimation and maximization", ICLR 2019, eq. 4;
    Poole et al., ICML 2019, section 2.2.

    Examples
    --------
    >>> import torch
    >>> z, c = torch.randn(64, 8, generator=torch.Generator().manual_seed(0)), torch.arange(64.0)[:, None] % 2
    >>> JensenShannon(8, 1)(z, c).shape    # to be trained first, as `NWJ` is
    torch.Size([])
    """

    bound: Bound = "lower"
    assumption = "none: holds in expectation for any critic"

    def _value(self, z: Tensor, c: Tensor, groups: Tensor | None) -> Tensor:
        joint, marginal = self._score(z, c, groups)
        return joint.mean() + 1 - _exp(marginal).mean()

    def _loss(self, z: Tensor, c: Tensor, groups: Tensor | None) -> Tensor:
        return compute_logistic_loss(*self._score(z, c, groups))


class SMILE(CriticEstimator):
    r"""Smoothed mutual information lower-bound estimator: Donsker-Varadhan with the density ratio clipped.

    .. math:: E_{p(z,c)}[T] - \log E_{p(z)p(c)}[\mathrm{clip}(e^T, e^{-\tau}, e^{\tau})]

    The critic learns by the logistic loss as in `JensenShannon`. Clipping limits the variance; where scores leave
    ±τ the value can lie above the truth.

    Parameters
    ----------
    dim, attribute_dim : int
    clip : float, default 5.0
        τ, beyond which scores of marginal pairs are clipped.
    **options : Any
        ``critic``, ``hidden``, ``n_groups``, ``standardize`` and ``seed``, as of `NWJ`.

    Raises
    ------
    InputError
        An argument that cannot be used; the message names it.

    References
    ----------
    Song and Ermon, "Understanding the limitations of variational mutual information estimators", ICLR 2020, eq. 9.

    Examples
    --------
    >>> import torch
    >>> z, c = torch.randn(64, 8, generator=torch.Generator().manual_seed(0)), torch.arange(64.0)[:, None] % 2
    >>> SMILE(8, 1)(z, c).shape    # to be trained first, as `NWJ` is
    torch.Size([])
    """

    bound: Bound = "lower"
    assumption = "scores within the clipping range; beyond it the value can exceed the truth"

    @checked
    def __init__(self, dim: int, attribute_dim: int, *, clip: float = 5.0, **options: Any) -> None:
        if not 0 < clip <= 1e30:  # beyond that it is none that float32 could hold
            raise InputError(f"clip must be positive and at most 1e30, got {clip}")
        super().__init__(dim, attribute_dim, **options)
        self.clip = clip

    def _value(self, z: Tensor, c: Tensor, groups: Tensor | None) -> Tensor:
        joint, marginal = self._score(z, c, groups)
        clipped = marginal.clamp(-self.clip, self.clip)
        return joint.mean() - (torch.logsumexp(clipped, dim=0) - math.log(len(clipped)))

    def _loss(self, z: Tensor, c: Tensor, groups: Tensor | None) -> Tensor:
        return compute_logistic_loss(*self._score(z, c, groups))


def compute_logistic_loss(joint: Tensor, marginal: Tensor) -> Tensor:
    """Loss of telling joint from marginal pairs by their scores; at its optimum they are log density ratios."""
    softplus = torch.nn.functional.softplus
    return softplus(-joint).mean() + softplus(marginal).mean()


def _exp(scores: Tensor) -> Tensor:
    """The exponential, from 40 on its tangent: finite, and with a gradient that still points back."""
    return scores.clamp(max=_LINEAR_FROM).exp() * (1 + (scores - _LINEAR_FROM).clamp(min=0))
