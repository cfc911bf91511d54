"""Plain training (empirical risk minimisation): what every method is measured against."""

from typing import ClassVar

from ..training.method import Method


class Plain(Method):
    """Cross-entropy and Adam, without the attribute.

    Parameters
    ----------
    model, problem, lr, precision, seed : see `Method`
    """

    name: ClassVar[str] = "plain"
    masks_missing: ClassVar[bool] = True
    divisible: ClassVar[bool] = True
