"""Plain training (empirical risk minimisation): what every method is measured against."""

from __future__ import annotations

from typing import ClassVar

from torch import nn

from .interface import Batch, Draw, Method, StepResult

__all__ = ["Plain"]


class Plain(Method):
    """Cross-entropy and Adam; the attribute is not looked at."""

    name: ClassVar[str] = "plain"

    def step(self, batch: Batch, draw: Draw, lr: float) -> StepResult:
        """See `Method.step`."""
        self.set_lr(lr)
        with self.autocast():
            logits = self.model(batch.x)
        logits = logits.float()
        loss = nn.functional.cross_entropy(logits, batch.y)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return StepResult(float(loss.detach()), int((logits.argmax(1) == batch.y).sum()))
