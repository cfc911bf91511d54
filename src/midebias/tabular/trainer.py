"""Training on tables: task, penalty on representation and decision, early stopping, and a budget that is kept."""

import functools
import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any, Self

import torch
from torch import Tensor

from ..errors import InputError
from ..networks.early_stopping import EarlyStopping
from ..randomness import seeded
from ..training.records import EpochRecord
from ..training.step import train_step
from .leakage import LeakageBudget
from .networks import TabularNetwork
from .penalty import TabularPenalty
from .separate_penalties import SeparatePenalties
from .targets import Task, compute_task_loss

_LOWEST_RATE_UNDER_A_BUDGET = 0.3  # of the learning rate: what is still to be moved must be able to move
_LONGEST_UNDER_A_BUDGET = 5  # times the epochs: a budget may need longer to settle


@dataclass(frozen=True)
class TabularRows:
    """Rows as tensors: x (n, p), y (n,) or (n, n_outputs), c (n, width) or None, weights (n,) or None."""

    x: Tensor
    y: Tensor
    c: Tensor | None = None
    weights: Tensor | None = None

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, rows: Tensor) -> Self:
        chosen: Any = (None if v is None else v.index_select(0, rows) for v in vars(self).values())
        return type(self)(*chosen)

    def cast(self, dtype: torch.dtype) -> Self:
        """Convert x, y and weights to ``dtype``; labels and the attribute stay as they are."""
        y = self.y.to(dtype) if self.y.is_floating_point() else self.y
        return replace(self, x=self.x.to(dtype), y=y, weights=None if self.weights is None else self.weights.to(dtype))

    def split(self, fraction: float, generator: torch.Generator) -> tuple[Self, Self]:
        """Rows to train on, and a random ``fraction`` of the rows to hold out."""
        order, n_held = torch.randperm(len(self), generator=generator), round(fraction * len(self))
        if n_held < 2 or len(self) - n_held < 2:
            raise InputError(f"validation_fraction of {len(self)} rows leaves too few to train or to validate on")
        return self[order[n_held:]], self[order[:n_held]]


@dataclass(kw_only=True, eq=False)
class TabularTrainer:
    """Trains a network on the rows of a table: what scikit-learn's ``fit`` does once its arguments are tensors.

    The parameters are those of `MIDebiasClassifier`. ``mi_weight`` rises over the first three tenths of the steps.
    ``early_stopping`` watches the task loss and the penalty of rows held out. ``budget`` moves the weight by their
    leakage and ends the training when it has settled, after at most five times as many epochs.
    """

    network: TabularNetwork
    penalty: TabularPenalty | SeparatePenalties | None
    task: Task
    mi_weight: float
    epochs: int | None
    batch_size: int
    learning_rate: float
    weight_decay: float
    early_stopping: EarlyStopping | None
    budget: LeakageBudget | None
    validation_fraction: float
    seed: int
    records: list[EpochRecord] = field(default_factory=list)
    _step: int = field(default=0, init=False)

    def train(self, rows: TabularRows, on_epoch: Callable[[EpochRecord], bool]) -> None:
        """Train on rows; ``on_epoch`` is called after each epoch and stops the training by returning True."""
        generator = torch.Generator().manual_seed(self.seed)
        held: TabularRows | None = None
        if self.budget is not None or self.early_stopping is not None:
            rows, held = rows.split(self.validation_fraction, generator)
        # Small tables are cheap, and in double precision a weight of two is two rows.
        dtype = torch.float64 if len(rows) <= self.batch_size else torch.float32
        rows, held = rows.cast(dtype), None if held is None else held.cast(dtype)
        self.network.to(dtype).train()
        self.network.whiten(rows.x)
        try:
            with seeded(self.seed):
                self._train_epochs(rows, held, generator, on_epoch)
        finally:
            self.network.unwhiten()
        # In double precision a prediction does not depend on the batch that it is made in.
        self.network.double().eval()

    def _train_epochs(
        self, rows: TabularRows, held: TabularRows | None, generator: torch.Generator,
        on_epoch: Callable[[EpochRecord], bool],
    ) -> None:  # fmt: skip
        groups = self.network.group_parameters(self.learning_rate, self.weight_decay)
        optimizer = torch.optim.AdamW(groups, lr=self.learning_rate, fused=True)
        per_epoch = max(1, len(rows) // self.batch_size)
        epochs = max(20, math.ceil(60 / per_epoch)) if self.epochs is None else self.epochs
        longest = epochs if self.budget is None else _LONGEST_UNDER_A_BUDGET * epochs
        for epoch in range(1, longest + 1):
            started = time.perf_counter()
            batches = self._draw_batches(rows, generator)
            loss, accuracy, mi = self._train_epoch(batches, optimizer, epochs * per_epoch)
            done = held is not None and self._observe(held) and (self.budget is None or epoch >= epochs)
            self.records.append(EpochRecord(epoch, self._step, loss, accuracy, mi, time.perf_counter() - started))
            if on_epoch(self.records[-1]) or done:
                break
        if self.early_stopping is not None:
            self.early_stopping.restore()

    def _draw_batches(self, rows: TabularRows, generator: torch.Generator) -> Iterable[TabularRows]:
        if len(rows) <= self.batch_size:
            return [rows]
        order = torch.randperm(len(rows), generator=generator)
        return (rows[part] for part in order.split(self.batch_size) if len(part) == self.batch_size)

    def _train_epoch(
        self, batches: Iterable[TabularRows], optimizer: torch.optim.Optimizer, n_steps: int
    ) -> tuple[float, float, tuple[float, ...]]:
        """Mean loss, mean accuracy of a classifier, and the last estimates in nats."""
        losses, shares = [], []
        budget = self.budget
        multiplier, lowest = (1.0, 0.0) if budget is None else (budget.multiplier, _LOWEST_RATE_UNDER_A_BUDGET)
        for batch in batches:
            done = min(1.0, self._step / n_steps)
            rate = min(1.0, (self._step + 1) / (0.1 * n_steps + 1)) * 0.5 * (1 + math.cos(math.pi * done))
            for group in optimizer.param_groups:
                group["lr"] = group["rate"] * max(lowest, rate)
            result = train_step(
                self.network, self.network.head,
                self.penalty if batch.c is not None else None,  # type: ignore[arg-type]  # it answers as an MIPenalty
                optimizer, batch.x, batch.y,
                batch.c,  # type: ignore[arg-type]  # None goes with no penalty
                task_loss=functools.partial(compute_task_loss, weights=batch.weights, task=self.task),
                mi_weight=self.mi_weight * min(1.0, done / 0.3) * multiplier,
                max_grad_norm=10.0,
            )  # fmt: skip
            self._step += 1
            losses.append(result.loss)
            shares.append(result.correct / len(batch))
        accuracy = sum(shares) / len(shares) if self.task == "classification" else math.nan
        return sum(losses) / len(losses), accuracy, result.mi

    @torch.no_grad()
    def _observe(self, held: TabularRows) -> bool:
        """Show rows held out to budget or early stopping; True where it would end the training."""
        self.network.eval()
        outputs, z = self.network(held.x)
        self.network.train()
        if self.budget is not None and held.c is not None:
            self.budget.observe(z, held.c, held.y)
            return self.budget.settled
        objective = compute_task_loss(outputs, held.y, held.weights, self.task)
        if self.penalty is not None and held.c is not None:
            self.penalty.eval()
            objective = objective + self.mi_weight * self.penalty((outputs, z), held.c, held.y)
            self.penalty.train()
        return self.early_stopping is not None and self.early_stopping.observe(float(objective), len(self.records) + 1)
