"""Counts of what happened to the estimates of a penalty, and the warning when it has no effect."""

import warnings
from collections.abc import Sequence
from dataclasses import astuple, dataclass, field
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn

from ..deferred_reads import finish_reads, read_later
from ..estimators.interface import Estimator
from .dual_ascent import DualAscent

Reason = Literal["negative", "untrained", "not_finite", "too_few"]
Estimate = tuple[Tensor, Tensor]  # its value, and whether samples are too few for one
REASONS = ("used", "negative", "untrained", "not_finite", "too_few")  # as they are numbered
PATIENCE = 100  # calls in a row


@dataclass
class Health:
    """What happened to the estimates of one representation; nothing is skipped without being counted.

    Attributes
    ----------
    used : int
        Estimates descended on.
    negative, untrained, not_finite, too_few : int
        Estimates not descended on: at or below zero (nothing left to remove, or a critic that lags), from a
        critic without enough updates, NaN or infinite, or from too few samples with the attribute present.
    missing : int
        Samples left out because their attribute is missing.
    streak : int
        Consecutive estimates not descended on.
    """

    used: int = 0
    negative: int = 0
    untrained: int = 0
    not_finite: int = 0
    too_few: int = 0
    missing: int = 0
    streak: int = field(default=0, repr=False)


class EstimateRecord(nn.Module):
    """Base of `MIPenalty`: its latest estimates and what happened to them, which stay where they were made."""

    readings: Tensor  # float64 (several,), in nats
    counts: Tensor  # (several, 7), the fields of `Health`
    estimators: nn.ModuleList
    budgets: nn.ModuleList
    factors: list[Tensor | float]
    _steps: Tensor  # (5, 7), what a call adds to the counts, by its place among `REASONS`
    _warned: bool

    def get_extra_state(self) -> dict[str, Any]:
        """Health counts and estimates; with buffers and parts, all that a resumed run needs."""
        return {"health": [vars(h) for h in self.health], "estimates": self.estimates, "warned": self._warned}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Restore what `get_extra_state` saved."""
        self.counts = torch.tensor([astuple(Health(**each)) for each in state["health"]])
        self.readings, self._warned = torch.tensor(state["estimates"], dtype=torch.float64), bool(state["warned"])
        self._steps = torch.tensor([[k == r for k in range(5)] + [False, r > 0] for r in range(5)]).long()

    @property
    def estimates(self) -> list[float]:
        """Latest estimate in nats of each representation."""
        finish_reads()
        return cast("list[float]", self.readings.tolist())

    @property
    def health(self) -> list[Health]:
        """What happened to the estimates of each representation."""
        finish_reads()
        return [Health(*each) for each in self.counts.tolist()]

    @property
    def multipliers(self) -> tuple[float, ...]:
        """Where the weight of each representation stands under a budget; 1 without one."""
        return tuple(map(float, self.weigh_budgets()))

    @property
    def weights(self) -> tuple[float, ...]:
        """What the gradient of each estimate was multiplied by in the latest `backward`; 0 before the first."""
        return tuple(map(float, self.factors))

    def weigh_budgets(self) -> list[float | Tensor]:
        """The `multipliers`, left where they are."""
        return [cast(DualAscent, b).multiplier.clone() for b in self.budgets] or [1.0] * len(self.readings)

    @torch.no_grad()
    def _judge(self, found: Sequence[Estimate | Reason], device: torch.device, missing: int | Tensor) -> Tensor:
        """Take note of each estimate, or of why there is none. Returns which ones to descend on (several,)."""
        if self._steps.device != device:
            self.readings, self.counts, self._steps = (v.to(device) for v in (self.readings, self.counts, self._steps))
        none = torch.ones((), dtype=torch.bool, device=device)
        pairs = [(self.readings[k], none) if isinstance(each, str) else each for k, each in enumerate(found)]
        values = torch.stack([value.detach().double() for value, _ in pairs])
        few = torch.stack([short for _, short in pairs])
        usable = (values > 0) & (values < torch.inf) & ~few
        reasons = torch.where(few, 4, torch.where(values.isfinite(), 1, 3)) * ~usable
        for k, each in enumerate(found):
            if isinstance(each, str):
                reasons[k] = REASONS.index(each)
            elif self.budgets and self.training:
                cast(DualAscent, self.budgets[k]).observe(torch.where(few[k], torch.nan, values[k]))
        self.readings.copy_(torch.where(few, self.readings, values))
        self.counts += self._steps[reasons]
        self.counts[:, 6] *= ~usable
        if isinstance(missing, Tensor) or missing:
            self.counts[:, 5] += missing
        if not self._warned:
            read_later(torch.column_stack([self.counts, reasons]), self._warn)
        return usable

    def _warn(self, numbers: list[list[int]]) -> None:
        """Warn once when a representation was not descended on for long.

        A closed form at zero says that nothing is left to remove; a critic there may be one that lags.
        """
        for k, (*counts, place) in enumerate(numbers):
            health, reason = Health(*counts), REASONS[place]
            gone = reason == "negative" and cast(Estimator, self.estimators[k]).closed_form
            if self._warned or gone or health.streak < PATIENCE:
                continue
            self._warned = True
            warnings.warn(
                f"MIPenalty has not descended on representation {k} for {health.streak} calls, lately because "
                f"the estimate was {reason.replace('_', ' ')}: the penalty has no effect ({health}). "
                "Give the batch more samples, a critic more steps, or use estimator='gaussian'.",
                RuntimeWarning,
                stacklevel=5,
            )
