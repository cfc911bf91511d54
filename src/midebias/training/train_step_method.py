"""Methods whose step is the one that every door takes."""

from typing import ClassVar

from ..penalty import MIPenalty
from .data import Batch
from .logit_adjustment import LogitAdjustment
from .method import Draw, Method
from .step import StepResult, train_step


class TrainStepMethod(Method):
    """A method whose step is `train_step`, which Lightning's Trainer takes as well as the training loop.

    Parameters
    ----------
    model, problem, lr, precision, seed : see `Method`

    Attributes
    ----------
    penalty, adjustment, mi_weight, max_grad_norm : see `train_step`
    """

    penalty: MIPenalty | None = None
    adjustment: LogitAdjustment | None = None
    mi_weight: ClassVar[float | None] = 1.0
    max_grad_norm: ClassVar[float | None] = None

    def step(self, batch: Batch, draw: Draw, lr: float) -> StepResult:
        """See `Method.step`."""
        self.set_lr(lr)
        return train_step(
            self.model.depths, self.model.head, self.penalty, self.optimizer, batch.x, batch.y, batch.c,
            task_loss=self.problem.task_loss, mi_weight=self.mi_weight, adjustment=self.adjustment,
            autocast=self.autocast(), max_grad_norm=self.max_grad_norm,
        )  # fmt: skip
