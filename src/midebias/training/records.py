"""Records of what steps and epochs did."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from ..deferred_reads import finish_reads
from .step import StepResult


@dataclass(frozen=True)
class EpochRecord:
    """What an epoch did: means over its last tenth.

    Attributes
    ----------
    epoch, steps : int
        Epochs and steps of the run so far.
    loss, train_accuracy : float
        Of the task; accuracy in [0, 1].
    mi : tuple of float
        Estimates in nats, one per representation.
    seconds : float
        Of the epoch.
    """

    epoch: int
    steps: int
    loss: float
    train_accuracy: float
    mi: tuple[float, ...]
    seconds: float


@dataclass(frozen=True)
class TracePoint:
    """Means over the steps since the point before.

    Attributes
    ----------
    step, seconds : int and float
        Of the run so far.
    loss, train_accuracy : float
        Of the task; accuracy in [0, 1].
    mi, weights : tuple of float
        Estimates in nats and factors of their gradients, one per penalised representation.
    """

    step: int
    seconds: float
    loss: float
    train_accuracy: float
    mi: tuple[float, ...]
    weights: tuple[float, ...]


class TrainingRecorder:
    """Turns the results of steps into a trace and records of epochs; they are read from the device for these alone.

    ``total`` sums numbers (steps, columns) over the processes that share the batches, ``processes`` of them.
    """

    def __init__(self, batch_size: int) -> None:
        self._batch_size = batch_size
        self.epochs: list[EpochRecord] = []
        self.trace: list[TracePoint] = []
        self.total: Callable[[Tensor], Tensor] | None = None
        self.processes = 1
        self._unread: list[StepResult] = []
        self._n_estimates = 0
        self._epoch: list[list[float]] = []  # loss, correct, estimates, weights of each step
        self._traced = 0  # of the epoch's results

    def add(self, result: StepResult) -> None:
        """Add the ``result`` of a step."""
        self._n_estimates = result.n_estimates
        self._unread.append(result)

    def read(self) -> None:
        """Read what steps did; all processes together."""
        finish_reads()
        if self._unread:
            numbers = torch.stack([result.numbers for result in self._unread])
            if self.total is not None:
                numbers = self.total(numbers)
                numbers[:, 0] /= self.processes
                numbers[:, 2:] /= self.processes
            self._epoch += numbers.tolist()
            self._unread = []

    def end_point(self, step: int, seconds: float) -> None:
        """Add a point to the trace: steps and seconds of the run so far."""
        self.read()
        loss, accuracy, more = self._summarize(self._epoch[self._traced :])
        self._traced = len(self._epoch)
        mi, weights = more[: self._n_estimates], more[self._n_estimates :]
        self.trace.append(TracePoint(step, seconds, loss, accuracy, mi, weights))

    def end_epoch(self, step: int, seconds: float) -> None:
        """Add a record of the epoch: steps of the run so far, seconds of the epoch."""
        self.read()
        loss, accuracy, more = self._summarize(self._epoch[-max(1, len(self._epoch) // 10) :])
        record = EpochRecord(len(self.epochs) + 1, step, loss, accuracy, more[: self._n_estimates], seconds)
        self.epochs.append(record)
        self._epoch, self._traced = [], 0

    def state_dict(self) -> dict[str, Any]:
        """Records, trace, and the results of the epoch."""
        self.read()
        return {
            "epochs": [asdict(record) for record in self.epochs],
            "trace": [asdict(point) for point in self.trace],
            "epoch": [*self._epoch], "traced": self._traced,
        }  # fmt: skip

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from the ``state`` that `state_dict` saved."""
        self.epochs = [EpochRecord(**entry) for entry in state["epochs"]]
        self.trace = [TracePoint(**entry) for entry in state["trace"]]
        self._epoch, self._traced = [*state["epoch"]], int(state["traced"])

    def _summarize(self, results: Sequence[Sequence[float]]) -> tuple[float, float, tuple[float, ...]]:
        """Mean loss, accuracy, and means of the other columns."""
        loss, correct, *more = map(sum, zip(*results, strict=True))
        n = len(results)
        return loss / n, correct / (n * self._batch_size), tuple(total / n for total in more)
