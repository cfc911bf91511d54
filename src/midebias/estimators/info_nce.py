"""The contrastive estimator InfoNCE."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from ..arguments import checked
from ..errors import InputError
from .critic_estimator import CriticEstimator
from .critics import CriticName, SeparableCritic
from .interface import Bound

__all__ = ["InfoNCE"]


class InfoNCE(CriticEstimator):
    r"""Contrastive lower bound of I(Z;C): each z must find its own c among those of the batch.

    .. math:: I(Z;C) \ge E\Big[\frac1N\sum_i T(z_i,c_i) - \log \frac1N \sum_j e^{T(z_i,c_j)}\Big]

    It has little variance and cannot exceed log N. All N² pairs are scored, ``chunk`` rows at a time: with more than
    one chunk their scores are computed anew in the backward pass, and memory grows with ``chunk`` times N. With groups
    the c of the same group are contrasted only.

    Parameters
    ----------
    dim, attribute_dim, critic, hidden, n_groups, standardize, seed
        See `CriticEstimator`. The separable critic costs a matrix product, the joined one a network over all pairs.
    chunk : int, default 256
        Rows scored at a time.

    Raises
    ------
    InputError
        An argument that cannot be used; the message names it.

    References
    ----------
    van den Oord, Li, Vinyals, arXiv 1807.03748; Poole et al., ICML 2019, eq. 10.

    Examples
    --------
    >>> import torch
    >>> from midebias.estimators import InfoNCE
    >>> generator = torch.Generator().manual_seed(0)
    >>> c = torch.randint(2, (512, 1), generator=generator).float()
    >>> z = c + 0.1 * torch.randn(512, 1, generator=generator)
    >>> estimator = InfoNCE(1, 1)
    >>> optimizer = torch.optim.Adam(estimator.parameters(), lr=0.01)
    >>> _ = estimator.update(z, c, None, optimizer, steps=100)
    >>> 0.3 < float(estimator(z, c).detach()) < 0.8    # the truth is log 2, 0.69 nats
    True
    """

    bound: Bound = "lower"
    assumption = "none: holds in expectation for any critic; at most log of the batch size"

    @checked
    def __init__(
        self,
        dim: int,
        attribute_dim: int,
        *,
        critic: CriticName = "separable",
        hidden: Sequence[int] = (64, 64, 64),
        n_groups: int = 0,
        standardize: bool = True,
        chunk: int = 256,
        seed: int = 0,
    ) -> None:
        if chunk < 1:
            raise InputError(f"chunk must be at least 1, got {chunk}")
        super().__init__(
            dim, attribute_dim, critic=critic, hidden=hidden, n_groups=n_groups, standardize=standardize, seed=seed
        )
        self.chunk = chunk

    def _value(self, z: Tensor, c: Tensor, groups: Tensor | None) -> Tensor:
        z = self._standardized(z)
        n = len(z)
        if n <= self.chunk:
            return self._rows(z, c, groups, 0, n) / n
        total = z.new_zeros(())
        for start in range(0, n, self.chunk):
            stop = min(n, start + self.chunk)
            if torch.is_grad_enabled():
                part = checkpoint(self._rows, z, c, groups, start, stop, use_reentrant=False, preserve_rng_state=False)
            else:
                part = self._rows(z, c, groups, start, stop)
            total = total + part
        return total / n

    def _backward(self, z: Tensor, c: Tensor, groups: Tensor | None) -> Tensor:
        if not isinstance(self.critic, SeparableCritic):
            return super()._backward(z, c, groups)
        with torch.no_grad():
            n = len(z)
            left, right, backward = self.critic.sides(self._standardized(z), c, groups)
            by_left, by_right, total = torch.zeros_like(left), torch.zeros_like(right), z.new_zeros(())
            for start in range(0, n, self.chunk):
                rows = slice(start, start + self.chunk)
                scores = torch.addmm(left[rows, -1:], left[rows, :-1], right.T)
                own = scores.diagonal(offset=start).clone()
                counts: Tensor | float = math.log(n)
                if groups is not None:
                    same = groups[rows][:, None] == groups
                    scores.masked_fill_(~same, -math.inf)
                    counts = same.sum(dim=1).to(scores.dtype).log()
                largest = scores.amax(dim=1, keepdim=True)
                slopes = scores.sub_(largest).exp_()
                sums = slopes.sum(dim=1, keepdim=True)
                total += (own - (largest + sums.log()).squeeze(1) + counts).sum()
                slopes /= sums
                slopes.diagonal(offset=start).sub_(1)
                by_left[rows, :-1] = slopes @ right
                by_left[rows, -1] = slopes.sum(dim=1)
                by_right += slopes.T @ left[rows, :-1]
            backward(by_left / n, by_right / n)
            return -total / n

    def _rows(self, z: Tensor, c: Tensor, groups: Tensor | None, start: int, stop: int) -> Tensor:
        rows = slice(start, stop)
        scores = self.critic.pairwise(z[rows], c, None if groups is None else groups[rows])
        own = scores.diagonal(offset=start)
        if groups is None:
            return (own - torch.logsumexp(scores, dim=1) + math.log(len(c))).sum()
        same = groups[rows][:, None] == groups
        scores = scores.masked_fill(~same, -math.inf)
        return (own - torch.logsumexp(scores, dim=1) + same.sum(dim=1).to(scores.dtype).log()).sum()
