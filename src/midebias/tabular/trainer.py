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
from .networks import TabularNetwork
from .penalty import TabularPenalty
from .separate_penalties import SeparatePenalties
from .targets import Task, compute_task_loss
from .weight_path import POINTS, WeightPath

_STEPS, _STEPS_WITH_TREES = 60, 300  # at least, where epochs are not given
_STEPS_BEFORE_A_PATH, _STEPS_OF_A_POINT = 100, 12  # beside trees, which have gone most of the way
_EPOCHS_OF_A_POINT = 2  # where there are none
_MEMORY_OF_A_POINT = 0.9  # per step


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
    ``early_stopping`` watches the task loss and the penalty of rows held out. With ``path`` a quarter of the epochs has
    no penalty, and the rest go along the path; under limits all of them have none, and twice as many more go along it.
    The model is that of a point of the path.
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
    path: WeightPath | None
    validation_fraction: float
    seed: int
    records: list[EpochRecord] = field(default_factory=list)
    _step: int = field(default=0, init=False)
    _average: Any = field(default=None, init=False)

    def train(self, rows: TabularRows, on_epoch: Callable[[EpochRecord], bool]) -> None:
        """Train on rows; ``on_epoch`` is called after each epoch and stops the training by returning True."""
        generator = torch.Generator().manual_seed(self.seed)
        # Small tables are cheap, and in double precision a weight of two is two rows.
        rows = rows.cast(torch.float64 if len(rows) <= self.batch_size else torch.float32)
        kept, held = rows, None
        if self.path is not None or self.early_stopping is not None:
            kept, held = rows.split(self.validation_fraction, generator)
        self.network.to(rows.x.dtype).train()
        with self.network.read_beforehand():
            self.network.whiten(kept.x)
            try:
                with seeded(self.seed):
                    if self.path is None or held is None:
                        self._train_epochs(kept, held, generator, on_epoch)
                    else:
                        self._follow_path(self.path, kept, held, generator, on_epoch)
            finally:
                self.network.unwhiten()
        # In double precision a prediction does not depend on the batch that it is made in.
        self.network.double().eval()

    def _train_epochs(
        self, rows: TabularRows, held: TabularRows | None, generator: torch.Generator,
        on_epoch: Callable[[EpochRecord], bool],
    ) -> None:  # fmt: skip
        self._make_optimizer()
        per_epoch, first = max(1, len(rows) // self.batch_size), self._step
        least = _STEPS_WITH_TREES if self.network.reads_trees else _STEPS
        epochs = max(20, math.ceil(least / per_epoch)) if self.epochs is None else self.epochs
        n_steps = epochs * per_epoch

        def schedule(step: int) -> tuple[float, float]:
            step -= first
            done = min(1.0, step / n_steps)
            rate = min(1.0, (step + 1) / (0.1 * n_steps + 1)) * 0.5 * (1 + math.cos(math.pi * done))
            return rate, self.mi_weight * min(1.0, done / 0.3)

        for _ in range(epochs):
            ends = self._train_epoch(rows, generator, schedule, on_epoch)
            if (held is not None and self._observe(held)) or ends:
                break
        if self.early_stopping is not None:
            self.early_stopping.restore()

    def _follow_path(
        self, path: WeightPath, kept: TabularRows, held: TabularRows, generator: torch.Generator,
        on_epoch: Callable[[EpochRecord], bool],
    ) -> None:  # fmt: skip
        """Train without a penalty, then with larger and larger weights, and take the model that was chosen."""
        self._make_optimizer()
        per_epoch = max(1, len(kept) // self.batch_size)
        if self.epochs is not None:
            # Under limits it is to have learned enough at whichever point that may be.
            n_plain, on_path = (
                (self.epochs // 4, 3 * self.epochs // 4) if path.is_default else (self.epochs, 2 * self.epochs)
            )
            n_points = min(POINTS, max(1, on_path))
            each = max(1, on_path // n_points)
        else:
            n_plain, n_points = math.ceil(_STEPS_BEFORE_A_PATH / per_epoch), POINTS
            each = math.ceil(_STEPS_OF_A_POINT / per_epoch)
            if not self.network.reads_trees:
                n_plain, each = max(20, n_plain), max(_EPOCHS_OF_A_POINT, each)
        warm_up, ends, weight = 0.4 * n_plain * per_epoch, False, 0.0

        def follow(step: int) -> tuple[float, float]:
            return (path.find_rate(weight) if weight else 1.0) * min(1.0, (step + 1) / (warm_up + 1)), weight

        for weight in [0.0, *path.list_weights(n_points)]:
            for _ in range(each if weight else n_plain):
                ends = ends or self._train_epoch(kept, generator, follow, on_epoch)
            if not ends:
                path.observe(self.network if self._average is None else self._average.module, weight, held, kept)
            if self._average is None:
                # Decisions swing about where they settle: a mean over steps tells better where that is.
                mean = torch.optim.swa_utils.get_ema_multi_avg_fn(_MEMORY_OF_A_POINT)
                self._average = torch.optim.swa_utils.AveragedModel(self.network, multi_avg_fn=mean)
        self._average = None
        if path.points and not ends:
            taken = path.choose()
            self.mi_weight = taken.mi_weight
            self.network.load_state_dict(taken.state)

    def _make_optimizer(self) -> None:
        groups = self.network.group_parameters(self.learning_rate, self.weight_decay)
        self._optimizer = torch.optim.AdamW(groups, lr=self.learning_rate, fused=True)

    def _draw_batches(self, rows: TabularRows, generator: torch.Generator) -> Iterable[TabularRows]:
        if len(rows) <= self.batch_size:
            return [rows]
        order = torch.randperm(len(rows), generator=generator)
        return (rows[part] for part in order.split(self.batch_size) if len(part) == self.batch_size)

    def _train_epoch(
        self, rows: TabularRows, generator: torch.Generator, schedule: Callable[[int], tuple[float, float]],
        on_epoch: Callable[[EpochRecord], bool],
    ) -> bool:  # fmt: skip
        """Go through the rows once; ``schedule`` tells a step's share of the learning rate, and its weight."""
        started, losses, shares = time.perf_counter(), [], []
        for batch in self._draw_batches(rows, generator):
            rate, weight = schedule(self._step)
            for group in self._optimizer.param_groups:
                group["lr"] = group["rate"] * rate
            result = train_step(
                self.network, self.network.head,
                self.penalty if batch.c is not None and (weight or self.path is None) else None,  # type: ignore[arg-type]  # it answers as an MIPenalty
                self._optimizer, batch.x, batch.y,
                batch.c,  # type: ignore[arg-type]  # None goes with no penalty
                task_loss=functools.partial(self._compute_loss, weights=batch.weights, n=len(rows)),
                mi_weight=weight, max_grad_norm=10.0,
            )  # fmt: skip
            self._step += 1
            if self._average is not None:
                self._average.update_parameters(self.network)
            losses.append(result.loss)
            shares.append(result.correct / len(batch))
        accuracy = sum(shares) / len(shares) if self.task == "classification" else math.nan
        loss, seconds = sum(losses) / len(losses), time.perf_counter() - started
        self.records.append(EpochRecord(len(self.records) + 1, self._step, loss, accuracy, result.mi, seconds))
        return on_epoch(self.records[-1])

    def _compute_loss(self, outputs: Tensor, y: Tensor, *, weights: Tensor | None, n: int) -> Tensor:
        return compute_task_loss(outputs, y, weights, self.task) + self.network.compute_ridge(n)

    @torch.no_grad()
    def _observe(self, held: TabularRows) -> bool:
        """Show rows held out to early stopping; True where it would end the training."""
        self.network.eval()
        outputs, z = self.network(held.x)
        self.network.train()
        objective = compute_task_loss(outputs, held.y, held.weights, self.task)
        if self.penalty is not None and held.c is not None:
            self.penalty.eval()
            objective = objective + self.mi_weight * self.penalty((outputs, z), held.c, held.y)
            self.penalty.train()
        return self.early_stopping is not None and self.early_stopping.observe(float(objective), len(self.records))
