"""A callback that records a run whose steps Lightning's Trainer takes."""

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import lightning.pytorch as pl
import torch
from torch import Tensor, nn

from ..lightning import DebiasModule, MIMeter
from ..training.loop import TrainingRun
from ..training.step import StepResult
from ..training.train_step_method import TrainStepMethod
from .image_data import ImageData
from .image_outcome import take_test
from .image_run import RunSettings
from .process import Interruptions


class RunRecorder(pl.Callback):
    """A `TrainingRun` beside the Trainer: rate, clipping, records, tests (of the first rank), checkpoints, signals."""

    def __init__(self, run: TrainingRun, data: ImageData, meter: MIMeter, settings: RunSettings) -> None:
        self.history: list[dict[str, Any]] = []
        self.answers: tuple[Tensor, Tensor] | None = None
        self.interrupted = False
        self._run, self._data, self._meter, self._settings = run, data, meter, settings
        self._signals, self._saved, self._alarms_reported = Interruptions(), time.monotonic(), 0

    def state_dict(self) -> dict[str, Any]:
        """The run without the method's state, which the Trainer saves with the module, and the history."""
        return {"run": self._run.state_dict(with_method=False), "history": self.history}

    def resume(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state_dict` gave; before the fit: the Trainer restores nothing where all is done."""
        self._run.load_state_dict(state["run"])
        self.history = list(state["history"])
        self._alarms_reported = len(self._meter.alarms)

    def take_due_test(self) -> None:
        """Test at the end of an epoch and of the run, once."""
        run, before = self._run, self.history[-1]["step"] if self.history else 0
        if run.done_steps > before and (run.finished or run.done_steps % run.steps_per_epoch == 0):
            entry, self.answers = take_test(run, self._data)
            self.history.append(entry)
            self._settings.on_evaluation(entry)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Begin to note signals, and test where a resumed run is due."""
        # Not before: the Trainer sets handlers of its own, and until now there is nothing to save.
        self._signals.__enter__()
        self._saved = time.monotonic()
        if trainer.is_global_zero:
            self.take_due_test()

    def on_train_batch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any) -> None:
        """Set the learning rate of the step."""
        self._run.method.set_lr(self._run.learning_rate)

    def on_before_optimizer_step(self, trainer: pl.Trainer, pl_module: pl.LightningModule, optimizer: Any) -> None:
        """Clip the gradients."""
        # Not by the Trainer's own option, which goes on where a gradient is not finite.
        method = self._run.method
        if isinstance(method, TrainStepMethod) and method.max_grad_norm is not None:
            finite = str(trainer.precision) != "16-mixed"  # where a step that is not is skipped, and the scale halved
            nn.utils.clip_grad_norm_(method.model.parameters(), method.max_grad_norm, error_if_nonfinite=finite)

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any) -> None:
        """Record the step; test, save and stop where due."""
        assert isinstance(pl_module, DebiasModule)
        assert pl_module.last_step is not None
        result, save, stop = self._agree(trainer, pl_module.device, pl_module.last_step)
        self._run.end_step(result)
        self._settings.on_step()
        for alarm in self._meter.alarms[self._alarms_reported :]:
            self._settings.on_alarm(alarm)
        self._alarms_reported = len(self._meter.alarms)
        if trainer.is_global_zero and not stop:
            self.take_due_test()
        if save or stop:
            trainer.save_checkpoint(self._settings.checkpoint or "")  # of the other ranks no path is asked
            self._saved = time.monotonic()
        if stop:
            self.interrupted = trainer.should_stop = True

    def on_train_end(self, *_: Any) -> None:
        """Give signals back."""
        self._signals.__exit__()

    def on_exception(self, *_: Any) -> None:
        """Give signals back."""
        self._signals.__exit__()

    def _agree(self, trainer: pl.Trainer, device: torch.device, result: StepResult) -> tuple[StepResult, bool, bool]:
        """Agree with the other ranks on the step of the global batch, whether to save, and whether to stop."""
        save, stop = time.monotonic() - self._saved >= self._settings.checkpoint_every, self._signals.noted
        if trainer.world_size == 1:
            return result, save, stop
        # The first rank's clock says when to save; a signal to any rank stops all, so that none waits for another.
        mine = [result.loss / trainer.world_size, result.correct, save and trainer.is_global_zero, stop]
        sums = trainer.strategy.reduce(torch.tensor(mine, dtype=torch.float64, device=device), reduce_op="sum")
        loss, correct, saves, stops = sums.tolist()
        return replace(result, loss=loss, correct=int(correct)), saves > 0, stops > 0
