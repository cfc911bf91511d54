"""The training loop: batches in a seeded order, a learning rate schedule, one method's step after another."""

import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from torch import Tensor

from ..errors import InputError
from ..randomness import seeded
from .batch_order import EndlessBatches, EpochOrder
from .data import Batch, TrainingData
from .method import Method
from .records import EpochRecord, TracePoint, TrainingRecorder
from .step import StepResult


class TrainingRun:
    """A method trained on a data set, advanced a few steps or an epoch at a time.

    Parameters
    ----------
    method : Method
    data : TrainingData
    epochs : int
    batch_size : int, default the method's own
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
        An argument that cannot be used; a state that is that of another method, network, data set or length.
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
        if epochs < 1:
            raise InputError(f"epochs must be at least 1, got {epochs}")
        self.batch_size = method.batch_size if batch_size is None else batch_size
        if not 2 <= self.batch_size <= len(data):
            raise InputError(f"batch_size must lie between 2 and the {len(data)} samples, got {self.batch_size}")
        self.method, self.data, self.warmup, self._augment, self._seed = method, data, warmup, augment, seed
        self.steps_per_epoch = len(data) // self.batch_size
        self.total_steps = epochs * self.steps_per_epoch
        self.last_step = min(self.total_steps, max_steps or self.total_steps)
        self.done_steps, self.seconds = 0, 0.0
        self._lengths = self.batch_size, self.steps_per_epoch, self.total_steps
        self._recorder = TrainingRecorder(self.batch_size)
        self._order = EpochOrder(len(data), self.batch_size, seed)
        self._further = EndlessBatches(data, self.steps_per_epoch * self.batch_size, self.batch_size, seed + 7919)
        self._prepared, self._epoch_started, self._started = False, 0.0, 0.0
        self._weights: Tensor | None = None
        self._read = data.open_reader()
        self._batches: Iterator[Batch] | None = None  # what is left of the epoch

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

    def advance(self, steps: int, *, on_step: Callable[[], None] | None = None) -> None:
        """Do ``steps`` steps, fewer where the run ends, and call ``on_step`` after each."""
        self.method.model.train()
        for _ in range(min(steps, self.last_step - self.done_steps)):
            batch = self.begin_step()
            self.end_step(self.method.step(batch, self._further.draw, self.learning_rate))
            if on_step is not None:
                on_step()

    def begin_step(self, rank: int = 0, world_size: int = 1) -> Batch:
        """Draw the next batch, or the piece of ``rank`` among ``world_size``, for a caller that takes the step."""
        self.prepare()
        self._started = time.perf_counter()
        at = self.done_steps % self.steps_per_epoch
        if at == 0:
            self._epoch_started = self.seconds + time.perf_counter() - self._started
            self._order.draw(self._weights)
            rows = self._order.permute()[: self.steps_per_epoch * self.batch_size]
            self.method.begin_epoch(self._read(rows.split(self.batch_size)))
            self._batches = None
        if self._batches is None:
            left = range(at, self.steps_per_epoch)
            self._batches = self._read([self._order[i].tensor_split(world_size)[rank] for i in left])
        batch = next(self._batches)
        if self._augment is not None:
            with seeded((self._seed * 1_000_003 + self.done_steps) * world_size + rank):
                batch = replace(batch, x=self._augment(batch.x))
        return batch

    def end_step(self, result: StepResult) -> None:
        """Record the ``result`` of the step on the batch of `begin_step`."""
        self.done_steps += 1
        self.seconds += time.perf_counter() - self._started
        self._recorder.add(result)
        ended = self.done_steps % self.steps_per_epoch == 0 or self.finished
        if ended or self.done_steps % max(1, self.total_steps // 50) == 0:
            self._recorder.end_point(self.done_steps, self.seconds)
        if ended:
            self._recorder.end_epoch(self.done_steps, self.seconds - self._epoch_started)

    def state_dict(self, *, with_method: bool = True) -> dict[str, Any]:
        """Collect all that a run needs to go on, by default ``with_method``, its method's state."""
        state = {
            "steps": self._lengths, "done_steps": self.done_steps, "seconds": self.seconds,
            "epoch_started": self._epoch_started, "recorder": self._recorder.state_dict(),
            "order": self._order.state_dict(), "further": self._further.state_dict(),
        }  # fmt: skip
        return state | {"method": self.method.state_dict()} if with_method else state

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from the ``state`` that `state_dict` saved, in a run made with the same arguments on the same data."""
        if (lengths := tuple(state["steps"])) != self._lengths:
            raise InputError(f"the state is that of another run: batch size and steps {lengths}, not {self._lengths}")
        self.prepare()
        if "method" in state:
            self.method.load_state_dict(state["method"])
        self.done_steps, self.seconds = int(state["done_steps"]), float(state["seconds"])
        self._epoch_started = float(state["epoch_started"])
        self._recorder.load_state_dict(state["recorder"])
        self._order.load_state_dict(state["order"])
        self._batches = None
        self._further.load_state_dict(state["further"])

    def prepare(self) -> None:
        """Show the method the training set, once: before the first step, and before a state of the method is loaded."""
        if not self._prepared:
            missing = int((self.data.levels < 0).any(dim=1).sum())
            if missing and not self.method.masks_missing:
                raise InputError(
                    f"method {self.method.name} needs the attribute of every row, which {missing:,} of "
                    f"{len(self.data):,} miss: leave those out, or take plain, gray or mib"
                )
            self._prepared, started = True, time.perf_counter()
            self.method.prepare(self.data.levels, self.data.c, self.data.y)
            self._weights = self.method.sampling_weights(self.data.levels, self.data.y)
            self.seconds += time.perf_counter() - started
