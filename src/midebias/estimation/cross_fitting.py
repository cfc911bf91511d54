"""Cross-fitting: a closed form and what a network adds to it, evaluated on pairs that neither was fitted on."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from ..marginals import permutation, permutation_within
from ..networks import EarlyStopping, build_perceptron
from ..randomness import seeded

_EVERY, _PATIENCE = 25, 225  # steps
_DECAY = 0.98
_HIDDEN = (128, 128, 128)


@dataclass(frozen=True)
class CrossFit:
    """Held-out estimates of a cross-fitted model, in nats.

    Parameters
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


@dataclass(frozen=True)
class Fold:
    """What one fold gave: of each row held out what it contributes, without the network and with it."""

    rows: Tensor
    base: Tensor
    local: Tensor
    undertrained: bool
    fitted: float  # the value on the pairs that the network was fitted on, in nats


def split_folds(n: int, n_folds: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Rows to fit on and rows held out, of each fold."""
    fold = torch.arange(n) % n_folds
    for k in range(n_folds):
        yield (fold != k).nonzero().squeeze(1), (fold == k).nonzero().squeeze(1)


def summarize_folds(folds: list[Fold]) -> CrossFit:
    """Put the folds' pairs together."""
    order = torch.cat([f.rows for f in folds]).argsort()
    base, value = torch.cat([f.base for f in folds])[order], torch.cat([f.local for f in folds])[order]
    n = len(value)
    gain = value - base
    optimism = max(0.0, sum(f.fitted for f in folds) / len(folds) - float(value.mean()))
    return CrossFit(
        float(value.mean()),
        math.hypot(float(value.std()) / math.sqrt(n), optimism / 2),
        float(base.mean()),
        float(gain.mean()),
        float(gain.std()) / math.sqrt(n),
        any(f.undertrained for f in folds),
        value,
        base,
    )


def permute(rows: Tensor, groups: Tensor | None, generator: torch.Generator) -> Tensor:
    """Permute places of the rows, inside each group where groups are given."""
    return permutation(len(rows), generator) if groups is None else permutation_within(groups[rows], generator)


def build_smooth_perceptron(inputs: int, outputs: int, *, start_at_zero: bool = True) -> nn.Sequential:
    """Build a perceptron of smooth units."""
    layers = build_perceptron(inputs, _HIDDEN, outputs, activation=nn.SiLU)
    if start_at_zero:
        for parameter in layers[-1].parameters():
            nn.init.zeros_(parameter)
    return layers


def train_network(
    build: Callable[[], nn.Module],
    loss: Callable[[nn.Module, Tensor], Tensor],
    evaluate: Callable[[nn.Module, Tensor, int], tuple[Tensor, Tensor]],
    fit: Tensor,
    *,
    batch: int,
    n_restarts: int,
    max_steps: int,
    seed: int,
    generator: torch.Generator,
) -> tuple[nn.Module, bool]:
    """Train ``n_restarts`` networks and return the best, and whether it was still improving at the end.

    ``loss`` is what a network minimises on rows; ``evaluate`` what each of some rows contributes to the estimate, by
    the closed form and with the network, over so many permutations. An eighth of the rows ``fit`` is set aside to stop
    and to choose by.
    """
    aside, fit = fit[: len(fit) // 8], fit[len(fit) // 8 :]
    chosen: tuple[float, nn.Module, bool] | None = None
    for restart in range(n_restarts):
        with seeded(seed + restart):
            net = build()
        optimizer = torch.optim.AdamW(net.parameters(), lr=3e-3, weight_decay=1e-3, fused=True)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, total_steps=max_steps + 1, pct_start=0.1)
        # A running mean of the weights has less of the last batches' noise.
        average = AveragedModel(net, multi_avg_fn=get_ema_multi_avg_fn(_DECAY))
        stopping, early = EarlyStopping(average.module, _PATIENCE), -math.inf  # the best of the first two thirds
        for step in range(max_steps + 1):
            if step % _EVERY == 0:
                with torch.no_grad():
                    value = float(evaluate(average.module, aside, 4)[1].mean())
                early = max(early, value) if step <= 2 * max_steps // 3 else early
                if stopping.observe(-value, step):
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
        stopping.restore(net)
        best = -stopping.loss
        if chosen is None or best > chosen[0]:
            chosen = best, net, stopping.step > 2 * max_steps // 3 and best - early > max(0.05, 0.15 * best)
    assert chosen is not None
    return chosen[1], chosen[2]
