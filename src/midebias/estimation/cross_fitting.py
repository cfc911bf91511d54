"""Cross-fitting: a closed form and what a network adds to it, evaluated on pairs that neither was fitted on."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Generator, Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from ..networks import EarlyStopping, build_perceptron
from ..randomness import seeded

_EVERY, _PATIENCE = 25, 225  # steps
_DECAY = 0.98
_HIDDEN = (128, 128, 128)

Pairs = tuple[Tensor, Tensor, Tensor | None]
"""z, encoded c, and groups to condition on."""


class ClosedForm(ABC):
    """What is fitted in closed form to some pairs; a network refines it."""

    batch: int

    @abstractmethod
    def build_network(self) -> nn.Module:
        """Build a network that adds nothing yet."""

    @abstractmethod
    def compute_loss(self, network: nn.Module, rows: Tensor) -> Tensor:
        """What a network minimises on rows."""

    @abstractmethod
    def compute_scores(self, network: nn.Module, rows: Tensor, rounds: int) -> Tensor:
        """Scores (parts, rows, m) that add up, over so many permutations where there are any.

        The first part is linear, and the last one the network's.
        """

    @abstractmethod
    def compute_local(self, scores: Tensor, rows: Tensor) -> Tensor:
        """What each row contributes to the estimate, of scores (rows, m)."""


@dataclass(frozen=True)
class CrossFit:
    """What each held-out pair contributes in nats, of all parts and of the linear one; the means are the estimates.

    Parts count by weights from 0, which are the best for the pairs of the other folds: what says nothing of held-out
    pairs hardly counts, so that values are hardly below zero. They still read too low by about half of what the pairs
    that the network was fitted on read higher, the ``optimism``: that half is part of ``stderr``. ``undertrained``:
    training in some fold was still improving when it ended.
    """

    local: Tensor
    base_local: Tensor
    optimism: float
    undertrained: bool

    @property
    def stderr(self) -> float:
        """Standard error of the mean of ``local``."""
        return math.hypot(compute_stderr(self.local), self.optimism / 2)

    @property
    def gains(self) -> bool:
        """Whether the other parts add more than a standard error, measured on the same pairs."""
        gain = self.local - self.base_local
        return float(gain.mean()) > compute_stderr(gain)


def take(pairs: Pairs, rows: Tensor) -> Pairs:
    """Some of the pairs."""
    z, c, groups = pairs
    return z[rows], c[rows], None if groups is None else groups[rows]


def compute_stderr(local: Tensor) -> float:
    """Standard error of a mean."""
    return float(local.std()) / math.sqrt(len(local))


def split_folds(n: int, n_folds: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Rows to fit on and rows held out, of each fold."""
    fold = torch.arange(n) % n_folds
    for k in range(n_folds):
        yield (fold != k).nonzero().squeeze(1), (fold == k).nonzero().squeeze(1)


def build_smooth_perceptron(inputs: int, outputs: int, *, start_at_zero: bool = True) -> nn.Sequential:
    """Build a perceptron of smooth units."""
    layers = build_perceptron(inputs, _HIDDEN, outputs, activation=nn.SiLU)
    if start_at_zero:
        for parameter in layers[-1].parameters():
            nn.init.zeros_(parameter)
    return layers


def cross_fit(
    fit: Callable[[Tensor, Generator], ClosedForm], n: int, *, n_folds: int, n_restarts: int, max_steps: int, seed: int
) -> CrossFit:
    """Fit a closed form on all folds but one, train a network beside it, and evaluate both on that fold, in turn."""
    generator = Generator().manual_seed(seed)
    forms, held_scores, known_scores, undertrained = [], [], [], False
    folds = list(split_folds(n, n_folds))
    for k, (rows, held) in enumerate(folds):
        form = fit(rows, generator)
        network, late = _train(form, rows, n_restarts, max_steps, seed + 17 * k, generator)
        undertrained = undertrained or late
        with torch.no_grad():
            forms.append(form)
            known_scores.append(form.compute_scores(network, rows, 4))
            held_scores.append(form.compute_scores(network, held, 16))
    several = [(form, scores, held) for form, scores, (_, held) in zip(forms, held_scores, folds, strict=True)]
    local, base_local, known = torch.empty(n, dtype=torch.float64), torch.empty(n, dtype=torch.float64), 0.0
    for k, ((form, scores, held), (rows, _)) in enumerate(zip(several, folds, strict=True)):
        others = several[:k] + several[k + 1 :]
        weights = _choose_weights(others)
        local[held] = form.compute_local(_combine(scores, weights), held)
        base_local[held] = form.compute_local(_combine(scores[:1], _choose_weights(others, 1)), held)
        known += float(form.compute_local(_combine(known_scores[k], weights), rows).mean()) / n_folds
    optimism = max(0.0, known - float(local.mean()))
    return CrossFit(local, base_local, optimism, undertrained)


def _combine(scores: Tensor, weights: Tensor) -> Tensor:
    return torch.einsum("p,pnm->nm", weights, scores)


@torch.enable_grad()
def _choose_weights(folds: Sequence[tuple[ClosedForm, Tensor, Tensor]], n_parts: int | None = None) -> Tensor:
    """Weights from 0 of the first parts of scores, of which the estimate on these folds is largest.

    Of a concave function of the weights: parts that would count negatively are left out, until there are none.
    """
    used, n = torch.ones(len(folds[0][1][:n_parts])), sum(len(rows) for *_, rows in folds)
    while bool(used.any()):
        weights = (0.5 * used).requires_grad_()
        optimizer = torch.optim.LBFGS([weights], max_iter=50, line_search_fn="strong_wolfe")

        def closure(weights: Tensor = weights, used: Tensor = used) -> Tensor:
            weights.grad = None
            scores = [form.compute_local(_combine(part[:n_parts], weights * used), rows) for form, part, rows in folds]
            # A normal prior about 1, for parts that say too little for their weights to be known.
            loss = (weights - 1).square().sum() - torch.cat(scores).sum()
            (loss / n).backward()
            return loss / n

        optimizer.step(closure)
        weights = weights.detach() * used
        if bool((weights >= 0).all()):
            return weights
        used = used * (weights > 0)
    return used


def _train(
    form: ClosedForm, fit: Tensor, n_restarts: int, max_steps: int, seed: int, generator: Generator
) -> tuple[nn.Module, bool]:
    """Train networks; return the best on rows set aside, and whether it still improved at the end.

    That is an eighth of the rows, but up to a third where these are less than 500.
    """
    n_aside = max(len(fit) // 8, min(len(fit) // 3, 500))
    aside, fit = fit[:n_aside], fit[n_aside:]
    candidates: list[tuple[float, nn.Module, bool]] = []
    for restart in range(n_restarts):
        with seeded(seed + restart):
            net = form.build_network()
        optimizer = torch.optim.AdamW(net.parameters(), lr=3e-3, weight_decay=1e-3, fused=True)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, total_steps=max_steps + 1, pct_start=0.1)
        # A running mean of the weights has less of the last batches' noise.
        average = AveragedModel(net, multi_avg_fn=get_ema_multi_avg_fn(_DECAY))
        stopping, early = EarlyStopping(average.module, _PATIENCE), -math.inf  # the best of the first two thirds
        for step in range(max_steps + 1):
            if step % _EVERY == 0:
                with torch.no_grad():
                    scores = form.compute_scores(average.module, aside, 4).sum(0)
                    value = float(form.compute_local(scores, aside).mean())
                early = max(early, value) if step <= 2 * max_steps // 3 else early
                if stopping.observe(-value, step):
                    break
            rows = fit[torch.randint(len(fit), (min(form.batch, len(fit)),), generator=generator)]
            with torch.enable_grad():
                loss = form.compute_loss(net, rows)
                optimizer.zero_grad()
                loss.backward()
            nn.utils.clip_grad_norm_(net.parameters(), 1.0)
            optimizer.step()
            average.update_parameters(net)
            if step < max_steps:
                schedule.step()
        stopping.restore(net)
        best = -stopping.loss
        with torch.no_grad():
            scores = form.compute_scores(net, aside, 4)
            gain = form.compute_local(scores.sum(0), aside) - form.compute_local(scores[:-1].sum(0), aside)
        if float(gain.mean()) <= 2 * compute_stderr(gain):  # by chance, as the best of many steps
            with seeded(seed):
                net = form.build_network()
        late = stopping.step > 2 * max_steps // 3 and best - early > max(0.05, 0.15 * best)
        candidates.append((best, net, late))
    _, network, late = max(candidates, key=lambda candidate: candidate[0])
    return network, late
