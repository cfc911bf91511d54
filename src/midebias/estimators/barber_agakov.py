"""The estimator of Barber and Agakov: mutual information from below, by a variational decoder."""

import math

import torch
from torch import Tensor

from .decoder_estimator import DecoderEstimator
from .interface import Bound


class BarberAgakov(DecoderEstimator):
    r"""Lower bound of I(Z;C) by a decoder, :math:`I(Z;C) \ge H(C) + E[\log q(c|z)]`.

    H(C) is the joint entropy of the categories as the batch has them, and for continuous columns that of a normal
    distribution with the batch's covariance; with groups, each within the group. For categories, a classifier's
    cross-entropy taken from the entropy. Continuous columns: a bound when c is normal (within groups), since another
    c of the same covariance has less entropy.

    Parameters
    ----------
    dim : int
        Columns of z.
    attribute : Attribute or int
        What c is: a categorical distribution for each categorical column, a normal one, whose mean and variance
        depend on z, for each continuous column. A number means so many continuous columns.
    hidden : sequence of int, default (64, 64)
    n_groups : int, default 0
        Number of groups for the conditional form, whose decoder sees the group; 0 for the unconditional one.
    standardize : bool, default True
        Divide z by running moments before the decoder, so that an encoder cannot outrun it by scale.
    seed : int, default 0
        Seeds the decoder's weights and the permutations; both from local generators.

    Raises
    ------
    InputError
        An argument that cannot be used; the message names it.

    References
    ----------
    Barber and Agakov, "The IM algorithm: a variational approach to information maximization", NeurIPS 2003, eq. 3.

    Examples
    --------
    >>> import torch
    >>> c = torch.arange(512.0)[:, None] % 2
    >>> z = c + 0.1 * torch.randn(512, 1, generator=torch.Generator().manual_seed(0))
    >>> estimator = BarberAgakov(1, 1)
    >>> optimizer = torch.optim.Adam(estimator.parameters(), lr=0.01)
    >>> _ = estimator.update(z, c, None, optimizer, steps=100)
    >>> estimator(z, c).shape, estimator.bound
    (torch.Size([]), 'lower')
    """

    bound: Bound = "lower"
    assumption = "the continuous columns of c, if any, are normal"

    def _value(self, z: Tensor, c: Tensor, groups: Tensor | None) -> Tensor:
        return self._log_q(self._decode(z, groups), c).mean() + self._entropy(c, groups)

    @torch.no_grad()
    def _entropy(self, c: Tensor, groups: Tensor | None) -> Tensor:
        labels = torch.zeros(len(c), dtype=torch.long, device=c.device) if groups is None else groups.long()
        codes, values = self._split(c)
        cells = torch.cat([labels[:, None].to(codes.dtype), codes], dim=1)
        cell = torch.unique(cells, dim=0, return_inverse=True)[1]
        p = torch.bincount(cell).to(torch.float64) / len(c)
        share = torch.bincount(labels)
        share = share[share > 0].to(torch.float64) / len(c)
        entropy = -(p * p.log()).sum() + (share * share.log()).sum()
        for label in torch.unique(labels) if values.shape[1] else ():
            inside = values[labels == label].double()
            covariance = (inside - inside.mean(0)).T @ (inside - inside.mean(0)) / len(inside)
            covariance = covariance + 1e-6 * torch.eye(covariance.shape[0], dtype=torch.float64, device=c.device)
            normal = 0.5 * (torch.logdet(covariance) + values.shape[1] * math.log(2 * math.pi * math.e))
            entropy = entropy + normal * len(inside) / len(c)
        return entropy.to(c.dtype)
