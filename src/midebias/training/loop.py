"""The training loop: batches in a seeded order, a learning rate schedule, one method's step after another."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor

from ..errors import InputError
from .data import Batch, TrainingData
from .method import Method
from .records import EpochRecord, TracePoint
from .step import StepResult

__all__ = ["TrainingRun"]


class TrainingRun:
    """A method trained on a data set, advanced a few steps or an epoch at a time.

    Parameters
    ----------
    method : Method
    data : TrainingData
        `TensorData`, or anything that gives batches by their rows. Where it has a method ``expect(rows)``, that is told
        which rows come next, so that they can be read meanwhile.
    epochs : int
    batch_size : int, optional
        Default is the method's own.
    seed : int, default 0
        Seeds the order of the data; no global generator is used.
    max_steps : int, optional
        Stop after so many steps.
    warmup : int, default 30
        Steps over which the learning rate rises, for methods with a cosine schedule.

    Attributes
    ----------
    records : list of EpochRecord
    trace : list of TracePoint
        About fifty over the whole run, one of them at the end of each epoch.
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
    ) -> None:
        if epochs < 1:
            raise InputError(f"epochs must be at least 1, got {epochs}")
        self.batch_size = method.batch_size if batch_size is None else batch_size
        if not 2 <= self.batch_size <= len(data):
            raise InputError(f"batch_size must lie between 2 and the {len(data)} samples, got {self.batch_size}")
        self.method, self.data, self.warmup = method, data, warmup
        self.steps_per_epoch = len(data) // self.batch_size
        self.total_steps = epochs * self.steps_per_epoch
        self.last_step = min(self.total_steps, max_steps or self.total_steps)
        self.done_steps = 0
        self.seconds = 0.0
        self.records: list[EpochRecord] = []
        self.trace: list[TracePoint] = []
        self._untraced: list[StepResult] = []
        self._generator = torch.Generator().manual_seed(seed)
        self._draws = _Draws(data, self.steps_per_epoch * self.batch_size, self.batch_size, seed + 7919)
        self._order = torch.empty(0, dtype=torch.long)
        self._window: list[tuple[float, float, tuple[float, ...]]] = []
        self._epoch_started, self._started = 0.0, 0.0
        self._prepared = False
        self._weights: Tensor | None = None

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
        """Do up to ``steps`` steps. Time spent in them adds to ``seconds``; an ended epoch adds to ``records``."""
        self.method.model.train()
        for _ in range(min(steps, self.last_step - self.done_steps)):
            batch = self.begin_step()
            self.end_step(self.method.step(batch, self._draws.batch, self.learning_rate))
            if on_step is not None:
                on_step()

    def begin_step(self, rank: int = 0, world_size: int = 1) -> Batch:
        """The next step's batch, or this rank's piece of it: for those who take the step themselves.

        Pieces are contiguous, rank after rank. All ranks draw the same order.
        """
        self.prepare()
        self._started = time.perf_counter()
        at = self.done_steps % self.steps_per_epoch
        if at == 0:
            self._begin_epoch()
        batch = self.data.batch(self._rows(at).tensor_split(world_size)[rank])
        expect = getattr(self.data, "expect", None)
        if expect is not None and at + 1 < self.steps_per_epoch:
            expect(self._rows(at + 1).tensor_split(world_size)[rank])
        return batch

    def end_step(self, result: StepResult) -> None:
        """Take note of what the step on the batch of `begin_step` did."""
        self.done_steps += 1
        self.seconds += time.perf_counter() - self._started
        self._window.append((result.loss, result.correct / self.batch_size, result.mi))
        self._untraced.append(result)
        ended = self.done_steps % self.steps_per_epoch == 0 or self.finished
        if ended or self.done_steps % max(1, self.total_steps // 50) == 0:
            self._end_window()
        if ended:
            self._end_epoch()

    def state_dict(self) -> dict[str, Any]:
        """All that a run needs to go on, between two calls of `advance` or in its ``on_step``."""
        return {**self.progress(), "method": self.method.state_dict()}

    def progress(self) -> dict[str, Any]:
        """The state without the method's, where somebody else keeps that."""
        return {
            "steps": (self.batch_size, self.steps_per_epoch, self.total_steps),
            "done_steps": self.done_steps,
            "seconds": self.seconds,
            "records": [asdict(r) for r in self.records],
            "trace": [asdict(t) for t in self.trace],
            "untraced": [asdict(r) for r in self._untraced],
            "window": list(self._window),
            "epoch_started": self._epoch_started,
            "order": self._order,
            "generator": self._generator.get_state(),
            "draws": self._draws.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state_dict` or `progress` saved, in a run made with the same arguments on the same data.

        Raises
        ------
        InputError
            When the state is that of another method, network, data set or length.
        """
        mine = (self.batch_size, self.steps_per_epoch, self.total_steps)
        if tuple(state["steps"]) != mine:
            raise InputError(f"the state is that of another run: batch size and steps {state['steps']}, not {mine}")
        self.prepare()
        if "method" in state:
            self.method.load_state_dict(state["method"])
        self.done_steps, self.seconds = int(state["done_steps"]), float(state["seconds"])
        self.records = [EpochRecord(**r) for r in state["records"]]
        self.trace = [TracePoint(**t) for t in state["trace"]]
        self._untraced = [StepResult(**r) for r in state["untraced"]]
        self._window = list(state["window"])
        self._epoch_started, self._order = float(state["epoch_started"]), state["order"]
        self._generator.set_state(state["generator"])
        self._draws.load_state_dict(state["draws"])

    def prepare(self) -> None:
        """Show the method the training set, once: done by the first step, and before a state is loaded.

        To be called by those who load a method's state themselves, before they do.
        """
        if not self._prepared:
            self._prepared, started = True, time.perf_counter()
            self.method.prepare(self.data.levels, self.data.c, self.data.y)
            self._weights = self.method.sampling_weights(self.data.levels, self.data.y)
            self.seconds += time.perf_counter() - started

    def _rows(self, at: int) -> Tensor:
        return self._order[at * self.batch_size : (at + 1) * self.batch_size]

    def _begin_epoch(self) -> None:
        self._epoch_started = self.seconds + time.perf_counter() - self._started
        self._window = []
        self._order = self._drawn()
        order = torch.randperm(len(self.data), generator=self._generator)
        self.method.begin_epoch(
            self.data.batch(rows) for rows in order[: self.steps_per_epoch * self.batch_size].split(self.batch_size)
        )

    def _drawn(self) -> Tensor:
        n = len(self.data)
        if self._weights is None:
            return torch.randperm(n, generator=self._generator)
        return torch.multinomial(self._weights.cpu().double(), n, replacement=True, generator=self._generator)

    def _end_window(self) -> None:
        results, self._untraced = self._untraced, []
        n = len(results)
        self.trace.append(
            TracePoint(
                step=self.done_steps,
                seconds=self.seconds,
                loss=sum(r.loss for r in results) / n,
                train_accuracy=sum(r.correct for r in results) / (n * self.batch_size),
                mi=_means([r.mi for r in results]),
                weights=_means([r.weights for r in results]),
            )
        )

    def _end_epoch(self) -> None:
        tail = self._window[-max(1, len(self._window) // 10) :]
        self.records.append(
            EpochRecord(
                epoch=len(self.records) + 1,
                steps=self.done_steps,
                loss=sum(t[0] for t in tail) / len(tail),
                train_accuracy=sum(t[1] for t in tail) / len(tail),
                mi=_means([t[2] for t in tail]),
                seconds=self.seconds - self._epoch_started,
            )
        )


class _Draws:
    """Further training batches, without end, in a seeded order of their own."""

    def __init__(self, data: TrainingData, rows_per_pass: int, batch_size: int, seed: int) -> None:
        self._data, self._rows_per_pass, self._batch_size = data, rows_per_pass, batch_size
        self._generator = torch.Generator().manual_seed(seed)
        self._order, self._at = torch.empty(0, dtype=torch.long), 0

    def batch(self) -> Batch:
        """The next one."""
        if self._at >= len(self._order):
            self._order = torch.randperm(len(self._data), generator=self._generator)[: self._rows_per_pass]
            self._at = 0
        rows = self._order[self._at : self._at + self._batch_size]
        self._at += self._batch_size
        return self._data.batch(rows)

    def state_dict(self) -> dict[str, Any]:
        return {"generator": self._generator.get_state(), "order": self._order, "at": self._at}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._generator.set_state(state["generator"])
        self._order, self._at = state["order"], int(state["at"])


def _means(values: Sequence[tuple[float, ...]]) -> tuple[float, ...]:
    return tuple(sum(column) / len(values) for column in zip(*values, strict=True))
