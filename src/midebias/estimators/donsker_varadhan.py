"""The Donsker-Varadhan estimator (MINE), the one mutual information backpropagation is built on."""

import math
from typing import Any

import torch
from torch import Tensor

from ..arguments import checked
from ..errors import InputError
from .critic_estimator import CriticEstimator
from .interface import Bound

_HALVINGS = 16
_BLOCK = 1024  # rows among which all pairs are made: more would cost their square


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
    all_pairs : bool, default False
        Marginal pairs are every z with every c of its group, among at most 1,024 rows, instead of one permutation.
    calibrate : bool, default False
        Multiply the scores by the factor in [0, 1] at which the bound on these very pairs is largest. A critic that has
        learned earlier pairs by heart, or whose encoder has moved on, scores too high; its bound is then far below
        zero, where it still tells pairs apart. The value is never negative, and about 1/(2n) too high.
    upper_gradient : bool, default False
        The gradient in z is that of :math:`E_{p(z,c)}[T] - E_{p(z)p(c)}[T]`. Descent on a lower bound may lower the
        bound alone. At the critic's optimum this difference is the sum of both Kullback-Leibler divergences between
        joint and marginal pairs, of which the information is one: an upper bound. Marginal pairs count alike in it; in
        the gradient of the logarithm few do.
    **options : Any
        ``critic``, ``hidden``, ``n_groups``, ``standardize`` and ``seed``, as of `NWJ`.

    Raises
    ------
    InputError
        An argument that cannot be used; the message names it.

    References
    ----------
    Belghazi et al., "Mutual Information Neural Estimation", ICML 2018, eq. 10 and section 3.2.
    Ragonesi et al., arXiv 2003.06430, eq. 4. Guo, Pleiss, Sun, Weinberger, "On calibration of modern neural networks",
    ICML 2017, for one factor of all scores, there of a classifier's. Cheng et al., "CLUB: A Contrastive Log-ratio Upper
    Bound of Mutual Information", ICML 2020, for descending on a difference of means, there of a decoder's.

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
    def __init__(
        self,
        dim: int,
        attribute_dim: int,
        *,
        moving_average: float | None = None,
        all_pairs: bool = False,
        calibrate: bool = False,
        upper_gradient: bool = False,
        **options: Any,
    ) -> None:
        if moving_average is not None and not 0 < moving_average <= 1:
            raise InputError(f"moving_average must lie in (0, 1], got {moving_average}")
        super().__init__(dim, attribute_dim, **options)
        self.moving_average, self.all_pairs = moving_average, all_pairs
        self.calibrate, self.upper_gradient = calibrate, upper_gradient
        if moving_average is not None:
            self.register_buffer("log_average", torch.tensor(math.nan))

    def _value(self, z: Tensor, c: Tensor, groups: Tensor | None) -> Tensor:
        joint, marginal, shares = self._score_pairs(z, c, groups)
        if self.calibrate:
            factor = _find_factor(joint.detach(), marginal.detach(), shares)
            joint, marginal = factor * joint, factor * marginal
        bound = joint.mean() - _average_exp(marginal, shares)
        if not self.upper_gradient:
            return bound
        difference = joint.mean() - (marginal.mean() if shares is None else (marginal * shares.exp()).sum())
        return bound.detach() + difference - difference.detach()

    def _loss(self, z: Tensor, c: Tensor, groups: Tensor | None) -> Tensor:
        joint, marginal, shares = self._score_pairs(z, c, groups)
        log_mean = _average_exp(marginal, shares)
        if self.moving_average is None:
            return log_mean - joint.mean()
        # The value of the loss is the estimate's; its gradient divides by the running mean.
        return -(joint.mean() - log_mean.detach() - self._scale(log_mean) * (log_mean - log_mean.detach()))

    def _score_pairs(self, z: Tensor, c: Tensor, groups: Tensor | None) -> tuple[Tensor, Tensor, Tensor | None]:
        """T on joint pairs (n,), on marginal ones (m,), and the logarithm of what each of these counts; None: alike."""
        if not self.all_pairs:
            return *self._score(z, c, groups), None
        z, parts = self._standardize(z), []
        # Rows may come sorted by c; a block of such rows has no marginal pairs.
        order = torch.arange(len(z)) if len(z) <= _BLOCK else torch.randperm(len(z), generator=self._generator)
        for rows in order.to(z.device, non_blocking=True).tensor_split(math.ceil(len(z) / _BLOCK)):
            inside = None if groups is None else groups[rows]
            scores = self.critic.pairwise(z[rows], c[rows], inside)
            same = torch.ones_like(scores) if inside is None else (inside[:, None] == inside).to(scores)
            parts.append((scores.diagonal(), scores.flatten(), (same / same.sum(dim=1, keepdim=True)).flatten()))
        joint, marginal, shares = (torch.cat(part) for part in zip(*parts, strict=True))
        return joint, marginal, (shares / len(z)).log()

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


def _average_exp(scores: Tensor, shares: Tensor | None) -> Tensor:
    """Logarithm of the mean of e^T."""
    if shares is None:
        return torch.logsumexp(scores, dim=0) - math.log(len(scores))
    return torch.logsumexp(scores + shares, dim=0)


@torch.no_grad()
def _find_factor(joint: Tensor, marginal: Tensor, shares: Tensor | None) -> Tensor:
    """The factor of all scores, in [0, 1], at which the bound is largest: it is concave in it, so its slope says where.

    By bisection, without asking the device.
    """
    low, high = joint.new_zeros(()), joint.new_ones(())
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        exponents = middle * marginal if shares is None else middle * marginal + shares
        rising = joint.mean() > (torch.softmax(exponents, dim=0) * marginal).sum()
        low, high = torch.where(rising, middle, low), torch.where(rising, high, middle)
    return low  # at it the bound is not below zero, as it may be beyond the best
