"""The contrastive estimator InfoNCE."""

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from ..arguments import checked
from ..errors import InputError
from .critic_estimator import CriticEstimator
from .critics import CriticName
from .interface import Bound


class InfoNCE(CriticEstimator):
    r"""Contrastive lower bound of I(Z;C): each z must find its own c among those of the batch.

    .. math:: I(Z;C) \ge E\Big[\frac1N\sum_i T(z_i,c_i) - \log \frac1N \sum_j e^{T(z_i,c_j)}\Big]

    It has little variance and cannot exceed log N. All N² pairs are scored, ``chunk`` rows at a time: with more than
    one chunk their scores are computed anew in the backward pass, and memory grows with ``chunk`` times N. With groups
    the c of the same group are contrasted only.

    Parameters
    ----------
    dim, attribute_dim : int
    critic : {"joined", "separable", "bilinear"}, default "separable"
        The separable one costs a matrix product, the joined one a network over all pairs.
    chunk : int, default 256
        Rows scored at a time.
    **options : Any
        ``hidden``, ``n_groups``, ``standardize`` and ``seed``, as of `NWJ`.

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
    >>> z, c = torch.randn(64, 8, generator=torch.Generator().manual_seed(0)), torch.arange(64.0)[:, None] % 2
    >>> InfoNCE(8, 1)(z, c).shape    # to be trained first, as `NWJ` is
    torch.Size([])
    """

    bound: Bound = "lower"
    assumption = "none: holds in expectation for any critic; at most log of the batch size"

    @checked
    def __init__(
        self, dim: int, attribute_dim: int, *, critic: CriticName = "separable", chunk: int = 256, **options: Any
    ) -> None:
        if chunk < 1:
            raise InputError(f"chunk must be at least 1, got {chunk}")
        super().__init__(dim, attribute_dim, critic=critic, **options)
        self.chunk = chunk

    def _value(self, z: Tensor, c: Tensor, groups: Tensor | None) -> Tensor:
        z = self._standardize(z)
        n = len(z)
        if n <= self.chunk:
            return self._sum_rows(z, c, groups, 0, n) / n
        total = z.new_zeros(())
        for start in range(0, n, self.chunk):
            stop = min(n, start + self.chunk)
            rows = (z, c, groups, start, stop)
            if torch.is_grad_enabled():
                part = checkpoint(self._sum_rows, *rows, use_reentrant=False, preserve_rng_state=False)
            else:
                part = self._sum_rows(*rows)
            total = total + part
        return total / n

    def _sum_rows(self, z: Tensor, c: Tensor, groups: Tensor | None, start: int, stop: int) -> Tensor:
        """Of log(n p(c_i|z_i)) over the rows, with p the softmax of a row's scores: a classifier of whose c it is."""
        rows = slice(start, stop)
        scores = self.critic.pairwise(z[rows], c, None if groups is None else groups[rows])
        own = torch.arange(start, stop, device=z.device)
        if groups is None:
            return (stop - start) * math.log(len(c)) - nn.functional.cross_entropy(scores, own, reduction="sum")
        same = groups[rows][:, None] == groups
        scores = scores + torch.zeros_like(scores).masked_fill_(~same, -math.inf)
        counts = same.sum(dim=1).to(scores.dtype).log().sum()
        return counts - nn.functional.cross_entropy(scores, own, reduction="sum")
