"""`DebiasModule`: debiasing in a PyTorch Lightning Trainer, by the same step as everywhere else.

Run this package only as ``midebias`` or ``python -m midebias``: this file has the name of the package it adapts.
"""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from .arguments import checked
from .checkpoints import read_checkpoint, write_checkpoint
from .data_order import SeededLoader
from .logit_adjustment import LogitAdjustment
from .penalty import MIPenalty
from .protocols import DataError, InputError
from .training_step import (
    Combination,
    ForwardPass,
    StepResult,
    backward_pass,
    forward_pass,
    step_result,
    without_autocast,
)

try:
    import lightning.pytorch as pl
    from lightning.fabric.plugins import CheckpointIO
except ImportError as _error:
    raise ImportError("midebias.lightning needs PyTorch Lightning: pip install 'midebias[lightning]'") from _error

__all__ = ["DebiasModule", "MIMeter", "SafeCheckpoints", "SeededLoader"]

OptimizerFactory = Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer]


class DebiasModule(pl.LightningModule):
    """Encoder, head and penalty as a LightningModule; batches are (x, y, c).

    Training takes the steps of `midebias.training.train_step`, with Lightning's optimisation around them: gradient
    accumulation, clipping, precision, several processes. Mutual information is computed in float32 whatever the
    precision; the penalty's state is in the checkpoint.

    Parameters
    ----------
    encoder : Module
        x -> z, or several representations with z last, as the penalty was built for.
    head : Module
        z -> logits.
    penalty : MIPenalty or None
    learning_rate : float, default 1e-3
    mi_weight : float, default 1.0
    combine : {"added", "balanced"}, default "added"
        See `train_step`.
    adjustment : LogitAdjustment, optional
    task_loss : callable, default cross-entropy
    optimizer : callable, optional
        Parameters -> optimiser; default is Adam at ``learning_rate``.

    Attributes
    ----------
    last_step : StepResult or None
        What the last training step did, on this rank's rows.

    Raises
    ------
    InputError
        An argument that cannot be used; in `setup`, precision '16-mixed' with a penalty.

    Notes
    -----
    With ``accumulate_grad_batches`` the information is that of each single batch: estimates do not add up to that of
    the joined batches, so prefer one big batch where it fits. Logged: ``train_loss``, ``train_accuracy``, ``mi``
    (nats), and ``val_loss`` and ``val_accuracy`` on validation data.

    Examples
    --------
    >>> import torch
    >>> from midebias import MIPenalty
    >>> from midebias.attributes import Categorical
    >>> from midebias.lightning import DebiasModule
    >>> module = DebiasModule(torch.nn.Linear(20, 8), torch.nn.Linear(8, 3), MIPenalty(8, Categorical(2)))
    >>> module(torch.zeros(5, 20)).shape
    torch.Size([5, 3])
    """

    @checked
    def __init__(
        self,
        encoder: nn.Module,
        head: nn.Module,
        penalty: MIPenalty | None,
        *,
        learning_rate: float = 1e-3,
        mi_weight: float = 1.0,
        combine: Combination = "added",
        adjustment: LogitAdjustment | None = None,
        task_loss: Callable[[Tensor, Tensor], Tensor] = nn.functional.cross_entropy,
        optimizer: OptimizerFactory | None = None,
    ) -> None:
        super().__init__()
        if combine not in ("added", "balanced"):
            raise InputError(f"combine must be 'added' or 'balanced', got {combine!r}")
        if not learning_rate > 0:
            raise InputError(f"learning_rate must be positive, got {learning_rate}")
        if not 0 <= mi_weight < math.inf:
            raise InputError(f"mi_weight must be at least 0 and finite, got {mi_weight}")
        self.encoder, self.head, self.penalty, self.adjustment = encoder, head, penalty, adjustment
        self.learning_rate, self.mi_weight, self.combine = learning_rate, mi_weight, combine
        self._task_loss, self._make_optimizer = task_loss, optimizer
        self._passed: tuple[ForwardPass, Tensor, Tensor] | None = None
        self.last_step: StepResult | None = None
        # The penalty learns by itself, on the pairs of all ranks: DDP leaves it alone.
        parts = [(n, m) for n, m in (("penalty", penalty), ("adjustment", adjustment)) if m is not None]
        self._ddp_params_and_buffers_to_ignore = [
            f"{name}.{key}"
            for name, module in parts
            for key, _ in (*module.named_parameters(), *module.named_buffers())
        ]

    def forward(self, x: Tensor) -> Tensor:
        """Logits."""
        z = self.encoder(x)
        logits: Tensor = self.head(z if isinstance(z, Tensor) else z[-1])
        return logits

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Of encoder and head."""
        parameters = [p for p in (*self.encoder.parameters(), *self.head.parameters()) if p.requires_grad]
        if self._make_optimizer is not None:
            return self._make_optimizer(parameters)
        return torch.optim.Adam(parameters, lr=self.learning_rate)

    def setup(self, stage: str) -> None:
        """Refuse what cannot be right."""
        if self._trainer is not None and str(self.trainer.precision) == "16-mixed" and self.penalty is not None:
            raise InputError(
                "precision '16-mixed' scales the loss, and with it the penalty's balance; use 'bf16-mixed'"
            )

    def training_step(self, batch: tuple[Tensor, Tensor, Tensor], batch_index: int) -> Tensor:
        """The task's loss; the penalty joins it on the way back, in `backward`."""
        x, y, c = batch
        passed = forward_pass(self.encoder, self.head, x, y, c, task_loss=self._task_loss, adjustment=self.adjustment)
        self._passed = passed, y, c
        return passed.task_loss

    def backward(self, loss: Tensor, *args: Any, **kwargs: Any) -> None:
        """Task and penalty in one pass; called by the Trainer with the loss of `training_step`."""
        assert self._passed is not None
        (passed, y, c), self._passed = self._passed, None
        with without_autocast(loss.device):
            backward_pass(
                passed, self.penalty, y, c, combine=self.combine, mi_weight=self.mi_weight,
                scale=1 / self.trainer.accumulate_grad_batches,
            )  # fmt: skip
        result = step_result(passed, self.penalty, y, combine=self.combine, mi_weight=self.mi_weight)
        self.last_step = result
        self.log("train_loss", result.loss, batch_size=len(y))
        self.log("train_accuracy", result.correct / max(1, len(y)), batch_size=len(y))
        if self.penalty is not None:
            self.log("mi", sum(result.mi), prog_bar=True, batch_size=len(y))

    def validation_step(self, batch: tuple[Tensor, Tensor, Tensor], batch_index: int) -> None:
        """Loss and accuracy."""
        self._evaluate(batch, "val")

    def test_step(self, batch: tuple[Tensor, Tensor, Tensor], batch_index: int) -> None:
        """As in validation, under ``test_``."""
        self._evaluate(batch, "test")

    def predict_step(self, batch: Any, batch_index: int) -> Tensor:
        """Logits; a batch may be x alone, or (x, ...)."""
        return self(batch if isinstance(batch, Tensor) else batch[0])

    def _evaluate(self, batch: tuple[Tensor, Tensor, Tensor], name: str) -> None:
        x, y, c = batch
        passed = forward_pass(self.encoder, self.head, x, y, c, task_loss=self._task_loss)
        self.log(f"{name}_loss", passed.task_loss, prog_bar=True, batch_size=len(y), sync_dist=True)
        if passed.logits.ndim == 2 and not y.is_floating_point():
            accuracy = (passed.logits.argmax(1) == y).float().mean()
            self.log(f"{name}_accuracy", accuracy, prog_bar=True, batch_size=len(y), sync_dist=True)


class MIMeter(pl.Callback):
    """Logs the penalty's weights and its health, and raises alarms in plain words, each once.

    - the penalty is dead: no estimate was descended on for ``patience`` steps;
    - the critic lags: most of those were at or below zero from a trained critic;
    - the batch is too small: most of those had too few samples.

    Parameters
    ----------
    patience : int, default 100
        Steps in a row without an estimate to descend on.
    every : int, default 50
        Steps between entries in the log.

    Attributes
    ----------
    alarms : list of str

    Raises
    ------
    InputError
        When patience or every is not at least 1.

    Examples
    --------
    >>> from midebias.lightning import MIMeter
    >>> meter = MIMeter(patience=50)    # Trainer(callbacks=[meter])
    >>> meter.alarms
    []
    """

    @checked
    def __init__(self, *, patience: int = 100, every: int = 50) -> None:
        if patience < 1 or every < 1:
            raise InputError(f"patience and every must be at least 1, got {patience} and {every}")
        self.patience, self.every = patience, every
        self.alarms: list[str] = []
        self._before: dict[int, dict[str, int]] = {}

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Look at the penalty's health."""
        penalty = getattr(pl_module, "penalty", None)
        if not isinstance(penalty, MIPenalty):
            return
        for k, health in enumerate(penalty.health):
            if health.streak == 0:
                self._before[k] = vars(health).copy()
            if health.streak == self.patience:
                self._alarm(k, penalty)
        if trainer.global_step % self.every == 0:
            for k, (mi, health) in enumerate(zip(penalty.estimates, penalty.health, strict=True)):
                total = max(1, health.used + health.negative + health.untrained + health.not_finite + health.too_few)
                pl_module.log(f"mi_{k}", mi, batch_size=1)
                pl_module.log(f"mi_used_{k}", health.used / total, batch_size=1)
                pl_module.log(f"mi_multiplier_{k}", penalty.multipliers[k], batch_size=1)

    def state_dict(self) -> dict[str, Any]:
        """Alarms so far, and what they go by: a resumed fit raises none of them again."""
        return {"alarms": list(self.alarms), "before": self._before}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from what `state_dict` saved."""
        self.alarms, self._before = list(state_dict["alarms"]), dict(state_dict["before"])

    def _alarm(self, k: int, penalty: MIPenalty) -> None:
        now, before = vars(penalty.health[k]), self._before.get(k, {})
        since = {r: now[r] - before.get(r, 0) for r in ("negative", "untrained", "not_finite", "too_few")}
        reason = max(since, key=lambda r: since[r])
        closed = bool(getattr(penalty.estimators[k], "closed_form", False))
        said = {
            "negative": "nothing is left that it sees"
            if closed
            else "the critic lags behind: give it more critic_steps",
            "untrained": "the critic is not trained: critic_steps are too few, or critic_warmup too long",
            "not_finite": "estimates are not finite: lower the learning rate",
            "too_few": "the batch is too small: use a bigger one, or fewer groups",
        }[reason]
        alarm = f"representation {k}: the penalty has had no effect for {self.patience} steps; {said}"
        if alarm not in self.alarms:
            self.alarms.append(alarm)
            if reason != "negative" or not closed:
                warnings.warn(alarm, RuntimeWarning, stacklevel=2)


class SafeCheckpoints(CheckpointIO):
    """Lightning's checkpoints without pickle, each written whole or not at all.

    ``Trainer(plugins=[SafeCheckpoints()])``.

    A full disk is a `DataError` and leaves the checkpoint before it as it was; a truncated file is said to be one.

    Raises
    ------
    DataError
        A checkpoint that cannot be written or read; the message names it.

    Examples
    --------
    >>> import tempfile, torch
    >>> from midebias.lightning import SafeCheckpoints
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     SafeCheckpoints().save_checkpoint({"epoch": 3, "w": torch.ones(2)}, folder + "/last.ckpt")
    ...     SafeCheckpoints().load_checkpoint(folder + "/last.ckpt")["epoch"]
    3
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """See `write_checkpoint`."""
        write_checkpoint(os.fspath(path), _plain(checkpoint))

    def load_checkpoint(self, path: Any, map_location: Any = None, weights_only: bool | None = None) -> dict[str, Any]:
        """See `read_checkpoint`."""
        state = read_checkpoint(os.fspath(path))
        if not isinstance(state, dict):
            raise DataError(f"{path} is no checkpoint of a Trainer")
        return state

    def remove_checkpoint(self, path: Any) -> None:
        """Remove a file that was written."""
        Path(path).unlink(missing_ok=True)


def _plain(value: Any) -> Any:
    """Paths, enumerations and other relatives of plain types as those types."""
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_plain(v) for v in value) if type(value) in (list, tuple) else [_plain(v) for v in value]
    return value
