"""The density ratio as a critic: a copula's in closed form and what a network adds to it, cross-fitted."""

import math
from typing import Any

import torch
from torch import Tensor, nn

from ..marginals import center_within, draw_permutation, draw_permutation_within
from .copula import EllipticalCopula
from .cross_fitting import ClosedForm, CrossFit, Pairs, build_smooth_perceptron, compute_stderr, cross_fit, take
from .exponential_family import Regression, fit_weights
from .summaries import Summaries, summarize

_FOR_DOF = 4000  # rows that choose the degrees of freedom
_DOF = (1.0, 1.5, 2.0, 3.0, 4.5, 7.0, 12.0)  # tried for a Student copula; the loss in between is of second order
_INNER = 32
_SAMPLED, _REGRESSED = 128, 2000  # values of c and rows that a regression is fitted on


def choose_degrees_of_freedom(
    z: Tensor, c: Tensor, groups: Tensor | None, *, separate: bool = False, seed: int
) -> float:
    """Choose the degrees of freedom of the Student copula that fits normal scores (within groups) best.

    By the Donsker-Varadhan bound of the first rows; inf, the normal copula, unless another is better by twice the
    standard error. Correlations that differ between groups look like tails unless they are ``separate``.
    """
    if len(z) < 20 * (z.shape[1] + c.shape[1]):  # too few to tell
        return math.inf
    generator = torch.Generator().manual_seed(seed)
    rows = torch.arange(min(len(z), _FOR_DOF))
    z, c, groups = take((z, c, groups), rows)
    others = [_permute(rows, groups, generator) for _ in range(8)]

    def local(dof: float) -> Tensor:
        copula = EllipticalCopula(z, c, groups, dof=dof, separate=separate)
        a, b, rho = copula.rotate(z, c, groups)
        return _compute_influence(*(copula.compute_log_ratio(a, b[other], rho) for other in [rows, *others]))

    normal = local(math.inf)
    best, chosen = 0.0, math.inf
    for dof in _DOF:
        gain = local(dof) - normal
        if float(gain.mean()) > max(best, 2 * compute_stderr(gain)):
            best, chosen = float(gain.mean()), dof
    return chosen


def cross_fit_ratio(
    z: Tensor, c: Tensor, groups: Tensor | None, *, dof: float = math.inf, separate: bool = False, **options: Any
) -> CrossFit:
    """Estimate the Donsker-Varadhan bound of normal scores; critic: a copula's log density ratio and a network.

    Where columns of z are many beside the rows, both see summaries of them.
    """
    functions = center_within(_compute_functions(c), groups)[0]

    def fit_ratio(fit: Tensor, generator: torch.Generator) -> ClosedForm:
        found = summarize(z, c, functions, fit)
        few = z if found.columns.shape == z.shape else torch.cat([found.scores, found.columns], dim=1)
        return _CopulaRatio((few, c, groups), found, functions, fit, generator, dof, separate)

    return cross_fit(fit_ratio, len(z), **options)


def _compute_functions(c: Tensor) -> Tensor:
    """C and waves of it (n, q), fewer where its columns are many."""
    several = [c, *(wave(k * c) for k in (0.8, 1.6, 2.4, 3.2) for wave in (torch.cos, torch.sin))]
    return torch.cat(several[: max(1, 16 // c.shape[1])], dim=1)


class _CopulaRatio(ClosedForm):
    """A copula's log density ratio; copula and network see the pairs standardised by those they are fitted on.

    Between them stands what features of z say of functions of c beyond the copula, a regression.
    """

    batch = 256

    def __init__(
        self, pairs: Pairs, found: Summaries, functions: Tensor, fit: Tensor, generator: torch.Generator, dof: float,
        separate: bool,
    ) -> None:  # fmt: skip
        z, c, groups = pairs
        of_fit = take(pairs, fit)
        self._copula = EllipticalCopula(*of_fit, dof=dof, separate=separate)
        self._variates = self._copula.rotate(z, c, groups)
        left, right, _ = EllipticalCopula(*of_fit).rotate(z, c, groups)
        onehot = torch.zeros(len(z), 0) if groups is None else nn.functional.one_hot(groups).float()
        self._z = torch.cat([_add_radius(left), onehot, found.features], dim=1)
        self._c = torch.cat([_add_radius(right), onehot], dim=1)
        self._groups, self._generator = groups, generator
        self._weights: dict[int, Tensor] = {}  # without groups, of each number of rows
        self._functions = functions / functions[fit].std(0).clamp(min=1e-6)
        self._most = 0.5 * math.log(len(fit))  # a single pair that says more says it of all
        self._regression = self._fit_regression(found.feature_scores, fit)

    def _fit_regression(self, x: Tensor, fit: Tensor) -> tuple[Tensor, Tensor]:
        """Slopes (n, t) of functions of c, and levels (n,) that make the ratio one on average over a sample of c."""
        sample, several = fit[:_SAMPLED], fit[-_REGRESSED:]
        a, b, rho = self._variates
        starts = self._copula.compute_all_log_ratios(a, b[sample], rho)
        if self._groups is not None:
            starts = starts.masked_fill(self._groups[:, None] != self._groups[sample], -30.0)
        own, others = self._functions[several], self._functions[sample]
        own_starts = self._copula.compute_log_ratio(a[several], b[several], rho[several])
        slopes = x @ fit_weights(Regression(x[several], own, starts[several], others, own_starts))
        return slopes, starts.logsumexp(1) - torch.addmm(starts, slopes, others.T).logsumexp(1)

    def build_network(self) -> nn.Module:
        return _InnerProduct(self._z.shape[1], self._c.shape[1])

    def compute_loss(self, network: nn.Module, rows: Tensor) -> Tensor:
        a, b, rho = (part[rows] for part in self._variates)
        left, right = network(self._z[rows], self._c[rows])
        ratios = self._copula.compute_all_log_ratios(a, b, rho)
        slopes, level = (part[rows] for part in self._regression)
        scores = ratios + torch.addmm(left[:, -1:], left[:, :-1], right.T)
        scores = scores + torch.addmm(level[:, None], slopes, self._functions[rows].T).clamp(max=self._most)
        return torch.logsumexp((scores + self._weigh(rows)).flatten(), dim=0) - scores.diagonal().mean()

    def compute_scores(self, network: nn.Module, rows: Tensor, rounds: int) -> Tensor:
        """Log ratios of pairs, and of as many permuted ones as there are rounds."""
        others = [_permute(rows, self._groups, self._generator) for _ in range(rounds)]
        a, b, rho = (part[rows] for part in self._variates)
        left, right = network(self._z[rows], self._c[rows])
        slopes, level = self._regression
        base, regression, added = [], [], []
        for other in [torch.arange(len(rows)), *others]:
            base.append(self._copula.compute_log_ratio(a, b[other], rho))
            told = (slopes[rows] * self._functions[rows][other]).sum(dim=1) + level[rows]
            regression.append(told.clamp(max=self._most))
            added.append((left[:, :-1] * right[other]).sum(dim=1) + left[:, -1])
        return torch.stack([torch.stack(part, dim=1) for part in (base, regression, added)])

    def compute_local(self, scores: Tensor, rows: Tensor) -> Tensor:
        return _compute_influence(*scores.T)

    def _weigh(self, rows: Tensor) -> Tensor:
        """Logarithms of the weights with which pairs stand for the product of the marginals (within groups)."""
        n = len(rows)
        if n in self._weights:
            return self._weights[n]
        other = ~torch.eye(n, dtype=torch.bool)
        if self._groups is not None:
            other &= self._groups[rows][:, None] == self._groups[rows]
        if not bool(other.any()):
            other = ~other
        count = other.sum(dim=1, keepdim=True)
        weights = torch.where(other, (1.0 / (count.clamp(min=1) * (count > 0).sum())).log(), -math.inf)
        if self._groups is None:
            self._weights[n] = weights
        return weights


class _InnerProduct(nn.Module):
    """f(z) and g(c), whose inner product starts at zero because f does; f has a column more, which is added to it."""

    def __init__(self, width_z: int, width_c: int) -> None:
        super().__init__()
        self.of_z = build_smooth_perceptron(width_z, _INNER + 1)
        self.of_c = build_smooth_perceptron(width_c, _INNER, start_at_zero=False)

    def forward(self, z: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        return self.of_z(z), self.of_c(c)


def _add_radius(x: Tensor) -> Tensor:
    """x beside functions of its norm, on which joint tails and rotations depend."""
    square = x.square().mean(dim=1, keepdim=True)
    return torch.cat([x, (square + 1e-3).log(), square.clamp(max=6) - 1], dim=1)


def _permute(rows: Tensor, groups: Tensor | None, generator: torch.Generator) -> Tensor:
    """Permute places of the rows, inside each group where groups are given."""
    return (
        draw_permutation(len(rows), generator) if groups is None else draw_permutation_within(groups[rows], generator)
    )


def _compute_influence(joint: Tensor, *marginal: Tensor) -> Tensor:
    """What each row contributes to the Donsker-Varadhan bound, by the delta method; the bound is the mean."""
    weights = sum(m.double().clamp(max=60).exp() for m in marginal) / len(marginal)
    assert isinstance(weights, Tensor)
    mean = weights.mean()
    return joint.double() - mean.log() + 1 - weights / mean
