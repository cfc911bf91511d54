"""One method on one image data set, its steps taken by Lightning's Trainer: on other devices, in several processes."""

import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from torch import Tensor

from ..errors import DataError, InputError
from ..lightning import DebiasModule, MIMeter, SafeCheckpoints
from ..training.data import Problem
from ..training.loop import TrainingRun
from ..training.train_step_method import TrainStepMethod
from .image_data import ImageData
from .image_outcome import Outcome, summarize_run
from .image_run import RunSettings
from .lightning_recorder import RunRecorder
from .lightning_trainer import silence_lightning


def run_by_trainer(name: str, data: ImageData, trainer: pl.Trainer, **settings: Any) -> Outcome | None:
    """Do as `run_method`, with the steps taken by a Trainer of `make_trainer`; ``name`` is that of a `TrainStepMethod`.

    In one process on a CPU the weights are the same, bit for bit. Several processes share each batch; the first rank
    alone tests, has an outcome and writes the ``checkpoint``. An interruption of one rank is one of all.
    """
    given = RunSettings(**settings)
    run = given.prepare_run(name, data, "bfloat16" if str(trainer.precision) == "bf16-mixed" else "float32")
    method, checkpoint = run.method, given.checkpoint
    if not isinstance(method, TrainStepMethod):
        raise InputError(f"{name} does not train by Lightning's Trainer: it has a training step of its own")
    run.prepare()
    module = DebiasModule(
        model=method.model, penalty=method.penalty, mi_weight=method.mi_weight, adjustment=method.adjustment,
        task_loss=_take_share(method.problem, run.batch_size, trainer.world_size),
        optimizer=lambda _: method.optimizer,
    )  # fmt: skip
    meter = MIMeter()
    recorder = RunRecorder(run, data, meter, given)
    trainer.callbacks += [meter, recorder]  # type: ignore[attr-defined]  # which Trainer's class does not declare
    resumed = checkpoint if checkpoint is not None and checkpoint.exists() else None
    if resumed is not None:
        _resume(resumed, module, recorder, meter)
    if not run.finished:
        _fit(trainer, module, run, resumed)
    if recorder.interrupted:
        raise KeyboardInterrupt
    if not trainer.is_global_zero:
        return None
    device = trainer.strategy.root_device
    method.model.to(device)  # from which the Trainer took it
    recorder.take_due_test()
    outcome = summarize_run(
        run, data, recorder.history, recorder.answers, network=given.network, seed=given.seed, device=str(device)
    )
    method.model.cpu()
    outcome.row |= {
        "accelerator": device.type, "devices": trainer.num_devices, "num_nodes": trainer.num_nodes,
        "precision": str(trainer.precision),
    }  # fmt: skip
    return replace(outcome, alarms=tuple(meter.alarms))


def _take_share(problem: Problem, batch_size: int, world_size: int) -> Callable[[Tensor, Tensor], Tensor]:
    """A rank's share of the global batch's mean cross-entropy, times the ranks, since DDP averages over them."""
    return lambda logits, y: problem.task_loss(logits, y) * (len(y) * world_size / batch_size)


@dataclass
class _Batches:
    """What is left of a run as batches (x, y, c), each of them this rank's piece."""

    run: TrainingRun
    rank: int
    world_size: int

    def __len__(self) -> int:
        return self.run.last_step  # of the whole run: the Trainer adds what was done before

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        while not self.run.finished:
            batch = self.run.begin_step(self.rank, self.world_size)
            yield batch.x, batch.y, batch.c


def _resume(checkpoint: Path, module: DebiasModule, recorder: RunRecorder, meter: MIMeter) -> None:
    """Load a checkpoint on every rank, before processes are started, so that a bad one is refused at once."""
    state = SafeCheckpoints().load_checkpoint(checkpoint)
    try:
        module.load_state_dict(state["state_dict"])
        meter.load_state_dict(state["callbacks"][meter.state_key])
        recorder.resume(state["callbacks"][recorder.state_key])
    except (KeyError, TypeError) as error:
        raise DataError(f"{checkpoint} is no checkpoint of a Trainer's run") from error
    except (InputError, RuntimeError) as error:
        raise DataError(f"{checkpoint} does not fit this run: {error}") from error


def _fit(trainer: pl.Trainer, module: DebiasModule, run: TrainingRun, checkpoint: Path | None) -> None:
    try:
        with silence_lightning():
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
