"""The density ratio as a critic: a copula's in closed form and what a network adds to it, cross-fitted."""

import math

import torch
from torch import Tensor, nn

from .copula import EllipticalCopula
from .cross_fitting import CrossFit, Fold, build_smooth_perceptron, permute, split_folds, summarize_folds, train_network

_FOR_DOF = 4000  # rows that choose the degrees of freedom
_DOF = (1.0, 1.5, 2.0, 3.0, 4.5, 7.0, 12.0)  # tried for a Student copula; the loss in between is of second order
_INNER = 32


def choose_degrees_of_freedom(
    z: Tensor, c: Tensor, groups: Tensor | None, *, separate: bool = False, seed: int
) -> float:
    """Choose the degrees of freedom of the Student copula that fits normal scores (within groups) best.

    By the Donsker-Varadhan bound of the first rows; inf, the normal copula, unless another is better by twice the
    standard error, and for few rows beside the columns. Tails that both sides share carry information that no
    correlation shows. ``separate``: see `EllipticalCopula`; correlations that differ look like tails when pooled.
    """
    if len(z) < 20 * (z.shape[1] + c.shape[1]):  # too few to tell
        return math.inf
    generator = torch.Generator().manual_seed(seed)
    z, c, groups = z[:_FOR_DOF], c[:_FOR_DOF], None if groups is None else groups[:_FOR_DOF]
    rows = torch.arange(len(z))
    others = [permute(rows, groups, generator) for _ in range(8)]

    def local(dof: float) -> Tensor:
        copula = EllipticalCopula(z, c, groups, dof=dof, separate=separate)
        a, b, rho = copula.rotate(z, c, groups)
        return _compute_influence(
            copula.compute_log_ratio(a, b, rho), [copula.compute_log_ratio(a, b[other], rho) for other in others]
        )

    normal = local(math.inf)
    best, chosen = 0.0, math.inf
    for dof in _DOF:
        gain = local(dof) - normal
        if float(gain.mean()) > max(best, 2 * float(gain.std()) / math.sqrt(len(gain))):
            best, chosen = float(gain.mean()), dof
    return chosen


def cross_fit_ratio(
    z: Tensor,
    c: Tensor,
    groups: Tensor | None,
    *,
    dof: float = math.inf,
    separate: bool = False,
    n_folds: int,
    n_restarts: int,
    max_steps: int,
    seed: int,
) -> CrossFit:
    """Estimate the Donsker-Varadhan bound with the log density ratio of a copula plus a network as critic.

    The copula is fitted in closed form (see `EllipticalCopula`); the network, an inner product of one network of z and
    one of c that starts at zero, learns what it leaves. Each batch's z are scored with all its c. z and c are normal
    scores, within groups when they are given; ``separate``: each group has correlations of its own.
    """
    generator = torch.Generator().manual_seed(seed)
    folds = []
    for k, (fit, held) in enumerate(split_folds(len(z), n_folds)):
        pairs = _Pairs(z, c, groups, fit, dof=dof, separate=separate)

        def loss(net: nn.Module, rows: Tensor, pairs: _Pairs = pairs) -> Tensor:
            scores = pairs.score_all(net, rows)
            return torch.logsumexp((scores + pairs.weigh(rows)).flatten(), dim=0) - scores.diagonal().mean()

        def evaluate(net: nn.Module, rows: Tensor, rounds: int, pairs: _Pairs = pairs) -> tuple[Tensor, Tensor]:
            others = [permute(rows, groups, generator) for _ in range(rounds)]
            base, whole = pairs.score(net, rows, others)
            return _compute_influence(base[0], base[1:]), _compute_influence(whole[0], whole[1:])

        def build(pairs: _Pairs = pairs) -> nn.Module:
            return _InnerProduct(*pairs.widths)

        net, late = train_network(
            build, loss, evaluate, fit, batch=256, n_restarts=n_restarts, max_steps=max_steps, seed=seed + 17 * k,
            generator=generator,
        )  # fmt: skip
        with torch.no_grad():
            fitted = float(evaluate(net, fit, 4)[1].mean())
            folds.append(Fold(held, *evaluate(net, held, 16), late, fitted))
    return summarize_folds(folds)


class _Pairs:
    """Pairs as the copula and the network see them, both standardised by the pairs they are fitted on."""

    def __init__(self, z: Tensor, c: Tensor, groups: Tensor | None, fit: Tensor, *, dof: float, separate: bool) -> None:
        of_fit = z[fit], c[fit], None if groups is None else groups[fit]
        self._copula = EllipticalCopula(*of_fit, dof=dof, separate=separate)
        self._variates = self._copula.rotate(z, c, groups)
        left, right, _ = EllipticalCopula(*of_fit).rotate(z, c, groups)
        onehot = torch.zeros(len(z), 0) if groups is None else nn.functional.one_hot(groups).float()
        self._z, self._c = (torch.cat([_add_radius(v), onehot], dim=1) for v in (left, right))
        self._groups = groups
        self._weights: dict[int, Tensor] = {}  # without groups, of each number of rows
        self.widths = self._z.shape[1], self._c.shape[1]

    def score_all(self, net: nn.Module, rows: Tensor) -> Tensor:
        """Of every z with every c of the rows."""
        a, b, rho = (part[rows] for part in self._variates)
        left, right = net(self._z[rows], self._c[rows])
        return self._copula.compute_all_log_ratios(a, b, rho) + torch.addmm(left[:, -1:], left[:, :-1], right.T)

    def weigh(self, rows: Tensor) -> Tensor:
        """Logarithms of the weights with which they stand for the product of the marginals (within groups)."""
        n = len(rows)
        if n in self._weights:
            return self._weights[n]
        other = ~torch.eye(n, dtype=torch.bool)
        if self._groups is not None:
            other &= self._groups[rows][:, None] == self._groups[rows]
        if not bool(other.any()):
            other = ~other
        count = other.sum(dim=1, keepdim=True)
        weight = 1.0 / (count.clamp(min=1) * (count > 0).sum())
        weights = torch.where(other, weight.log(), -math.inf)
        if self._groups is None:
            self._weights[n] = weights
        return weights

    def score(self, net: nn.Module, rows: Tensor, others: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """Of the rows' pairs, then of each z with another row's c; by the copula alone, and with the network."""
        a, b, rho = (part[rows] for part in self._variates)
        left, right = net(self._z[rows], self._c[rows])
        base, whole = [], []
        for other in [torch.arange(len(rows)), *others]:
            base.append(self._copula.compute_log_ratio(a, b[other], rho))
            whole.append(base[-1] + (left[:, :-1] * right[other]).sum(dim=1) + left[:, -1])
        return base, whole


class _InnerProduct(nn.Module):
    """f(z) and g(c), whose inner product starts at zero because f does; f has a column more, which is added to it."""

    def __init__(self, width_z: int, width_c: int) -> None:
        super().__init__()
        self.of_z, self.of_c = (
            build_smooth_perceptron(width_z, _INNER + 1),
            build_smooth_perceptron(width_c, _INNER, start_at_zero=False),
        )

    def forward(self, z: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        return self.of_z(z), self.of_c(c)


def _add_radius(x: Tensor) -> Tensor:
    """x beside functions of its norm, on which joint tails and rotations depend."""
    square = x.square().mean(dim=1, keepdim=True)
    return torch.cat([x, (square + 1e-3).log(), square.clamp(max=6) - 1], dim=1)


def _compute_influence(joint: Tensor, marginal: list[Tensor]) -> Tensor:
    """What each row contributes to the Donsker-Varadhan bound, by the delta method; the bound is the mean."""
    weights = sum(m.double().clamp(max=60).exp() for m in marginal) / len(marginal)
    assert isinstance(weights, Tensor)
    mean = weights.mean()
    return joint.double() - mean.log() + 1 - weights / mean
