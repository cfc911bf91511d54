"""Records of what epochs and steps did."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["EpochRecord", "TracePoint"]


@dataclass(frozen=True)
class EpochRecord:
    """What an epoch did; accuracies in [0, 1], MI in nats per representation, means over the epoch's last tenth."""

    epoch: int
    steps: int
    loss: float
    train_accuracy: float
    mi: tuple[float, ...]
    seconds: float


@dataclass(frozen=True)
class TracePoint:
    """Means over the steps since the point before: task loss, training accuracy in [0, 1], MI in nats, weights.

    ``mi`` and ``weights`` hold a value per penalised representation; they are empty where a method has none.
    """

    step: int
    seconds: float
    loss: float
    train_accuracy: float
    mi: tuple[float, ...]
    weights: tuple[float, ...]
