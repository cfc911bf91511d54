"""Records of what steps and epochs did."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

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
    """Turns the results of steps into a trace and records of epochs."""

    def __init__(self, batch_size: int) -> None:
        self._batch_size = batch_size
        self.epochs: list[EpochRecord] = []
        self.trace: list[TracePoint] = []
        self._epoch: list[StepResult] = []
        self._traced = 0  # of the epoch's results

    def add(self, result: StepResult) -> None:
        """Add the ``result`` of a step."""
        self._epoch.append(result)

    def end_point(self, step: int, seconds: float) -> None:
        """Add a point to the trace: steps and seconds of the run so far."""
        results = self._epoch[self._traced :]
        self._traced = len(self._epoch)
        self.trace.append(TracePoint(step, seconds, *self._summarize(results), _average([r.weights for r in results])))

    def end_epoch(self, step: int, seconds: float) -> None:
        """Add a record of the epoch: steps of the run so far, seconds of the epoch."""
        tail = self._epoch[-max(1, len(self._epoch) // 10) :]
        self.epochs.append(EpochRecord(len(self.epochs) + 1, step, *self._summarize(tail), seconds))
        self._epoch, self._traced = [], 0

    def state_dict(self) -> dict[str, Any]:
        """Records, trace, and the results of the epoch."""
        return {
            "epochs": [asdict(record) for record in self.epochs],
            "trace": [asdict(point) for point in self.trace],
            "epoch": [asdict(result) for result in self._epoch],
            "traced": self._traced,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from the ``state`` that `state_dict` saved."""
        self.epochs = [EpochRecord(**entry) for entry in state["epochs"]]
        self.trace = [TracePoint(**entry) for entry in state["trace"]]
        self._epoch, self._traced = [StepResult(**entry) for entry in state["epoch"]], int(state["traced"])

    def _summarize(self, results: Sequence[StepResult]) -> tuple[float, float, tuple[float, ...]]:
        """Mean loss, accuracy and MI."""
        n = len(results)
        correct = sum(r.correct for r in results)
        return sum(r.loss for r in results) / n, correct / (n * self._batch_size), _average([r.mi for r in results])


def _average(values: Sequence[tuple[float, ...]]) -> tuple[float, ...]:
    return tuple(sum(column) / len(values) for column in zip(*values, strict=True))
