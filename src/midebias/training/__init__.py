"""Training: one step that every door takes, and a loop around it."""

from .data import Batch, Problem, TensorData, TrainingData
from .evaluation import evaluate
from .logit_adjustment import LogitAdjustment
from .loop import TrainingRun
from .records import EpochRecord, TracePoint
from .step import StepResult, train_step

__all__ = [
    "Batch", "EpochRecord", "LogitAdjustment", "Problem", "StepResult", "TensorData", "TracePoint", "TrainingData",
    "TrainingRun", "evaluate", "train_step",
]  # fmt: skip
