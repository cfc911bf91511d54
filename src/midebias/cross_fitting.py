"""A closed form and what a network adds to it, judged on pairs that neither was fitted on."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .marginals import center_within, permutation, permutation_within
from .networks import perceptron, seeded

__all__ = ["CrossFit", "cross_fit_classifier", "cross_fit_ratio", "normal_scores", "whitened"]

_BATCH = 512
_EVERY = 25


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
    """

    value: float
    stderr: float
    base: float
    gain: float
    gain_stderr: float
    undertrained: bool


def normal_scores(values: Tensor, groups: Tensor | None = None) -> Tensor:
    """Each column's ranks (within groups) as normal quantiles, ties at their mean: a map that changes no information.

    Examples
    --------
    >>> import torch
    >>> [round(v, 2) for v in normal_scores(torch.tensor([[3.0], [9.0], [27.0]])).squeeze(1).tolist()]
    [-0.97, 0.0, 0.97]
    """
    if groups is not None:
        out = torch.zeros_like(values)
        for label in torch.unique(groups):
            out[groups == label] = normal_scores(values[groups == label])
        return out
    columns = []
    for column in values.T.contiguous():
        order = column.sort().values
        below, upto = torch.searchsorted(order, column), torch.searchsorted(order, column, right=True)
        columns.append(torch.special.ndtri((below + upto).double() / (2 * len(column))).float())
    return torch.stack(columns, dim=1)


def whitened(values: Tensor, groups: Tensor | None = None) -> Tensor:
    """Centre within groups and rotate to uncorrelated unit columns; directions that do not vary are dropped."""
    centred = center_within(values, groups)[0].double()
    eigenvalues, vectors = torch.linalg.eigh(centred.T @ centred / len(centred))
    keep = eigenvalues > 1e-7 * eigenvalues.max().clamp(min=1e-30)
    if not bool(keep.any()):
        return torch.zeros(len(values), 1)
    return (centred @ (vectors[:, keep] / eigenvalues[keep].sqrt())).float()


def cross_fit_ratio(
    z: Tensor, c: Tensor, groups: Tensor | None, *, n_folds: int, n_restarts: int, max_steps: int, seed: int
) -> CrossFit:
    """The Donsker-Varadhan bound with the log density ratio of a normal distribution plus a network as critic.

    The normal part is fitted in closed form by canonical correlations; the network, which starts at zero, learns what
    it leaves. Both sides: whitened (n, p) and (n, q), within groups when they are given.
    """
    generator = torch.Generator().manual_seed(seed)
    fold = torch.arange(len(z)) % n_folds
    parts = []
    for k in range(n_folds):
        fit, held = (fold != k).nonzero().squeeze(1), (fold == k).nonzero().squeeze(1)
        normal = _CanonicalNormal(z[fit], c[fit])
        onehot = _onehot(groups, len(z))
        rotated_z, rotated_c = normal.rotate(z, c)
        width = rotated_z.shape[1] + rotated_c.shape[1] + onehot.shape[1]

        def scores(
            net: nn.Module,
            rows: Tensor,
            other: Tensor,
            a: Tensor = rotated_z,
            b: Tensor = rotated_c,
            onehot: Tensor = onehot,
            normal: _CanonicalNormal = normal,
        ) -> tuple[Tensor, Tensor]:
            inside, attribute = a[rows], b[other]
            base = normal.log_ratio(inside, attribute)
            out: Tensor = net(torch.cat([inside, attribute, onehot[rows]], dim=1)).squeeze(1)
            return base, base + out

        def loss(net: nn.Module, rows: Tensor, scores: Callable[..., tuple[Tensor, Tensor]] = scores) -> Tensor:
            joint = scores(net, rows, rows)[1]
            others = torch.cat([rows[_permuted(rows, groups, generator)] for _ in range(2)])
            marginal = scores(net, rows.repeat(2), others)[1]
            return torch.logsumexp(marginal, dim=0) - math.log(len(marginal)) - joint.mean()

        def judged(
            net: nn.Module, rows: Tensor, rounds: int, scores: Callable[..., tuple[Tensor, Tensor]] = scores
        ) -> tuple[Tensor, Tensor]:
            """Influence of each row on the bound, without and with the network, and the bounds as their means."""
            joint = torch.stack(scores(net, rows, rows)).double()
            weights = torch.zeros_like(joint)
            for _ in range(rounds):
                other = rows[_permuted(rows, groups, generator)]
                weights += torch.stack(scores(net, rows, other)).double().clamp(max=60).exp() / rounds
            mean = weights.mean(dim=1, keepdim=True)
            values = joint - mean.log() + 1 - weights / mean
            return values[0], values[1]

        net, late = _fitted(width, 1, loss, judged, fit, n_restarts, max_steps, seed + 17 * k, generator)
        with torch.no_grad():
            optimism = float(judged(net, fit, 4)[1].mean())
            parts.append((*judged(net, held, 16), late, optimism))
    return _summary(parts)


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
    """H(C|G) less the held-out cross-entropy of a classifier that starts at p(c|g): a lower bound of I(Z;C|G).

    z (n, p) whitened, labels (n,) from 0; the entropy is Miller and Madow's.
    """
    generator = torch.Generator().manual_seed(seed)
    onehot = _onehot(groups, len(z))
    n_classes = int(labels.max()) + 1
    inputs = torch.cat([z, onehot], dim=1)
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

        def logits(net: nn.Module, rows: Tensor) -> Tensor:
            out: Tensor = prior[strata[rows]] + net(inputs[rows])
            return out

        def loss(net: nn.Module, rows: Tensor) -> Tensor:
            return nn.functional.cross_entropy(logits(net, rows), labels[rows])

        def judged(net: nn.Module, rows: Tensor, rounds: int) -> tuple[Tensor, Tensor]:
            own = logits(net, rows).log_softmax(dim=1).gather(1, labels[rows][:, None]).squeeze(1).double()
            return torch.zeros(len(rows), dtype=torch.float64), surprise[rows] + own

        net, late = _fitted(
            inputs.shape[1], n_classes, loss, judged, fit, n_restarts, max_steps, seed + 17 * k, generator
        )
        with torch.no_grad():
            optimism = float(judged(net, fit, 1)[1].mean())
            parts.append((*judged(net, held, 1), late, optimism))
    return _summary(parts)


class _CanonicalNormal:
    """Log density ratio of a jointly normal pair, by canonical correlations of the pairs it is given."""

    def __init__(self, z: Tensor, c: Tensor) -> None:
        cross = (z.T @ c / len(z)).double()
        left, correlations, right = torch.linalg.svd(cross, full_matrices=True)
        # Less what chance correlation adds to each square.
        noise = (z.shape[1] + c.shape[1]) / len(z)
        squares = ((correlations.square() - noise) / (1 - noise)).clamp(0, 0.99999)
        self._left, self._right = left.float(), right.T.float()
        self._rho = squares.sqrt().float()

    def rotate(self, z: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        return z @ self._left, c @ self._right

    def log_ratio(self, a: Tensor, b: Tensor) -> Tensor:
        k = len(self._rho)
        a, b, rho = a[:, :k], b[:, :k], self._rho
        rest = 1 - rho.square()
        quadratic = (rho.square() * (a.square() + b.square()) - 2 * rho * a * b) / (2 * rest)
        return -(0.5 * rest.log() + quadratic).sum(dim=1)


def _fitted(
    inputs: int,
    outputs: int,
    loss: Callable[[nn.Module, Tensor], Tensor],
    judged: Callable[[nn.Module, Tensor, int], tuple[Tensor, Tensor]],
    fit: Tensor,
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
            net = perceptron(inputs, (96, 96), outputs)
        last = net[-1]
        assert isinstance(last, nn.Linear)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        optimizer = torch.optim.AdamW(net.parameters(), lr=3e-3, weight_decay=1e-3, fused=True)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, total_steps=max_steps + 1, pct_start=0.1)
        best, state, at, step = -math.inf, {k: v.clone() for k, v in net.state_dict().items()}, 0, 0
        early = -math.inf  # the best of the first two thirds
        while step <= max_steps:
            if step % _EVERY == 0:
                with torch.no_grad():
                    value = float(judged(net, aside, 2)[1].mean())
                early = max(early, value) if step <= 2 * max_steps // 3 else early
                if value > best:
                    best, at = value, step
                    state = {k: v.clone() for k, v in net.state_dict().items()}
                elif step - at > 6 * _EVERY:
                    break
            rows = fit[torch.randint(len(fit), (min(_BATCH, len(fit)),), generator=generator)]
            with torch.enable_grad():
                objective = loss(net, rows)
                optimizer.zero_grad()
                objective.backward()
            nn.utils.clip_grad_norm_(net.parameters(), 1.0)
            optimizer.step()
            if step < max_steps:
                schedule.step()
            step += 1
        net.load_state_dict(state)
        if chosen is None or best > chosen[0]:
            chosen = best, net, at > 2 * max_steps // 3 and best - early > max(0.05, 0.15 * best)
    assert chosen is not None
    return chosen[1], chosen[2]


def _summary(parts: list[tuple[Tensor, Tensor, bool, float]]) -> CrossFit:
    base, value = torch.cat([p[0] for p in parts]), torch.cat([p[1] for p in parts])
    n = len(value)
    gain = value - base
    optimism = max(0.0, sum(p[3] for p in parts) / len(parts) - float(value.mean()))
    return CrossFit(
        float(value.mean()),
        math.hypot(float(value.std()) / math.sqrt(n), optimism / 2),
        float(base.mean()),
        float(gain.mean()),
        float(gain.std()) / math.sqrt(n),
        any(p[2] for p in parts),
    )


def _onehot(groups: Tensor | None, n: int) -> Tensor:
    if groups is None:
        return torch.zeros(n, 0)
    return nn.functional.one_hot(groups).float()


def _permuted(rows: Tensor, groups: Tensor | None, generator: torch.Generator) -> Tensor:
    return permutation(len(rows), generator) if groups is None else permutation_within(groups[rows], generator)
