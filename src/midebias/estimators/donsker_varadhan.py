"""The Donsker-Varadhan estimator (MINE), the one mutual information backpropagation is built on."""

import math
from typing import Any

import torch
from torch import Tensor

from ..arguments import checked
from ..errors import InputError
from .critic_estimator import CriticEstimator
from .interface import Bound


class DonskerVaradhan(CriticEstimator):
    r"""Neural lower bound of I(Z;C) by the Donsker-Varadhan representation.

    .. math:: I(Z;C) \ge E_{p(z,c)}[T] - \log E_{p(z)p(c)}[e^T]

    The critic T is trained to make the bound tight. In expectation over large batches the value lies below the
    truth for any critic; on a finite batch the logarithm of the mean is biased, it cannot exceed what the logarithm
    of the batch allows, and pairs the critic was trained on read too high.

    Parameters
    ----------
    dim, attribute_dim : int
    moving_average : float, optional
        Weight, in (0, 1], of a new batch in the running mean of e^T that the gradient of the learning loss divides
        by: the correction of the batch's gradient of Belghazi et al., section 3.2. Default: none, the plain gradient.
    **options : Any
        ``critic``, ``hidden``, ``n_groups``, ``standardize`` and ``seed``, as of `NWJ`.

    Raises
    ------
    InputError
        An argument that cannot be used; the message names it.

    References
    ----------
    Belghazi et al., "Mutual Information Neural Estimation", ICML 2018, eq. 10 and section 3.2.
    Ragonesi et al., arXiv 2003.06430, eq. 4.

    Examples
    --------
    >>> import torch
    >>> c = torch.arange(512.0)[:, None] % 2
    >>> z = c + 0.1 * torch.randn(512, 1, generator=torch.Generator().manual_seed(0))
    >>> estimator = DonskerVaradhan(1, 1)
    >>> optimizer = torch.optim.Adam(estimator.parameters(), lr=0.01)
    >>> _ = estimator.update(z, c, None, optimizer, steps=100)
    >>> 0.3 < float(estimator(z, c).detach()) < 0.8    # the truth is log 2, 0.69 nats
    True
    """

    bound: Bound = "lower"
    assumption = "a batch large beside exp(information)"
    log_average: Tensor

    @checked
    def __init__(self, dim: int, attribute_dim: int, *, moving_average: float | None = None, **options: Any) -> None:
        if moving_average is not None and not 0 < moving_average <= 1:
            raise InputError(f"moving_average must lie in (0, 1], got {moving_average}")
        super().__init__(dim, attribute_dim, **options)
        self.moving_average = moving_average
        if moving_average is not None:
            self.register_buffer("log_average", torch.tensor(math.nan))

    def _value(self, z: Tensor, c: Tensor, groups: Tensor | None) -> Tensor:
        joint, marginal = self._score(z, c, groups)
        return joint.mean() - (torch.logsumexp(marginal, dim=0) - math.log(len(marginal)))

    def _loss(self, z: Tensor, c: Tensor, groups: Tensor | None) -> Tensor:
        if self.moving_average is None:
            return -self._value(z, c, groups)
        joint, marginal = self._score(z, c, groups)
        log_mean = torch.logsumexp(marginal, dim=0) - math.log(len(marginal))
        # The value of the loss is the estimate's; its gradient divides by the running mean.
        return -(joint.mean() - log_mean.detach() - self._scale(log_mean) * (log_mean - log_mean.detach()))

    @torch.no_grad()
    def _scale(self, log_mean: Tensor) -> Tensor:
        """E[e^T] of this batch beside its running mean, which follows it; in logarithms, so that nothing overflows."""
        assert self.moving_average is not None
        rate, now = self.moving_average, log_mean.to(self.log_average)
        if bool(self.log_average.isnan()) or rate == 1:
            self.log_average.copy_(now)
        else:
            self.log_average.copy_(torch.logaddexp(self.log_average + math.log1p(-rate), now + math.log(rate)))
        # E[e^T] grows at most e^4-fold beside its average before it is held back.
        return (log_mean - self.log_average).clamp(max=4.0).exp()
