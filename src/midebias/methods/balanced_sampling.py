"""Groups of label and attribute sampled evenly."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from ..networks import Classifier
from ..protocols import InputError
from .adversaries import Groups
from .interface import Batch, Draw, Precision, Problem, SingleLoss, StepResult

__all__ = ["BalancedSampling"]


class BalancedSampling(SingleLoss):
    """Plain training on batches resampled so that all groups of label and joint attribute category count alike.

    Rows of each batch are drawn again, with replacement, with probability proportional to 1 / (size of their group
    in the training set), as many as the batch has. So the step needs no sampler of its own; a group that the batch
    lacks cannot be drawn, and a rare one is seen as copies of few rows. `StepResult.correct` counts among drawn rows.

    Parameters
    ----------
    model, problem, lr, precision
        See `Method`.
    seed : int, default 0
        Of the draws.

    References
    ----------
    Idrissi, Arjovsky, Pezeshki, Lopez-Paz, "Simple data balancing achieves competitive worst-group-accuracy",
    CLeaR 2022, call it RWG. That the rows are those of a batch is ours.
    """

    name: ClassVar[str] = "balanced"

    def __init__(
        self,
        model: Classifier,
        problem: Problem | None = None,
        *,
        lr: float | None = None,
        precision: Precision = "float32",
        seed: int = 0,
    ) -> None:
        super().__init__(model, problem, lr=lr, precision=precision, seed=seed)
        self.groups: Groups | None = None
        self._generator = torch.Generator().manual_seed(seed)

    def prepare(self, levels: Tensor, c: Tensor, y: Tensor) -> None:
        """Count the groups."""
        self.groups = Groups(levels, y, self.problem.level_sizes)

    def resample(self, batch: Batch) -> Batch:
        """As many rows of the batch, drawn with replacement and groups balanced."""
        if self.groups is None:
            raise InputError("BalancedSampling needs prepare(levels, c, y) on the training set before the first step")
        weights = 1 / self.groups.counts[self.groups(batch.levels, batch.y)].double()
        rows = torch.multinomial(weights.cpu(), len(batch), replacement=True, generator=self._generator)
        rows = rows.to(batch.y.device)
        return Batch(batch.x[rows], batch.y[rows], batch.levels[rows], batch.c[rows])

    def step(self, batch: Batch, draw: Draw, lr: float) -> StepResult:
        """See `Method.step`."""
        return super().step(self.resample(batch), draw, lr)
