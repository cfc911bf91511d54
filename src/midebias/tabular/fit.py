"""Training on tables: task, penalty on the representation, penalty on the decision, and a budget that is kept."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor, nn

from ..attributes import Attribute, Categorical
from ..errors import InputError
from ..estimators import GaussianMI
from ..penalty.budget import DualAscent
from ..penalty.mi_penalty import MIPenalty
from ..randomness import seeded
from ..training.records import EpochRecord
from ..training.step import StepResult, train_step
from .networks import TabularEncoder, TabularNetwork
from .penalty import TabularPenalty, TabularRows

__all__ = ["Fit", "Task", "measured_leakage", "task_loss"]


Task = Literal["classification", "regression", "reconstruction"]
_RATE_OF_LINEAR_ENCODER = 20.0  # times the learning rate: alone, it has further to go in as many steps


def task_loss(outputs: Tensor, y: Tensor, weights: Tensor | None, task: Task) -> Tensor:
    """Cross-entropy, or squared error meaned over outputs; the mean over rows is weighted."""
    if task == "classification":
        losses = nn.functional.cross_entropy(outputs, y, reduction="none")
    else:
        losses = (outputs - y).square().mean(dim=1)
    return losses.mean() if weights is None else (losses * weights).sum() / weights.sum()


@torch.no_grad()
def measured_leakage(z: Tensor, c: Tensor, attribute: Attribute, groups: Tensor | None, *, seed: int = 0) -> float:
    """I(Z;C), or I(Z;C|G), in nats, of rows that were not trained on; unbiased near independence.

    `GaussianMI` on 96 random features, the mean over three bandwidths. Never more than H(C).
    """
    values, present = attribute.encode(c)
    z, values = z[present].double(), values[present].double()
    groups = None if groups is None else groups[present]
    width = max(4, min(96, len(z) // 8))
    found = [
        float(
            GaussianMI(features="random", n_features=width, bandwidth=b, ridge=1e-4, seed=seed + i)(z, values, groups)
        )
        for i, b in enumerate((0.5, 1.0, 2.0))
    ]
    mean = sum(found) / len(found)
    return min(mean, attribute.entropy(c)) if isinstance(attribute, Categorical) else mean


class Fit:
    """A network being trained; what scikit-learn's ``fit`` does once its arguments are tensors.

    Parameters
    ----------
    network : TabularNetwork
    penalty : TabularPenalty, MIPenalty or None
        The latter penalises z alone.
    task : Task
    attribute : Attribute or None
    groups_of : callable or None
        y -> labels within which the leakage is measured under a budget.
    epochs : int or None
        None is 20, or more where 20 passes are fewer than 60 steps.
    mi_weight : float
    max_mi : float or None
        Budget in nats. A fifth of the rows is then held aside, the leakage measured there once an epoch, and the
        weight found by dual ascent on it.
    early_stopping : bool
        Hold ``validation_fraction`` of the rows aside, stop after ``patience`` epochs without a better objective
        there, and keep the best weights.
    """

    def __init__(
        self,
        network: TabularNetwork,
        penalty: TabularPenalty | MIPenalty | None,
        *,
        task: Task,
        attribute: Attribute | None,
        groups_of: Callable[[Tensor], Tensor] | None,
        epochs: int | None,
        batch_size: int,
        learning_rate: float,
        weight_decay: float,
        mi_weight: float,
        max_mi: float | None,
        early_stopping: bool,
        validation_fraction: float,
        patience: int,
        seed: int,
    ) -> None:
        self.network, self.penalty, self.task, self.attribute = network, penalty, task, attribute
        self.groups_of = groups_of
        self.epochs, self.batch_size, self.learning_rate = epochs, batch_size, learning_rate
        self.mi_weight, self.early_stopping, self.patience = mi_weight, early_stopping, patience
        self.validation_fraction, self.weight_decay, self.seed = validation_fraction, weight_decay, seed
        self.budget = None if max_mi is None or penalty is None else DualAscent(max_mi, rate=0.3, memory=0.0)
        if self.budget is not None:
            self.budget.multiplier.fill_(0.1)  # a weight too heavy at first may leave nothing to learn from
        self.leakage: float | None = None
        self.measured: list[float] = []
        self.records: list[EpochRecord] = []

    def run(self, rows: TabularRows, on_epoch: Callable[[EpochRecord], bool]) -> None:
        """Train; ``on_epoch`` is told of each epoch and stops the training by returning True."""
        generator = torch.Generator().manual_seed(self.seed)
        held: TabularRows | None = None
        if self.budget is not None or self.early_stopping:
            fraction = max(self.validation_fraction, 0.2 if self.budget is not None else 0.0)
            order = torch.randperm(len(rows), generator=generator)
            n_held = round(fraction * len(rows))
            if n_held < 2 or len(rows) - n_held < 2:
                raise InputError(f"validation_fraction of {len(rows)} rows leaves too few to train or to validate on")
            held, rows = rows[order[:n_held]], rows[order[n_held:]]
        whole = len(rows) <= self.batch_size
        per_epoch = max(1, len(rows) // self.batch_size)
        epochs = max(20, math.ceil(60 / per_epoch)) if self.epochs is None else self.epochs
        # Small tables are cheap, and in double precision a weight of two is two rows.
        dtype = torch.float64 if whole else torch.float32
        rows = self._cast(rows, dtype)
        held = None if held is None else self._cast(held, dtype)
        self.network.to(dtype).train()
        encoder = self.network.encoder
        if isinstance(encoder, TabularEncoder):
            encoder.whiten(rows.x)
        optimizer = torch.optim.AdamW(self._groups_of_parameters(), lr=self.learning_rate, fused=True)
        try:
            with seeded(self.seed):
                self._epochs(rows, held, optimizer, epochs, per_epoch, whole, generator, on_epoch)
        finally:
            if isinstance(encoder, TabularEncoder):
                encoder.wide.unwhiten()
        # In double precision a prediction does not depend on the batch that it is made in.
        self.network.double().eval()

    def _groups_of_parameters(self) -> list[dict[str, Any]]:
        """Those of a perceptron or of a module are decayed, linear maps are not; one alone learns faster."""
        encoder, rate = self.network.encoder, self.learning_rate
        tabular = isinstance(encoder, TabularEncoder)
        deep: Any = encoder.deep if tabular else encoder
        wide: Any = encoder.wide if tabular else None
        groups = [
            (deep, self.weight_decay, rate),
            (wide, 0.0, _RATE_OF_LINEAR_ENCODER * rate if deep is None else rate),
            (self.network.head, 0.0, rate),
        ]
        return [
            {"params": list(module.parameters()), "weight_decay": decay, "rate": at}
            for module, decay, at in groups
            if module is not None
        ]

    def _epochs(
        self,
        rows: TabularRows,
        held: TabularRows | None,
        optimizer: torch.optim.Optimizer,
        epochs: int,
        per_epoch: int,
        whole: bool,
        generator: torch.Generator,
        on_epoch: Callable[[EpochRecord], bool],
    ) -> None:
        best, best_state, waited = math.inf, None, 0
        total, step = epochs * per_epoch, 0
        floor = 0.0 if self.budget is None else 0.3  # what is still to be moved must be able to move
        last = epochs if self.budget is None else 5 * epochs  # a budget may need longer to settle
        every = torch.arange(len(rows))
        for epoch in range(last):
            started = time.perf_counter()
            order = every if whole else torch.randperm(len(rows), generator=generator)
            loss = hits = 0.0
            for k in range(per_epoch):
                batch = rows if whole else rows[order[k * self.batch_size : (k + 1) * self.batch_size]]
                done = min(1.0, step / total)
                rate = min(1.0, (step + 1) / (0.1 * total + 1)) * 0.5 * (1 + math.cos(math.pi * done))
                for group in optimizer.param_groups:
                    group["lr"] = group["rate"] * max(floor, rate)
                weight = self.mi_weight * min(1.0, done / 0.3)
                weight *= float(self.budget.multiplier) if self.budget else 1.0
                result = self._step(optimizer, batch, weight)
                step += 1
                loss += result.loss / per_epoch
                hits += result.correct / (len(batch) * per_epoch)
            settled = held is not None and self.budget is not None and self._observe(held, epoch, epochs)
            record = EpochRecord(
                epoch=len(self.records) + 1,
                steps=step,
                loss=loss,
                train_accuracy=hits if self.task == "classification" else math.nan,
                mi=result.mi,
                seconds=time.perf_counter() - started,
            )
            self.records.append(record)
            stop = on_epoch(record)
            if held is not None and self.early_stopping:
                value = self._objective(held)
                if value < best - 1e-6:
                    best, waited = value, 0
                    best_state = {k: v.clone() for k, v in self.network.state_dict().items()}
                else:
                    waited += 1
            if stop or settled or (self.early_stopping and waited >= self.patience):
                break
        if best_state is not None:
            self.network.load_state_dict(best_state)

    def _step(self, optimizer: torch.optim.Optimizer, batch: TabularRows, weight: float) -> StepResult:
        network, penalty = self.network, self.penalty if batch.c is not None else None

        def with_outputs(x: Tensor) -> tuple[Tensor, Tensor]:
            z, outputs = network(x)
            return outputs, z

        return train_step(
            with_outputs if isinstance(penalty, TabularPenalty) else network.encoder,
            network.head,
            penalty,  # type: ignore[arg-type]  # what is asked of a penalty, it answers
            optimizer,
            batch.x,
            batch.y,
            batch.c,  # type: ignore[arg-type]  # None goes with no penalty
            task_loss=lambda outputs, y: task_loss(outputs, y, batch.weights, self.task),
            mi_weight=weight,
            max_grad_norm=10.0,
        )

    @torch.no_grad()
    def _observe(self, held: TabularRows, epoch: int, epochs: int) -> bool:
        """Measure the leakage, move the weight; True when the budget is met, or was never needed, after the epochs."""
        assert isinstance(self.budget, DualAscent)
        assert self.attribute is not None
        assert held.c is not None
        self.network.eval()
        z, _ = self.network(held.x)
        self.network.train()
        self.leakage = measured_leakage(z, held.c, self.attribute, self._groups(held), seed=self.seed + epoch)
        self.budget.observe(self.leakage)
        self.measured.append(self.leakage)
        # Less leaks than may, and without a weight that does not change either: the budget binds nothing.
        lately = self.measured[-6:]
        still = len(lately) == 6 and max(lately) - min(lately) < 0.1 * self.budget.max_mi
        weightless = float(self.budget.multiplier) <= self.budget.lowest * 1.01
        inactive = still and weightless and self.leakage < self.budget.max_mi
        near = abs(self.leakage - self.budget.max_mi) <= min(0.005, 0.25 * self.budget.max_mi)
        return epoch + 1 >= epochs and (near or inactive)

    def _groups(self, rows: TabularRows) -> Tensor | None:
        return None if self.groups_of is None else self.groups_of(rows.y)

    @torch.no_grad()
    def _objective(self, held: TabularRows) -> float:
        self.network.eval()
        z, outputs = self.network(held.x)
        value = task_loss(outputs, held.y, held.weights, self.task)
        if self.penalty is not None and held.c is not None:
            self.penalty.eval()
            penalised = (outputs, z) if isinstance(self.penalty, TabularPenalty) else z
            value = value + self.mi_weight * self.penalty(penalised, held.c, held.y)
            self.penalty.train()
        self.network.train()
        return float(value)

    def _cast(self, rows: TabularRows, dtype: torch.dtype) -> TabularRows:
        def to(v: Tensor) -> Tensor:
            return v.to(dtype) if v.is_floating_point() else v

        c = rows.c
        if c is not None and isinstance(self.attribute, Categorical):
            c = c.nan_to_num(-1.0).long()  # labels are read fastest as such; numbers stay in single precision
        return TabularRows(to(rows.x), to(rows.y), c, None if rows.weights is None else to(rows.weights))
