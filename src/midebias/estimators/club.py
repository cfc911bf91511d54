"""CLUB: mutual information from above, by a variational decoder."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ..arguments import checked
from ..attributes import Attribute
from ..marginals import center_within, encode_labels
from .decoder_estimator import DecoderEstimator
from .interface import Bound


class CLUB(DecoderEstimator):
    r"""Contrastive log-ratio upper bound of I(Z;C).

    .. math:: E_{p(z,c)}[\log q(c|z)] - E_{p(z)p(c)}[\log q(c|z)]

    An upper bound as far as q is close to p(c|z); q learns by maximum likelihood. The mean over all c needs their
    first and second moments only, so that all N² pairs cost no more than N; ``sampled`` pairs each z with one permuted
    c instead, as the paper's cheaper form does. With groups the negatives come from the same group.

    Parameters
    ----------
    dim : int
    attribute : Attribute or int
    sampled : bool, default False
        Pair each z with one permuted c.
    **options : Any
        ``hidden``, ``n_groups``, ``standardize`` and ``seed``, as of `BarberAgakov`.

    References
    ----------
    Cheng, Hao, Dai, Liu, Gan, Carin, "CLUB: A Contrastive Log-ratio Upper Bound of Mutual Information", ICML 2020,
    eq. 6 to 10.

    Examples
    --------
    >>> import torch
    >>> from midebias.attributes import Categorical
    >>> labels = torch.arange(512)[:, None] % 2
    >>> z = labels + 0.5 * torch.randn(512, 1, generator=torch.Generator().manual_seed(0))
    >>> c, _ = Categorical(2).encode(labels)
    >>> estimator = CLUB(1, Categorical(2))
    >>> optimizer = torch.optim.Adam(estimator.parameters(), lr=0.01)
    >>> _ = estimator.update(z, c, None, optimizer, steps=100)
    >>> 0.3 < float(estimator(z, c).detach()) < 3    # from above: the truth is 0.34 nats
    True
    """

    bound: Bound = "upper"
    assumption = "the decoder q(c|z) is close to p(c|z)"

    @checked
    def __init__(self, dim: int, attribute: Attribute | int, *, sampled: bool = False, **options: Any) -> None:
        super().__init__(dim, attribute, **options)
        self.sampled = sampled

    def _value(self, z: Tensor, c: Tensor, groups: Tensor | None) -> Tensor:
        decoded = self._decode(z, groups)
        if self.sampled:
            other = c[self._permute(len(c), groups).to(c.device, non_blocking=True)]
            return (self._log_q(decoded, c) - self._log_q(decoded, other)).mean()
        logs, mean, spread = decoded
        codes, values = self._split(c)
        total = (center_within(codes, groups)[0] * logs).sum(dim=1).mean()
        if mean is not None and spread is not None:
            # -(c - m)² / 2s² less its mean over c: the squares of m cancel.
            first, second = center_within(values, groups)[0], center_within(values.square(), groups)[0]
            total = total - 0.5 * ((second - 2 * mean * first) * (-spread).exp()).sum(dim=1).mean()
        return total


def compute_contrastive_log_ratio(columns: Sequence[Tensor], levels: Tensor) -> Tensor:
    """mean_i log q(c_i|z_i) - mean_ij log q(c_j|z_i), summed over columns, from q's logits and levels (n, k).

    The mean over all c_j is one over categories, weighted by how often the batch has them.
    """
    terms = []
    for logits, level in zip(columns, levels.long().unbind(1), strict=True):
        log_q = logits.log_softmax(dim=1)
        codes = encode_labels(level, log_q.shape[1]).to(log_q.dtype)
        terms.append(((codes - codes.mean(dim=0)) * log_q).sum(dim=1).mean())
    return torch.stack(terms).sum()
