"""`MethodModule`: a method and its training set as Lightning's Trainer takes them.

Run this package only as ``midebias`` or ``python -m midebias``: this folder has the name of the package it adapts.
"""

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import lightning.pytorch as pl
import torch
from torch import Tensor, nn

from ..errors import InputError
from ..penalty import MIPenalty
from ..randomness import seeded
from ..training.batch_order import BatchOrder
from ..training.data import Batch, TrainingData
from ..training.logit_adjustment import LogitAdjustment
from ..training.method import Method
from ..training.records import EpochRecord, TracePoint, TrainingRecorder
from .trainer import fit, make_trainer


class MethodModule(pl.LightningModule):
    """A method trained on a data set: batches in a seeded order, a learning rate schedule, one step after another.

    The optimisation is manual: a step is the method's own, which knows its optimisers.

    Parameters
    ----------
    method : Method
    data : TrainingData
    epochs : int
    batch_size : int, default the method's own
        Of all processes together.
    seed : int, default 0
        Of the order of the data; no global generator is used.
    max_steps : int, optional
        Stop after so many steps.
    warmup : int, default 30
        Steps over which the learning rate rises, for methods with a cosine schedule.
    augment : callable, optional
        Changes the images of a batch, by draws from torch's generator, which is seeded for each step.

    Attributes
    ----------
    done_steps, last_step, total_steps, steps_per_epoch : int
        Steps that are done, after which the run stops, of all epochs, and of one.
    seconds : float
        Of training so far.

    Raises
    ------
    InputError
        An argument that cannot be used; rows without the attribute, of a method that needs it; a state that is that of
        another method, network, data set or length.

    Examples
    --------
    >>> import torch
    >>> from midebias.methods import Plain
    >>> from midebias.networks import GlobalPoolClassifier
    >>> from midebias.training import TensorData
    >>> y, c = torch.arange(64) % 10, torch.rand(64, 3)
    >>> run = MethodModule(
    ...     Plain(GlobalPoolClassifier()), TensorData(torch.rand(64, 3, 8, 8), y, c.long(), c), epochs=2, batch_size=32
    ... )
    >>> run.advance()
    >>> run.done_steps
    4
    """

    def __init__(
        self,
        method: Method,
        data: TrainingData,
        *,
        epochs: int,
        batch_size: int | None = None,
        seed: int = 0,
        max_steps: int | None = None,
        warmup: int = 30,
        augment: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        super().__init__()
        if epochs < 1:
            raise InputError(f"epochs must be at least 1, got {epochs}")
        self.batch_size = method.batch_size if batch_size is None else batch_size
        if not 2 <= self.batch_size <= len(data):
            raise InputError(f"batch_size must lie between 2 and the {len(data)} samples, got {self.batch_size}")
        if not method.masks_missing and (missing := int((data.levels < 0).any(dim=1).sum())):
            raise InputError(
                f"method {method.name} needs the attribute of every row, which {missing:,} of "
                f"{len(data):,} miss: leave those out, or take plain, gray or mib"
            )
        self.automatic_optimization = False
        self.method, self.data, self.warmup, self._augment, self._seed = method, data, warmup, augment, seed
        # A penalty and an adjustment come along to the device by themselves, with their optimisers.
        parts = [part for part in vars(method).values() if isinstance(part, nn.Module)]
        self.networks = nn.ModuleList(part for part in parts if not isinstance(part, MIPenalty | LogitAdjustment))
        self.steps_per_epoch = len(data) // self.batch_size
        self.total_steps = epochs * self.steps_per_epoch
        self.last_step = min(self.total_steps, max_steps or self.total_steps)
        self.done_steps, self.seconds, self._epoch_started, self._clock = 0, 0.0, 0.0, 0.0
        self._lengths = self.batch_size, self.steps_per_epoch, self.total_steps
        self._recorder = TrainingRecorder(self.batch_size)
        self._order = BatchOrder(data, self.batch_size, seed)
        self._further = BatchOrder(data, self.batch_size, seed + 7919)
        self._weights: Tensor | None = None
        self._prepared = False

    @property
    def penalty(self) -> MIPenalty | None:
        """The method's, which a `MIMeter` watches."""
        return self.method.penalty

    @property
    def records(self) -> list[EpochRecord]:
        """One per epoch."""
        return self._recorder.epochs

    @property
    def trace(self) -> list[TracePoint]:
        """About fifty points over the whole run, one of them at the end of each epoch."""
        return self._recorder.trace

    @property
    def finished(self) -> bool:
        """Whether all steps are done."""
        return self.done_steps >= self.last_step

    @property
    def learning_rate(self) -> float:
        """Of the next step."""
        if not self.method.cosine:
            return self.method.lr
        rise = min(1.0, (self.done_steps + 1) / self.warmup)
        return self.method.lr * rise * 0.5 * (1 + math.cos(math.pi * self.done_steps / self.total_steps))

    def advance(
        self, steps: int | None = None, *, trainer: pl.Trainer | None = None, callbacks: Sequence[pl.Callback] = ()
    ) -> None:
        """Take steps of training.

        Parameters
        ----------
        steps : int, default all that are left
        trainer : Trainer, default one of a CPU
            A new one, of one epoch, without a logger.
        callbacks : sequence of Callback, default ()
        """
        left = self.last_step - self.done_steps
        steps = left if steps is None else min(steps, left)
        if steps > 0:
            self._prepare()
            fit(trainer or make_trainer(accelerator="cpu"), self, _Steps(self, steps), callbacks)

    def configure_optimizers(self) -> Any:
        """All of the method's, whose state the Trainer moves to its device."""
        return [value for value in vars(self.method).values() if isinstance(value, torch.optim.Optimizer)]

    def on_fit_start(self) -> None:
        """Learn of the device and the other processes."""
        self.train()
        self.method.move_state(self.device)
        self._recorder.processes = self.trainer.world_size
        if self.trainer.world_size > 1:
            self._recorder.total = lambda numbers: self.trainer.strategy.reduce(numbers, reduce_op="sum")

    def on_train_start(self) -> None:
        """Start the clock."""
        self._clock = time.perf_counter()

    def draw_batches(self, steps: int) -> Iterator[tuple[Tensor, ...]]:
        """Draw the next ``steps`` batches, of each the part of this process: the columns of `Batch`."""
        rank, processes = self._order.piece = self.trainer.global_rank, self.trainer.world_size
        for step in range(self.done_steps, self.done_steps + steps):
            if self._order.ended:
                self._epoch_started = self.seconds
                self._order.begin_epoch(self._weights)
                self.method.begin_epoch(map(self._move, self._order.draw_aside()))
            batch = self._order.draw()
            if self._augment is not None:
                with seeded((self._seed * 1_000_003 + step) * processes + rank):
                    batch = replace(batch, x=self._augment(batch.x))
            yield batch.x, batch.y, batch.levels, batch.c

    def training_step(self, batch: Sequence[Tensor], batch_idx: int) -> None:
        """Take the method's step, and record it."""
        if (processes := self.trainer.world_size) > 1:
            self.method.share = len(batch[0]) * processes / self.batch_size
            self.trainer.strategy.pre_backward(batch[0])  # gradients of the next backward pass are averaged
        self._recorder.add(self.method.step(Batch(*batch), self._draw_further, self.learning_rate))
        self.done_steps += 1
        ended = self.done_steps % self.steps_per_epoch == 0 or self.finished
        due = ended or self.done_steps % max(1, self.total_steps // 50) == 0
        if due:
            self._recorder.read()
        self.seconds += time.perf_counter() - self._clock
        if due:
            self._recorder.end_point(self.done_steps, self.seconds)
        if ended:
            self._recorder.end_epoch(self.done_steps, self.seconds - self._epoch_started)

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Start the clock again after what callbacks did: tests and checkpoints."""
        self._clock = time.perf_counter()

    def collect_state(self) -> dict[str, Any]:
        """Collect all that a run needs to go on; in all processes together."""
        return {
            "steps": self._lengths, "done_steps": self.done_steps, "seconds": self.seconds,
            "epoch_started": self._epoch_started, "recorder": self._recorder.state_dict(),
            "order": self._order.state_dict(), "further": self._further.state_dict(),
            "method": self.method.state_dict(),
        }  # fmt: skip

    def restore_state(self, state: Mapping[str, Any]) -> None:
        """Go on from the ``state`` of `collect_state`, in a run made with the same arguments on the same data."""
        if (lengths := tuple(state["steps"])) != self._lengths:
            raise InputError(f"the state is that of another run: batch size and steps {lengths}, not {self._lengths}")
        self._prepare()
        self.method.load_state_dict(state["method"])
        self.done_steps, self.seconds = int(state["done_steps"]), float(state["seconds"])
        self._epoch_started = float(state["epoch_started"])
        self._recorder.load_state_dict(state["recorder"])
        self._order.load_state_dict(state["order"])
        self._further.load_state_dict(state["further"])

    def _prepare(self) -> None:
        """Show the method the training set, once: before the first step, and before a state of the method is loaded."""
        if not self._prepared:
            self._prepared, started = True, time.perf_counter()
            self.method.prepare(self.data.levels, self.data.c, self.data.y)
            self._weights = self.method.sampling_weights(self.data.levels, self.data.y)
            self.seconds += time.perf_counter() - started

    def _draw_further(self) -> Batch:
        return self._move(self._further.draw())

    def _move(self, batch: Batch) -> Batch:
        return Batch(*(column.to(self.device) for column in (batch.x, batch.y, batch.levels, batch.c)))


class _Steps:
    """The next so many batches of a run, as a loader."""

    def __init__(self, run: MethodModule, steps: int) -> None:
        self._run, self._steps = run, steps

    def __len__(self) -> int:
        return self._steps

    def __iter__(self) -> Iterator[tuple[Tensor, ...]]:
        return self._run.draw_batches(self._steps)
