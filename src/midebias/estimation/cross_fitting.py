"""Cross-fitting: a closed form and what a network adds to it, evaluated on pairs that neither was fitted on."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from ..networks import EarlyStopping, build_perceptron
from ..randomness import seeded

_EVERY, _PATIENCE = 25, 225  # steps
_DECAY = 0.98
_HIDDEN = (128, 128, 128)


class ClosedForm(ABC):
    """An estimator fitted in closed form to some pairs, which a network refines; both are evaluated on other rows."""

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
    """Held-out estimates of a cross-fitted model, in nats.

    Attributes
    ----------
    local, base_local : Tensor of shape (n,)
        What each pair contributes, with the network and without.
    stderr : float
        With the network. Held-out pairs read too low by about half of what the pairs it was fitted on read higher:
        that half is part of the standard error.
    undertrained : bool
        Whether training in some fold was still improving when it ended.
    """

    local: Tensor
    base_local: Tensor
    stderr: float
    undertrained: bool

    @property
    def value(self) -> float:
        """With the network."""
        return float(self.local.mean())

    @property
    def base(self) -> float:
        """Without it."""
        return float(self.base_local.mean())

    @property
    def base_stderr(self) -> float:
        """Standard error of ``base``."""
        return compute_stderr(self.base_local)

    @property
    def gains(self) -> bool:
        """Whether the network adds more than two standard errors, measured on the same pairs."""
        gain = self.local - self.base_local
        return float(gain.mean()) > 2 * compute_stderr(gain)


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
    fit_form: Callable[[Tensor], ClosedForm],
    n: int,
    *,
    batch: int,
    n_folds: int,
    n_restarts: int,
    max_steps: int,
    seed: int,
    generator: torch.Generator,
) -> CrossFit:
    """Fit a closed form on all folds but one, train a network beside it, and evaluate both on that fold, in turn."""
    held_out, local, base_local, fitted, undertrained = [], [], [], [], False
    for k, (fit, held) in enumerate(split_folds(n, n_folds)):
        form = fit_form(fit)
        network, late = _train(form, fit, batch, n_restarts, max_steps, seed + 17 * k, generator)
        with torch.no_grad():
            fitted.append(float(form.evaluate(network, fit, 4)[1].mean()))
            base, whole = form.evaluate(network, held, 16)
        held_out.append(held)
        base_local.append(base)
        local.append(whole)
        undertrained = undertrained or late
    order = torch.cat(held_out).argsort()
    value = torch.cat(local)[order]
    optimism = max(0.0, sum(fitted) / n_folds - float(value.mean()))
    stderr = math.hypot(compute_stderr(value), optimism / 2)
    return CrossFit(value, torch.cat(base_local)[order], stderr, undertrained)


def _train(
    form: ClosedForm, fit: Tensor, batch: int, n_restarts: int, max_steps: int, seed: int, generator: torch.Generator
) -> tuple[nn.Module, bool]:
    """Train networks; return the best, and whether it was still improving at the end.

    An eighth of the rows ``fit`` is set aside to stop and to choose by.
    """
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
            rows = fit[torch.randint(len(fit), (min(batch, len(fit)),), generator=generator)]
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
