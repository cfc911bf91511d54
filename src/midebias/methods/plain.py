"""Plain training (empirical risk minimisation): what every method is measured against."""

from typing import ClassVar

from ..training.train_step_method import TrainStepMethod


class Plain(TrainStepMethod):
    """Cross-entropy and Adam, without the attribute.

    Parameters
    ----------
    model, problem, lr, precision, seed : see `Method`
    """

    name: ClassVar[str] = "plain"
    masks_missing: ClassVar[bool] = True
