"""Training: one step that every door takes, and a loop around it."""

from .logit_adjustment import LogitAdjustment
from .loop import TrainingRun
from .step import StepResult, train_step

__all__ = ["LogitAdjustment", "StepResult", "TrainingRun", "train_step"]
