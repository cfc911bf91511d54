"""One method on one image data set, its steps taken by Lightning's Trainer: on other devices, in several processes."""

from __future__ import annotations

import logging
import os
import signal
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import lightning.pytorch as pl
import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from torch import Tensor, nn

from ..arguments import checked
from ..devices import bfloat16_is_fast
from ..errors import DataError, InputError
from ..lightning import DebiasModule, MIMeter, SafeCheckpoints
from ..networks.classifier import Classifier
from ..training.loop import TrainingRun
from ..training.method import TrainStepMethod
from ..training.step import StepResult
from .image_data import ImageData
from .image_run import Outcome, evaluated, method_for, outcome_of
from .process import Interruptions

__all__ = ["make_trainer", "run_by_trainer"]


@checked
def make_trainer(
    *,
    accelerator: Literal["cpu", "gpu", "auto"] = "auto",
    devices: int | None = None,
    num_nodes: int | None = None,
    precision: Literal["32", "bf16-mixed"] | None = None,
) -> pl.Trainer:
    """A Trainer for `run_by_trainer`; its arguments mean what they mean to Lightning.

    Parameters
    ----------
    accelerator : {"cpu", "gpu", "auto"}
    devices, num_nodes : int, optional
        Processes of a node, and nodes; default is what torchrun started, or one.
    precision : {"32", "bf16-mixed"}, optional
        Default is bf16-mixed where the device multiplies bfloat16 natively, as everywhere in the package.

    Raises
    ------
    InputError
        An argument that cannot be used; what the machine, or torchrun, does not have.
    """
    if accelerator not in ("cpu", "gpu", "auto"):
        raise InputError(f"accelerator must be 'cpu', 'gpu' or 'auto', got {accelerator!r}")
    if precision not in (None, "32", "bf16-mixed"):
        raise InputError(f"precision must be '32' or 'bf16-mixed', got {precision!r}")
    for name, number in (("devices", devices), ("num_nodes", num_nodes)):
        if number is not None and number < 1:
            raise InputError(f"{name} must be at least 1, got {number}")
    device = _device_type(accelerator)
    devices, num_nodes = _processes(devices, num_nodes)
    several = devices * num_nodes > 1
    try:
        with _quiet():
            return pl.Trainer(
                accelerator=device,
                devices=devices,
                num_nodes=num_nodes,
                precision=precision or ("bf16-mixed" if bfloat16_is_fast(device) else "32"),
                strategy="ddp" if several else "auto",
                sync_batchnorm=several and device == "cuda",
                use_distributed_sampler=False,
                max_epochs=1,  # to the Trainer the run is one pass, so that no step of it is special to stop at
                plugins=[SafeCheckpoints()],
                logger=False,
                enable_checkpointing=False,
                enable_progress_bar=False,
                enable_model_summary=False,
            )
    except (MisconfigurationException, ValueError) as error:
        raise InputError(f"devices={devices} on accelerator {device!r}: {' '.join(str(error).split())}") from error


def run_by_trainer(
    name: str,
    data: ImageData,
    trainer: pl.Trainer,
    *,
    epochs: int,
    seed: int = 0,
    network: str = "paper",
    max_steps: int | None = None,
    options: Mapping[str, Any] | None = None,
    on_step: Callable[[], None] | None = None,
    on_evaluation: Callable[[Mapping[str, Any]], None] | None = None,
    on_alarm: Callable[[str], None] | None = None,
    checkpoint: Path | None,
    checkpoint_every: float = 30.0,
) -> Outcome | None:
    """`run_method` with the steps taken by a Trainer; in one process on a CPU with the same weights, bit for bit.

    Several processes share each batch. Arguments are those of `run_method`, but for these.

    Parameters
    ----------
    name : str
        Of a `TrainStepMethod`.
    trainer : Trainer
        Of `make_trainer`.
    on_alarm : callable, optional
        Given the alarms of `MIMeter` as they are raised.
    checkpoint : path
        The first rank writes it. None on the others where there is nothing to go on from.

    Returns
    -------
    Outcome
        None on all ranks but the first, which alone tests.

    Raises
    ------
    DataError
        A checkpoint that cannot be read or written, or is that of another run.
    KeyboardInterrupt
        On all ranks, when one of them was interrupted; the state is saved.
    """
    precision: Literal["bfloat16", "float32"] = "bfloat16" if str(trainer.precision) == "bf16-mixed" else "float32"
    method = method_for(name, data, seed=seed, network=network, options=options, precision=precision)
    if not isinstance(method, TrainStepMethod):
        raise InputError(f"{name} does not train by Lightning's Trainer: its step is one of its own")
    run = TrainingRun(method, data.train, epochs=epochs, seed=seed, max_steps=max_steps)
    run.prepare()
    module = DebiasModule(
        _Depths(method.model),
        method.model.head,
        method.penalty,
        mi_weight=method.mi_weight,
        adjustment=method.adjustment,
        task_loss=_ShareOfMean(run.batch_size, trainer.world_size),
        optimizer=lambda _: method.optimizer,
    )
    meter = MIMeter()
    book = _Book(
        run, data, meter, checkpoint, every=checkpoint_every,
        on_step=on_step, on_evaluation=on_evaluation, on_alarm=on_alarm,
    )  # fmt: skip
    trainer.callbacks += [meter, book]  # type: ignore[attr-defined]  # which Trainer's class does not declare
    resumes = checkpoint is not None and checkpoint.exists()
    if resumes:
        assert checkpoint is not None
        _go_on(checkpoint, module, book, meter)
    if not run.finished:
        _fit(trainer, module, run, checkpoint if resumes else None)
    if book.interrupted:
        raise KeyboardInterrupt
    if not trainer.is_global_zero:
        return None
    device = trainer.strategy.root_device
    method.model.to(device)  # from which the Trainer took it
    book.test()
    outcome = outcome_of(run, data, book.history, book.answers, network=network, seed=seed, device=str(device))
    method.model.cpu()
    outcome.row |= {
        "accelerator": device.type,
        "devices": trainer.num_devices,
        "num_nodes": trainer.num_nodes,
        "precision": str(trainer.precision),
    }
    return replace(outcome, alarms=tuple(meter.alarms))


class _Depths(nn.Module):
    """A classifier as an encoder of several representations."""

    def __init__(self, model: Classifier) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        return self.model.depths(x)


class _ShareOfMean:
    """A rank's share of the global batch's mean cross-entropy, times the ranks, since DDP averages over them."""

    def __init__(self, batch_size: int, world_size: int) -> None:
        self._batch_size, self._world_size = batch_size, world_size

    def __call__(self, logits: Tensor, y: Tensor) -> Tensor:
        return nn.functional.cross_entropy(logits, y) * (len(y) * self._world_size / self._batch_size)


class _Batches:
    """What is left of a run as batches (x, y, c), each of them this rank's piece."""

    def __init__(self, run: TrainingRun, rank: int, world_size: int) -> None:
        self._run, self._rank, self._world_size = run, rank, world_size

    def __len__(self) -> int:
        return self._run.last_step  # of the whole run: the Trainer adds what was done before

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        while not self._run.finished:
            batch = self._run.begin_step(self._rank, self._world_size)
            yield batch.x, batch.y, batch.c


class _Book(pl.Callback):
    """A `TrainingRun` beside the Trainer: rate, clipping, records, tests, checkpoints and interruptions.

    Attributes
    ----------
    history : list of dict
        See `Outcome`; of the first rank.
    answers : pair of Tensor or None
        z and logits of the test images, as last tested.
    interrupted : bool
        Whether training was stopped by a signal.
    """

    def __init__(
        self,
        run: TrainingRun,
        data: ImageData,
        meter: MIMeter,
        checkpoint: Path | None,
        *,
        every: float,
        on_step: Callable[[], None] | None,
        on_evaluation: Callable[[Mapping[str, Any]], None] | None,
        on_alarm: Callable[[str], None] | None,
    ) -> None:
        self.history: list[dict[str, Any]] = []
        self.answers: tuple[Tensor, Tensor] | None = None
        self.interrupted = False
        self._run, self._data, self._meter, self._checkpoint, self._every = run, data, meter, checkpoint, every
        self._on_step, self._on_evaluation, self._on_alarm = on_step, on_evaluation, on_alarm
        self._signals, self._saved, self._said = Interruptions(), time.monotonic(), 0

    def state_dict(self) -> dict[str, Any]:
        return {"run": self._run.progress(), "history": self.history}

    def go_on(self, state: Mapping[str, Any]) -> None:
        """From what `state_dict` gave; before the fit, not by the Trainer, which fits nothing when all is done."""
        self._run.load_state_dict(state["run"])
        self.history = list(state["history"])
        self._said = len(self._meter.alarms)

    def test(self) -> None:
        """At the end of an epoch and of the run, once."""
        run, before = self._run, self.history[-1]["step"] if self.history else 0
        if run.done_steps > before and (run.finished or run.done_steps % run.steps_per_epoch == 0):
            entry, self.answers = evaluated(run, self._data)
            self.history.append(entry)
            if self._on_evaluation is not None:
                self._on_evaluation(self.history[-1])

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        # Not before: the Trainer sets handlers of its own, and until now there is nothing to save.
        self._signals.__enter__()
        self._saved = time.monotonic()
        if trainer.is_global_zero:
            self.test()

    def on_train_batch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any) -> None:
        self._run.method.set_lr(self._run.learning_rate)

    def on_before_optimizer_step(self, trainer: pl.Trainer, pl_module: pl.LightningModule, optimizer: Any) -> None:
        # Not by the Trainer's own option, which goes on where a gradient is not finite.
        method = self._run.method
        if isinstance(method, TrainStepMethod) and method.max_grad_norm is not None:
            nn.utils.clip_grad_norm_(method.model.parameters(), method.max_grad_norm, error_if_nonfinite=True)

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any) -> None:
        assert isinstance(pl_module, DebiasModule)
        assert pl_module.last_step is not None
        result, save, stop = self._agreed(trainer, pl_module.device, pl_module.last_step)
        self._run.end_step(result)
        if self._on_step is not None:
            self._on_step()
        for alarm in self._meter.alarms[self._said :]:
            self._said += 1
            if self._on_alarm is not None:
                self._on_alarm(alarm)
        if trainer.is_global_zero and not stop:
            self.test()
        if save or stop:
            trainer.save_checkpoint(self._checkpoint or "")  # of the other ranks no path is asked
            self._saved = time.monotonic()
        if stop:
            self.interrupted = trainer.should_stop = True

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._signals.__exit__()

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        self._signals.__exit__()

    def _agreed(self, trainer: pl.Trainer, device: torch.device, result: StepResult) -> tuple[StepResult, bool, bool]:
        """The step on the global batch; whether to save, as the first rank's clock says; whether any rank is to stop.

        All ranks come to the same answer, so that none waits for another that has stopped.
        """
        save, stop = time.monotonic() - self._saved >= self._every, self._signals.noted
        if trainer.world_size == 1:
            return result, save, stop
        mine = [result.loss / trainer.world_size, result.correct, save and trainer.is_global_zero, stop]
        told = trainer.strategy.reduce(torch.tensor(mine, dtype=torch.float64, device=device), reduce_op="sum")
        loss, correct, saves, stops = told.tolist()
        return replace(result, loss=loss, correct=int(correct)), saves > 0, stops > 0


def _go_on(checkpoint: Path, module: DebiasModule, book: _Book, meter: MIMeter) -> None:
    """Load a checkpoint on every rank, so that what is wrong with it is said before processes are started."""
    state = SafeCheckpoints().load_checkpoint(checkpoint)
    try:
        module.load_state_dict(state["state_dict"])
        meter.load_state_dict(state["callbacks"][meter.state_key])
        book.go_on(state["callbacks"][book.state_key])
    except (KeyError, TypeError) as error:
        raise DataError(f"{checkpoint} is no checkpoint of a Trainer's run") from error
    except (InputError, RuntimeError) as error:
        raise DataError(f"{checkpoint} does not fit this run: {error}") from error


def _fit(trainer: pl.Trainer, module: DebiasModule, run: TrainingRun, checkpoint: Path | None) -> None:
    try:
        with _quiet():
            trainer.fit(module, _Batches(run, trainer.global_rank, trainer.world_size), ckpt_path=checkpoint)
    except SystemExit:  # the Trainer's answer to a second Ctrl-C
        raise KeyboardInterrupt from None
    except BaseException:
        # Those that the Trainer started would wait for this one until the group's timeout.
        if trainer.strategy.launcher is not None:
            trainer.strategy.launcher.kill(getattr(signal, "SIGKILL", signal.SIGTERM))
        raise
    # What is estimated from now on is this rank's alone.
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def _device_type(accelerator: str) -> str:
    """Lightning's name of the kind of device."""
    found = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    if accelerator == "gpu" and found == "cpu":
        raise InputError("accelerator is 'gpu', but torch finds no GPU here")
    return "cpu" if accelerator == "cpu" else found


def _processes(devices: int | None, num_nodes: int | None) -> tuple[int, int]:
    """Processes of a node, and nodes."""
    if not torch.distributed.is_torchelastic_launched():
        return devices or 1, num_nodes or 1
    local = int(os.environ["LOCAL_WORLD_SIZE"])
    nodes = int(os.environ["WORLD_SIZE"]) // local
    for name, given, started in (("devices", devices, local), ("num_nodes", num_nodes, nodes)):
        if given not in (None, started):
            raise InputError(f"{name} is {given}, but torchrun started {started}")
    return local, nodes


@contextmanager
def _quiet() -> Iterator[None]:
    """Lightning's tips, tables and advice stay with it: what a user of a command is to know, the command says."""
    loggers = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
