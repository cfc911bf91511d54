"""Estimators from a variational decoder q(c|z): CLUB from above, Barber and Agakov from below."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ..arguments import checked
from ..attributes import Attribute, Attributes, Categorical
from ..errors import InputError
from ..marginals import center_within
from ..networks.perceptron import build_perceptron
from ..randomness import seeded
from .critic_estimator import SampledEstimator
from .interface import Bound
from .perceptron_gradients import backward_from_output, forward_from_first, set_gradients

__all__ = ["CLUB", "BarberAgakov", "contrastive_log_ratio"]


class DecoderEstimator(SampledEstimator):
    """Base of estimators whose critic is a decoder q(c|z), one factor per column of c.

    Parameters
    ----------
    dim : int
        Columns of z.
    attribute : Attribute or int
        What c is: a categorical distribution for each categorical column, a normal one, whose mean and variance
        depend on z, for each continuous column. A number means so many continuous columns.
    hidden : sequence of int, default (64, 64)
        Widths of the decoder.
    n_groups : int, default 0
        Number of groups for the conditional form, whose decoder sees the group; 0 for the unconditional one.
    standardize : bool, default True
        See `CriticEstimator`.
    seed : int, default 0
    """

    _one_hot: Tensor
    _values: Tensor

    @checked
    def __init__(
        self,
        dim: int,
        attribute: Attribute | int,
        *,
        hidden: Sequence[int] = (64, 64),
        n_groups: int = 0,
        standardize: bool = True,
        seed: int = 0,
    ) -> None:
        width = attribute if isinstance(attribute, int) else attribute.dim
        super().__init__(dim, width, n_groups=n_groups, standardize=standardize, seed=seed)
        self.blocks = [0] * width if isinstance(attribute, int) else _blocks(attribute)
        self.n_continuous = self.blocks.count(0)
        self._place_columns()
        with seeded(seed):
            self.decoder = build_perceptron(dim + n_groups, hidden, width + self.n_continuous)

    def _place_columns(self) -> None:
        """Where c's columns of each kind are. The decoder's outputs are logits, means, then logarithms of variances."""
        columns: tuple[list[int], list[int]] = [], []
        at = 0
        for size in self.blocks:
            columns[0 if size else 1].extend(range(at, at + (size or 1)))
            at += size or 1
        for name, place in zip(("_one_hot", "_values"), columns, strict=True):
            self.register_buffer(name, torch.tensor(place, dtype=torch.long), persistent=False)

    def _decoded(self, z: Tensor, groups: Tensor | None) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """Log-probabilities of the categories (n, k), means and log-variances (n, m) of the continuous columns."""
        return self._distributions(self.decoder(self._inputs(z, groups)))

    def _inputs(self, z: Tensor, groups: Tensor | None) -> Tensor:
        z = self._standardized(z)
        if self.n_groups:
            labels = torch.zeros(len(z), dtype=torch.long, device=z.device) if groups is None else groups
            if len(labels) and int(labels.max()) >= self.n_groups:
                raise InputError(f"y holds label {int(labels.max())} but n_groups is {self.n_groups}")
            z = torch.cat([z, nn.functional.one_hot(labels.long(), self.n_groups).to(z.dtype)], dim=1)
        return z

    def _distributions(self, out: Tensor) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """Of the decoder's output (n, outputs)."""
        sizes = [size for size in self.blocks if size]
        logits, mean, spread = out.split([len(self._one_hot), self.n_continuous, self.n_continuous], dim=1)
        logs = logits
        if sizes:
            logs = torch.cat([block.log_softmax(dim=1) for block in logits.split(sizes, dim=1)], dim=1)
        if not self.n_continuous:
            return logs, None, None
        # Bounded, so that a column that z determines does not drive the density to infinity.
        # 6 tanh(spread / 6), of which torch's sigmoid takes a fifth of the time.
        return logs, mean, 12.0 * torch.sigmoid(spread / 3.0) - 6.0

    def _split(self, c: Tensor) -> tuple[Tensor, Tensor]:
        """One-hot columns (n, k) and continuous columns (n, m) of the encoded attribute."""
        if not self.n_continuous or len(self._values) == c.shape[1]:
            return (c, c[:, :0]) if not self.n_continuous else (c[:, :0], c)
        return c[:, self._one_hot], c[:, self._values]

    def log_q(self, z: Tensor, c: Tensor, groups: Tensor | None = None) -> Tensor:
        """log q(c|z) of each pair, in nats: (n,)."""
        z, c = self._checked(z, c, groups)
        return self._log_q(self._decoded(z, groups), c)

    def _log_q(self, decoded: tuple[Tensor, Tensor | None, Tensor | None], c: Tensor) -> Tensor:
        logs, mean, spread = decoded
        codes, values = self._split(c)
        total = (codes * logs).sum(dim=1)
        if mean is not None and spread is not None:
            total = total + self._log_density(spread, (values - mean).square() * (-spread).exp())
        return total

    def _log_density(self, spread: Tensor, squares: Tensor) -> Tensor:
        """Of the continuous columns (n,), from log-variances and squared errors in units of the variance."""
        return -0.5 * ((spread + squares).sum(dim=1) + self.n_continuous * math.log(2 * math.pi))

    def _loss(self, z: Tensor, c: Tensor, groups: Tensor | None) -> Tensor:
        return -self._log_q(self._decoded(z, groups), c).mean()

    @torch.no_grad()
    def _backward(self, z: Tensor, c: Tensor, groups: Tensor | None) -> Tensor:
        z = self._inputs(z, groups)
        first = self.decoder[0]
        assert isinstance(first, nn.Linear)
        out, inputs = forward_from_first(self.decoder, first(z))
        logs, mean, spread = self._distributions(out)
        codes, values = self._split(c)
        # A block's codes sum to one, so that a softmax has the derivative of its cross-entropy.
        slopes = [logs.exp() - codes] if len(self._one_hot) else []
        log_q = [(codes * logs).sum(dim=1)] if len(self._one_hot) else []
        if mean is not None and spread is not None:
            error, precision = mean - values, (-spread).exp()
            scaled = error * precision
            squares = error.mul_(scaled)
            log_q.append(self._log_density(spread, squares))
            # A half, times the derivative of the bound.
            slopes += [scaled, (1 - squares).mul_(0.5).mul_(1 - (spread / 6.0).square_())]
        set_gradients(first, z, backward_from_output(self.decoder, inputs, torch.cat(slopes, dim=1).div_(len(z))))
        return -torch.stack(log_q).sum(dim=0).mean()


class CLUB(DecoderEstimator):
    r"""Contrastive log-ratio upper bound of I(Z;C).

    .. math:: E_{p(z,c)}[\log q(c|z)] - E_{p(z)p(c)}[\log q(c|z)]

    An upper bound as far as q is close to p(c|z); q learns by maximum likelihood. The mean over all c needs their
    first and second moments only, so that all N² pairs cost no more than N; ``sampled`` pairs each z with one permuted
    c instead, as the paper's cheaper form does. With groups the negatives come from the same group.

    Parameters
    ----------
    dim, attribute, hidden, n_groups, standardize, seed
        See `DecoderEstimator`: categorical and Gaussian forms follow from ``attribute``.
    sampled : bool, default False

    Raises
    ------
    InputError
        An argument that cannot be used; the message names it.

    References
    ----------
    Cheng, Hao, Dai, Liu, Gan, Carin, "CLUB: A Contrastive Log-ratio Upper Bound of Mutual Information", ICML 2020,
    eq. 6 to 10.

    Examples
    --------
    >>> import torch
    >>> from midebias.attributes import Categorical
    >>> from midebias.estimators import CLUB
    >>> generator = torch.Generator().manual_seed(0)
    >>> labels = torch.randint(2, (512, 1), generator=generator)
    >>> z = labels + 0.5 * torch.randn(512, 1, generator=generator)
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
    def __init__(
        self,
        dim: int,
        attribute: Attribute | int,
        *,
        sampled: bool = False,
        hidden: Sequence[int] = (64, 64),
        n_groups: int = 0,
        standardize: bool = True,
        seed: int = 0,
    ) -> None:
        super().__init__(dim, attribute, hidden=hidden, n_groups=n_groups, standardize=standardize, seed=seed)
        self.sampled = sampled

    def _value(self, z: Tensor, c: Tensor, groups: Tensor | None) -> Tensor:
        decoded = self._decoded(z, groups)
        if self.sampled:
            other = c[self._permutation(len(c), groups).to(c.device)]
            return (self._log_q(decoded, c) - self._log_q(decoded, other)).mean()
        logs, mean, spread = decoded
        codes, values = self._split(c)
        total = (center_within(codes, groups)[0] * logs).sum(dim=1).mean()
        if mean is not None and spread is not None:
            # -(c - m)² / 2s² less its mean over c: the squares of m cancel.
            first, second = center_within(values, groups)[0], center_within(values.square(), groups)[0]
            total = total - 0.5 * ((second - 2 * mean * first) * (-spread).exp()).sum(dim=1).mean()
        return total


class BarberAgakov(DecoderEstimator):
    r"""Lower bound of I(Z;C) by a decoder, :math:`I(Z;C) \ge H(C) + E[\log q(c|z)]`.

    H(C) is the joint entropy of the categories as the batch has them, and for continuous columns that of a normal
    distribution with the batch's covariance; with groups, each within the group. For categories, a classifier's
    cross-entropy taken from the entropy. Continuous columns: a bound when c is normal (within groups), since another
    c of the same covariance has less entropy.

    Parameters
    ----------
    dim, attribute, hidden, n_groups, standardize, seed
        See `DecoderEstimator`.

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
    >>> from midebias.estimators import BarberAgakov
    >>> generator = torch.Generator().manual_seed(0)
    >>> c = torch.randint(2, (512, 1), generator=generator).float()
    >>> z = c + 0.1 * torch.randn(512, 1, generator=generator)
    >>> estimator = BarberAgakov(1, 1)
    >>> optimizer = torch.optim.Adam(estimator.parameters(), lr=0.01)
    >>> _ = estimator.update(z, c, None, optimizer, steps=100)
    >>> estimator(z, c).shape, estimator.bound
    (torch.Size([]), 'lower')
    """

    bound: Bound = "lower"
    assumption = "the continuous columns of c, if any, are normal"

    def _value(self, z: Tensor, c: Tensor, groups: Tensor | None) -> Tensor:
        return self._log_q(self._decoded(z, groups), c).mean() + self._entropy(c, groups)

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


def contrastive_log_ratio(columns: Sequence[Tensor], levels: Tensor) -> Tensor:
    """mean_i log q(c_i|z_i) - mean_ij log q(c_j|z_i), summed over columns, from q's logits and levels (n, k).

    The mean over all c_j is one over categories, weighted by how often the batch has them.
    """
    terms = []
    for logits, level in zip(columns, levels.long().unbind(1), strict=True):
        log_q = logits.log_softmax(dim=1)
        codes = nn.functional.one_hot(level, log_q.shape[1]).to(log_q.dtype)
        terms.append(((codes - codes.mean(dim=0)) * log_q).sum(dim=1).mean())
    return torch.stack(terms).sum()


def _blocks(attribute: Attribute) -> list[int]:
    """Categories of each categorical column, 0 for each continuous one, in the order of the encoding."""
    if isinstance(attribute, Categorical):
        return list(attribute.sizes)
    if isinstance(attribute, Attributes):
        return [size for part in attribute.parts for size in _blocks(part)]
    return [0] * attribute.dim
