"""A closed form and what a network adds to it, judged on pairs that neither was fitted on."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from ..marginals import permutation, permutation_within
from ..networks import build_perceptron
from ..randomness import seeded
from .copula import EllipticalCopula

__all__ = ["CrossFit", "cross_fit_classifier", "cross_fit_ratio", "degrees_of_freedom"]


_EVERY, _PATIENCE = 25, 200  # steps
_DECAY = 0.98
_FOR_DOF = 4000  # rows that choose the degrees of freedom
_HIDDEN = (128, 128, 128)
_INNER = 32
_DOF = (1.0, 1.5, 2.0, 3.0, 4.5, 7.0, 12.0)  # tried for a Student copula; the loss in between is of second order


@dataclass(frozen=True)
class CrossFit:
    """Held-out estimates of a cross-fitted model, in nats.

    Attributes
    ----------
    value, stderr : float
        With the network. Held-out pairs read too low by about half of what the pairs it was fitted on read higher:
        that half is part of the standard error.
    base : float
        Of what the network started from.
    gain, gain_stderr : float
        ``value - base`` and its standard error; both are measured on the same pairs.
    undertrained : bool
        Whether training in some fold was still improving when it ended.
    local, base_local : Tensor of shape (n,)
        What each pair contributes; their means are ``value`` and ``base``.
    """

    value: float
    stderr: float
    base: float
    gain: float
    gain_stderr: float
    undertrained: bool
    local: Tensor
    base_local: Tensor

    @property
    def base_stderr(self) -> float:
        """Standard error of ``base``, in nats."""
        return float(self.base_local.std()) / math.sqrt(len(self.base_local))


def degrees_of_freedom(z: Tensor, c: Tensor, groups: Tensor | None, *, separate: bool = False, seed: int) -> float:
    """Degrees of freedom of the Student copula that fits normal scores (within groups) best.

    By the Donsker-Varadhan bound of the first rows; inf, the normal copula, unless another is better by twice the
    standard error, and for few rows beside the columns. Tails that both sides share carry information that no
    correlation shows. ``separate``: see `EllipticalCopula`; correlations that differ look like tails when pooled.
    """
    if len(z) < 20 * (z.shape[1] + c.shape[1]):  # too few to tell
        return math.inf
    generator = torch.Generator().manual_seed(seed)
    z, c, groups = z[:_FOR_DOF], c[:_FOR_DOF], None if groups is None else groups[:_FOR_DOF]
    rows = torch.arange(len(z))
    others = [_permuted(rows, groups, generator) for _ in range(8)]

    def local(dof: float) -> Tensor:
        copula = EllipticalCopula(z, c, groups, dof=dof, separate=separate)
        a, b, rho = copula.rotate(z, c, groups)
        return _influence(copula.log_ratio(a, b, rho), [copula.log_ratio(a, b[other], rho) for other in others])

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
    """The Donsker-Varadhan bound with the log density ratio of a copula plus a network as critic.

    The copula is fitted in closed form (see `EllipticalCopula`); the network, an inner product of one network of z and
    one of c that starts at zero, learns what it leaves. Each batch's z are scored with all its c. Both sides: normal
    scores (n, p) and (n, q), within groups when they are given; ``separate``: each group has correlations of its own.
    """
    generator = torch.Generator().manual_seed(seed)
    fold = torch.arange(len(z)) % n_folds
    parts = []
    for k in range(n_folds):
        fit, held = (fold != k).nonzero().squeeze(1), (fold == k).nonzero().squeeze(1)
        pairs = _Pairs(z, c, groups, fit, dof=dof, separate=separate)

        def loss(net: nn.Module, rows: Tensor, pairs: _Pairs = pairs) -> Tensor:
            scores = pairs.all_scores(net, rows)
            weights = pairs.log_weights(rows)
            return torch.logsumexp((scores + weights).flatten(), dim=0) - scores.diagonal().mean()

        def judged(net: nn.Module, rows: Tensor, rounds: int, pairs: _Pairs = pairs) -> tuple[Tensor, Tensor]:
            others = [_permuted(rows, groups, generator) for _ in range(rounds)]
            base, whole = pairs.scores(net, rows, others)
            return _influence(base[0], base[1:]), _influence(whole[0], whole[1:])

        def build(pairs: _Pairs = pairs) -> nn.Module:
            return _InnerProduct(*pairs.widths)

        net, late = _fitted(build, loss, judged, fit, 256, n_restarts, max_steps, seed + 17 * k, generator)
        with torch.no_grad():
            optimism = float(judged(net, fit, 4)[1].mean())
            parts.append((held, *judged(net, held, 16), late, optimism))
    return _summary(parts)


class _Pairs:
    """Pairs as the copula and the network see them, both standardised by the pairs they are fitted on."""

    def __init__(self, z: Tensor, c: Tensor, groups: Tensor | None, fit: Tensor, *, dof: float, separate: bool) -> None:
        of_fit = z[fit], c[fit], None if groups is None else groups[fit]
        self._copula = EllipticalCopula(*of_fit, dof=dof, separate=separate)
        self._variates = self._copula.rotate(z, c, groups)
        left, right, _ = EllipticalCopula(*of_fit).rotate(z, c, groups)
        onehot = torch.zeros(len(z), 0) if groups is None else nn.functional.one_hot(groups).float()
        self._z, self._c = (torch.cat([_with_radius(v), onehot], dim=1) for v in (left, right))
        self._groups = groups
        self._weights: dict[int, Tensor] = {}  # without groups, of each number of rows
        self.widths = self._z.shape[1], self._c.shape[1]

    def all_scores(self, net: nn.Module, rows: Tensor) -> Tensor:
        """Of every z with every c of the rows."""
        a, b, rho = (part[rows] for part in self._variates)
        left, right = net(self._z[rows], self._c[rows])
        return self._copula.pairwise(a, b, rho) + torch.addmm(left[:, -1:], left[:, :-1], right.T)

    def log_weights(self, rows: Tensor) -> Tensor:
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

    def scores(self, net: nn.Module, rows: Tensor, others: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """Of the rows' pairs, then of each z with another row's c; by the copula alone, and with the network."""
        a, b, rho = (part[rows] for part in self._variates)
        left, right = net(self._z[rows], self._c[rows])
        base, whole = [], []
        for other in [torch.arange(len(rows)), *others]:
            base.append(self._copula.log_ratio(a, b[other], rho))
            whole.append(base[-1] + (left[:, :-1] * right[other]).sum(dim=1) + left[:, -1])
        return base, whole


class _InnerProduct(nn.Module):
    """f(z) and g(c), whose inner product starts at zero because f does; f has a column more, which is added to it."""

    def __init__(self, width_z: int, width_c: int) -> None:
        super().__init__()
        self.of_z, self.of_c = _smooth(width_z, _INNER + 1), _smooth(width_c, _INNER, start_at_zero=False)

    def forward(self, z: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        return self.of_z(z), self.of_c(c)


def cross_fit_classifier(
    z: Tensor,
    labels: Tensor,
    groups: Tensor | None,
    *,
    n_folds: int,
    n_restarts: int,
    max_steps: int,
    seed: int,
) -> CrossFit:
    """H(C|G) less the held-out cross-entropy of a classifier: a lower bound of I(Z;C|G).

    The classifier is a network added to a logistic regression. z (n, p) whitened, labels (n,) from 0; the entropy is
    Miller and Madow's.
    """
    generator = torch.Generator().manual_seed(seed)
    n_classes = int(labels.max()) + 1
    inputs = z if groups is None else torch.cat([z, nn.functional.one_hot(groups).float()], dim=1)
    strata = torch.zeros(len(z), dtype=torch.long) if groups is None else groups
    counts = torch.zeros(int(strata.max()) + 1, n_classes, dtype=torch.float64)
    counts.index_put_((strata, labels), torch.ones(len(z), dtype=torch.float64), accumulate=True)
    prior = ((counts + 1e-3) / (counts + 1e-3).sum(dim=1, keepdim=True)).log().float()
    surprise = -(counts / counts.sum(dim=1, keepdim=True).clamp(min=1))[strata, labels].log()
    cells, used = int((counts > 0).sum()), int((counts.sum(dim=1) > 0).sum())
    surprise = surprise + (cells - used) / (2 * len(z))
    fold = torch.arange(len(z)) % n_folds
    parts = []
    for k in range(n_folds):
        fit, held = (fold != k).nonzero().squeeze(1), (fold == k).nonzero().squeeze(1)

        base = _logistic(inputs, labels, prior[strata], fit)

        def loss(net: nn.Module, rows: Tensor, base: Tensor = base) -> Tensor:
            return nn.functional.cross_entropy(base[rows] + net(inputs[rows]), labels[rows])

        def judged(net: nn.Module, rows: Tensor, rounds: int, base: Tensor = base) -> tuple[Tensor, Tensor]:
            alone, whole = (
                surprise[rows] - nn.functional.cross_entropy(logits, labels[rows], reduction="none").double()
                for logits in (base[rows], base[rows] + net(inputs[rows]))
            )
            return alone, whole

        def build() -> nn.Module:
            return _smooth(inputs.shape[1], n_classes)

        net, late = _fitted(build, loss, judged, fit, 512, n_restarts, max_steps, seed + 17 * k, generator)
        with torch.no_grad():
            optimism = float(judged(net, fit, 1)[1].mean())
            parts.append((held, *judged(net, held, 1), late, optimism))
    return _summary(parts)


@torch.enable_grad()
def _logistic(inputs: Tensor, labels: Tensor, prior: Tensor, fit: Tensor) -> Tensor:
    """Logits (n, classes) of a logistic regression fitted on some rows; it starts at the prior."""
    weight = torch.zeros(inputs.shape[1], prior.shape[1], requires_grad=True)
    bias = torch.zeros(prior.shape[1], requires_grad=True)
    x, target, start = inputs[fit], labels[fit], prior[fit]
    optimizer = torch.optim.LBFGS([weight, bias], max_iter=50, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(start + x @ weight + bias, target) + 1e-4 * weight.square().sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    return (prior + inputs @ weight + bias).detach()


def _with_radius(x: Tensor) -> Tensor:
    """x beside functions of its norm: what tails share and what turns with the norm hangs on it."""
    square = x.square().mean(dim=1, keepdim=True)
    return torch.cat([x, (square + 1e-3).log(), square.clamp(max=6) - 1], dim=1)


def _smooth(inputs: int, outputs: int, *, start_at_zero: bool = True) -> nn.Sequential:
    """A perceptron of smooth units."""
    layers = build_perceptron(inputs, _HIDDEN, outputs, activation=nn.SiLU)
    if start_at_zero:
        for parameter in layers[-1].parameters():
            nn.init.zeros_(parameter)
    return layers


def _influence(joint: Tensor, marginal: list[Tensor]) -> Tensor:
    """What each row contributes to the Donsker-Varadhan bound, by the delta method; the bound is the mean."""
    weights = sum(m.double().clamp(max=60).exp() for m in marginal) / len(marginal)
    assert isinstance(weights, Tensor)
    mean = weights.mean()
    return joint.double() - mean.log() + 1 - weights / mean


def _fitted(
    build: Callable[[], nn.Module],
    loss: Callable[[nn.Module, Tensor], Tensor],
    judged: Callable[[nn.Module, Tensor, int], tuple[Tensor, Tensor]],
    fit: Tensor,
    batch: int,
    n_restarts: int,
    max_steps: int,
    seed: int,
    generator: torch.Generator,
) -> tuple[nn.Module, bool]:
    """The network of the best of several runs by pairs set aside, and whether it was still improving at the end."""
    aside, fit = fit[: len(fit) // 8], fit[len(fit) // 8 :]
    chosen: tuple[float, nn.Module, bool] | None = None
    for restart in range(n_restarts):
        with seeded(seed + restart):
            net = build()
        optimizer = torch.optim.AdamW(net.parameters(), lr=3e-3, weight_decay=1e-3, fused=True)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, total_steps=max_steps + 1, pct_start=0.1)
        # A running mean of the weights has less of the last batches' noise.
        average = AveragedModel(net, multi_avg_fn=get_ema_multi_avg_fn(_DECAY))
        best, state, at, step = -math.inf, {k: v.clone() for k, v in net.state_dict().items()}, 0, 0
        early = -math.inf  # the best of the first two thirds
        while step <= max_steps:
            if step % _EVERY == 0:
                with torch.no_grad():
                    value = float(judged(average.module, aside, 4)[1].mean())
                early = max(early, value) if step <= 2 * max_steps // 3 else early
                if value > best:
                    best, at = value, step
                    state = {k: v.clone() for k, v in average.module.state_dict().items()}
                elif step - at > _PATIENCE:
                    break
            rows = fit[torch.randint(len(fit), (min(batch, len(fit)),), generator=generator)]
            with torch.enable_grad():
                objective = loss(net, rows)
                optimizer.zero_grad()
                objective.backward()
            nn.utils.clip_grad_norm_(net.parameters(), 1.0)
            optimizer.step()
            average.update_parameters(net)
            if step < max_steps:
                schedule.step()
            step += 1
        net.load_state_dict(state)
        if chosen is None or best > chosen[0]:
            chosen = best, net, at > 2 * max_steps // 3 and best - early > max(0.05, 0.15 * best)
    assert chosen is not None
    return chosen[1], chosen[2]


def _summary(parts: list[tuple[Tensor, Tensor, Tensor, bool, float]]) -> CrossFit:
    order = torch.cat([p[0] for p in parts]).argsort()
    base, value = torch.cat([p[1] for p in parts])[order], torch.cat([p[2] for p in parts])[order]
    n = len(value)
    gain = value - base
    optimism = max(0.0, sum(p[4] for p in parts) / len(parts) - float(value.mean()))
    return CrossFit(
        float(value.mean()),
        math.hypot(float(value.std()) / math.sqrt(n), optimism / 2),
        float(base.mean()),
        float(gain.mean()),
        float(gain.std()) / math.sqrt(n),
        any(p[3] for p in parts),
        value,
        base,
    )


def _permuted(rows: Tensor, groups: Tensor | None, generator: torch.Generator) -> Tensor:
    return permutation(len(rows), generator) if groups is None else permutation_within(groups[rows], generator)
