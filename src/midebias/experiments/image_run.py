"""One method on one image data set, from data to a row of the table."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from ..errors import DataError, InputError
from ..training.checkpoints import read_checkpoint, write_checkpoint
from ..training.loop import TrainingRun
from ..training.method import Precision
from .augmentation import Augmentation, build_augmentation
from .image_data import ImageData
from .image_methods import build_for_images
from .image_outcome import Outcome, summarize_run, take_test
from .process import Interruptions


def _ignore(*_: Any) -> None:
    pass


@dataclass(frozen=True)
class RunSettings:
    """How a method is trained on images."""

    epochs: int
    seed: int = 0
    network: str = "paper"
    weights: str | None = None  # of the network: a file, or `PRETRAINED`
    augment: Augmentation = "none"
    batch_size: int | None = None  # default is the method's own
    max_steps: int | None = None
    evaluate_every: int | None = None  # steps between tests, which choose nothing; default is once an epoch
    options: Mapping[str, Any] = field(default_factory=dict)  # of the method
    on_step: Callable[[], None] = _ignore
    on_evaluation: Callable[[Mapping[str, Any]], None] = _ignore  # called with each entry of the history
    on_alarm: Callable[[str], None] = _ignore  # called with those of a `MIMeter`
    checkpoint: Path | None = None  # a run goes on from it, and ends with the weights of one that was never stopped
    checkpoint_every: float = 30.0  # seconds; 0: after every step. On Ctrl-C, too, before KeyboardInterrupt is raised

    def prepare_run(self, name: str, data: ImageData, precision: Precision | None = None) -> TrainingRun:
        """Build the method, a key of `METHODS`, and the run that will train it."""
        resumed = self.checkpoint is not None and self.checkpoint.exists()  # with the weights in it
        method = build_for_images(
            name, data, seed=self.seed, network=self.network, weights=None if resumed else self.weights,
            precision=precision, options=self.options,
        )  # fmt: skip
        return TrainingRun(
            method, data.train, epochs=self.epochs, batch_size=self.batch_size, seed=self.seed,
            max_steps=self.max_steps, augment=build_augmentation(self.augment, data.train.image_shape[1:]),
        )  # fmt: skip


def run_method(name: str, data: ImageData, **settings: Any) -> Outcome:
    """Train by `RunSettings`, test without the bias, and probe what is left of the attribute.

    ``row["mi"]`` is the probe's held-out lower bound of I(Z;C) in nats on test images, where attribute and label are
    independent; ``row["conflicting_accuracy"]`` is over test images whose attribute is another class's, where attribute
    and label have the same names; seconds are those of training.
    """
    given = RunSettings(**settings)
    run, history = given.prepare_run(name, data), list[dict[str, Any]]()
    kept = run if given.checkpoint is None else RunCheckpoint(given.checkpoint, run, history, given.checkpoint_every)
    every = given.evaluate_every or run.steps_per_epoch
    answers: tuple[Tensor, Tensor] | None = None
    while not run.finished or not history or history[-1]["step"] < run.done_steps:
        due = (history[-1]["step"] if history else 0) + every
        kept.advance(due - run.done_steps, on_step=given.on_step)
        entry, answers = take_test(run, data)
        history.append(entry)
        given.on_evaluation(entry)
    return summarize_run(run, data, history, answers, network=given.network, seed=given.seed)


class RunCheckpoint:
    """Reads a run's state and ``history`` where they are there, and writes them every few seconds, and on Ctrl-C."""

    def __init__(self, path: Path, run: TrainingRun, history: list[dict[str, Any]], every: float) -> None:
        self._path, self._run, self._history, self._every = path, run, history, every
        if path.exists():
            state = read_checkpoint(path)
            try:
                run.load_state_dict(state["run"])
                history += state["history"]
            except (KeyError, TypeError) as error:
                raise DataError(f"{path} is no checkpoint of a training run") from error
            except InputError as error:
                raise DataError(f"{path} does not fit this run: {error}") from error
        self._saved = time.monotonic()

    def advance(self, steps: int, *, on_step: Callable[[], None]) -> None:
        """Do as `TrainingRun.advance`; a signal is obeyed between two steps, with KeyboardInterrupt."""
        with Interruptions() as interruptions:
            for _ in range(steps):
                if self._run.finished:
                    break
                self._run.advance(1, on_step=on_step)
                if interruptions.noted or time.monotonic() - self._saved >= self._every:
                    self._save()
                if interruptions.noted:
                    raise KeyboardInterrupt

    def _save(self) -> None:
        write_checkpoint(self._path, {"run": self._run.state_dict(), "history": self._history})
        self._saved = time.monotonic()
