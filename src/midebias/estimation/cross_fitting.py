"""Cross-fitting: a closed form and what a network adds to it, evaluated on pairs that neither was fitted on."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
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
    def evaluate(self, network: nn.Module, rows: Tensor, rounds: int) -> tuple[Tensor, Tensor]:
        """What each row contributes, without the network and with it, over so many permutations where there are any."""


@dataclass(frozen=True)
class CrossFit:
    """What each held-out pair contributes, with the network and without, in nats; the means are the estimates.

    Held-out pairs read too low by about half of what the pairs that the network was fitted on read higher: that half is
    part of ``stderr``. ``undertrained``: training in some fold was still improving when it ended.
    """

    local: Tensor
    base_local: Tensor
    stderr: float
    undertrained: bool

    @property
    def gains(self) -> bool:
        """Whether the network adds more than two standard errors, measured on the same pairs."""
        gain = self.local - self.base_local
        return float(gain.mean()) > 2 * compute_stderr(gain)


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
    local, base_local = torch.empty(2, n, dtype=torch.float64)
    known, undertrained = 0.0, False
    for k, (rows, held) in enumerate(split_folds(n, n_folds)):
        form = fit(rows, generator)
        network, late = _train(form, rows, n_restarts, max_steps, seed + 17 * k, generator)
        undertrained = undertrained or late
        with torch.no_grad():
            known += float(form.evaluate(network, rows, 4)[1].mean())
            base_local[held], local[held] = form.evaluate(network, held, 16)
    optimism = max(0.0, known / n_folds - float(local.mean()))
    return CrossFit(local, base_local, math.hypot(compute_stderr(local), optimism / 2), undertrained)


def _train(
    form: ClosedForm, fit: Tensor, n_restarts: int, max_steps: int, seed: int, generator: Generator
) -> tuple[nn.Module, bool]:
    """Train networks; return the best on the eighth of the rows set aside, and whether it still improved at the end."""
    aside, fit = fit[: len(fit) // 8], fit[len(fit) // 8 :]
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
                    value = float(form.evaluate(average.module, aside, 4)[1].mean())
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
        late = stopping.step > 2 * max_steps // 3 and best - early > max(0.05, 0.15 * best)
        candidates.append((best, net, late))
    _, network, late = max(candidates, key=lambda candidate: candidate[0])
    return network, late
