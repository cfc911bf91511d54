"""One method on one image data set, from data to a row of the table."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from torch import Tensor

from ..errors import DataError, InputError
from ..lightning import MethodModule, MIMeter
from ..lightning.trainer import make_trainer
from ..training.checkpoints import read_checkpoint, write_checkpoint
from ..training.method import Method
from .augmentation import Augmentation, build_augmentation
from .image_data import ImageData
from .image_methods import build_for_images, choose_precision
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
    precision: str | None = None  # of the network, see `choose_precision`
    batch_size: int | None = None  # default is the method's own
    learning_rate: float | None = None
    max_steps: int | None = None
    evaluate_every: int | None = None  # steps between tests, which choose nothing; default is once an epoch
    options: dict[str, Any] = field(default_factory=dict)  # of the method
    on_step: Callable[[], None] = _ignore
    on_evaluation: Callable[[Mapping[str, Any]], None] = _ignore  # called with each entry of the history
    on_alarm: Callable[[str], None] = _ignore  # called with those of a `MIMeter`
    checkpoint_every: float = 30.0  # seconds; 0: after every step. On Ctrl-C, too, before KeyboardInterrupt is raised


def run_method(
    method: str | Method, data: ImageData, *, trainer: pl.Trainer | None = None, checkpoint: Path | None = None,
    **settings: Any,
) -> Outcome | None:  # fmt: skip
    """Train by `RunSettings`, test without the bias, and probe what is left of the attribute; see `ImageRun`."""
    if checkpoint is not None and checkpoint.exists():  # with the weights in it
        settings["weights"] = None
    return ImageRun(method, data, trainer=trainer, **settings).train(checkpoint)


class ImageRun:
    """A method, or a key of `METHODS`, with its network, on a data set; what does not go together is refused.

    Steps are taken by a ``trainer`` of `make_trainer`, by default on a CPU. Several processes share each batch; the
    first rank alone tests, has an outcome and writes the checkpoint. An interruption of one rank is one of all.
    """

    def __init__(
        self, method: str | Method, data: ImageData, *, trainer: pl.Trainer | None = None, **settings: Any
    ) -> None:
        self.settings, self.data = given, _ = RunSettings(**settings), data
        self.trainer = trainer or make_trainer(accelerator="cpu")
        self.device = self.trainer.strategy.root_device
        if isinstance(method, str):
            rate = {} if given.learning_rate is None else {"lr": given.learning_rate}
            method = build_for_images(
                method, data, seed=given.seed, network=given.network, weights=given.weights,
                options=rate | given.options, precision=choose_precision(given.precision, self.device),
            )  # fmt: skip
        if self.trainer.world_size > 1 and not method.divisible:
            raise InputError(f"devices must be 1 for method {method.name}, whose step is that of one process")
        self.module = MethodModule(
            method, data.train, epochs=given.epochs, batch_size=given.batch_size, seed=given.seed,
            max_steps=given.max_steps, augment=build_augmentation(given.augment, data.train.image_shape[1:]),
        )  # fmt: skip

    def train(self, checkpoint: Path | None = None) -> Outcome | None:
        """Train, on from the ``checkpoint`` where there is one, test, and probe.

        ``row["mi"]`` is the probe's held-out lower bound of I(Z;C) in nats on test images, where attribute and label
        are independent; ``row["conflicting_accuracy"]`` is over test images whose attribute is another class's, where
        attribute and label have the same names; seconds are those of training.
        """
        run, trainer, given = self.module, self.trainer, self.settings
        meter = MIMeter()
        watch = RunWatch(self, meter, checkpoint)
        run.advance(trainer=trainer, callbacks=[meter, watch])
        if watch.interrupted:
            raise KeyboardInterrupt
        if not trainer.is_global_zero:
            return None
        run.method.model.to(self.device)  # from which the Trainer took it
        watch.take_due_test()
        used = {
            "accelerator": self.device.type, "devices": trainer.num_devices, "num_nodes": trainer.num_nodes,
            "precision": run.method.precision,
        }  # fmt: skip
        outcome = summarize_run(
            run, self.data, watch.history, watch.answers, network=given.network, seed=given.seed, used=used
        )
        run.method.model.cpu()
        return replace(outcome, alarms=tuple(meter.alarms))


class RunWatch(pl.Callback):
    """Beside a run: tests, of the first rank; checkpoints every few seconds; signals, obeyed between two steps."""

    def __init__(self, run: ImageRun, meter: MIMeter, path: Path | None) -> None:
        self.history: list[dict[str, Any]] = []
        self.answers: tuple[Tensor, Tensor] | None = None
        self.interrupted = False
        self._run, self._data, self._settings = run.module, run.data, run.settings
        self._meter, self._path, self._signals = meter, path, Interruptions()
        self._every = run.settings.evaluate_every or run.module.steps_per_epoch
        if path is not None and path.exists():
            state = read_checkpoint(path)  # before processes are started, so that a bad one is refused at once
            try:
                run.module.restore_state(state["run"])
                meter.load_state_dict(state["meter"])
                self.history += state["history"]
            except (KeyError, TypeError) as error:
                raise DataError(f"{path} is no checkpoint of a training run") from error
            except InputError as error:
                raise DataError(f"{path} does not fit this run: {error}") from error
        self._saved, self._alarms_reported = time.monotonic(), len(meter.alarms)

    def take_due_test(self) -> None:
        """Test after so many steps, and at the end of the run, once."""
        run, before = self._run, self.history[-1]["step"] if self.history else 0
        if run.done_steps > before and (run.finished or run.done_steps >= before + self._every):
            entry, self.answers = take_test(run, self._data)
            self.history.append(entry)
            self._settings.on_evaluation(entry)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Begin to note signals, and test where a resumed run is due."""
        # Not before: the Trainer sets handlers of its own, and until now there is nothing to save.
        self._signals.__enter__()
        if trainer.is_global_zero:
            self.take_due_test()

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any) -> None:
        """Test, save and stop where due."""
        save, stop = self._agree(trainer, pl_module.device)
        self._settings.on_step()
        for alarm in self._meter.alarms[self._alarms_reported :]:
            self._settings.on_alarm(alarm)
        self._alarms_reported = len(self._meter.alarms)
        if trainer.is_global_zero and not stop:
            self.take_due_test()
        if save or stop:
            state = {"run": self._run.collect_state(), "meter": self._meter.state_dict(), "history": self.history}
            if trainer.is_global_zero and self._path is not None:
                write_checkpoint(self._path, state)
            self._saved = time.monotonic()
        if stop:
            self.interrupted = trainer.should_stop = True

    def on_train_end(self, *_: Any) -> None:
        """Give signals back."""
        self._signals.__exit__()

    def on_exception(self, *_: Any) -> None:
        """Give signals back."""
        self._signals.__exit__()

    def _agree(self, trainer: pl.Trainer, device: torch.device) -> tuple[bool, bool]:
        """Agree with the other ranks whether to save, and whether to stop."""
        save, stop = time.monotonic() - self._saved >= self._settings.checkpoint_every, self._signals.noted
        if trainer.world_size == 1:
            return save and self._path is not None, stop
        # The first rank's clock says when to save; a signal to any rank stops all, so that none waits for another.
        mine = torch.tensor([save and trainer.is_global_zero, stop], dtype=torch.float32, device=device)
        saves, stops = trainer.strategy.reduce(mine, reduce_op="sum").tolist()
        return saves > 0, stops > 0
