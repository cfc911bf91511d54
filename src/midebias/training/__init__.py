"""Training: one step that every door takes, and what it is given and leaves behind."""

from .data import Batch, Problem, TensorData, TrainingData
from .evaluation import evaluate
from .logit_adjustment import LogitAdjustment
from .records import EpochRecord, TracePoint
from .step import StepResult, train_step

__all__ = [
    "Batch", "EpochRecord", "LogitAdjustment", "Problem", "StepResult", "TensorData", "TracePoint", "TrainingData",
    "evaluate", "train_step",
]  # fmt: skip
