"""Plain training (empirical risk minimisation): what every method is measured against."""

from __future__ import annotations

from typing import ClassVar

from ..training.method import TrainStepMethod

__all__ = ["Plain"]


class Plain(TrainStepMethod):
    """Cross-entropy and Adam; the attribute is not looked at."""

    name: ClassVar[str] = "plain"
