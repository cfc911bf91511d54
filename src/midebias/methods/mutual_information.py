"""Our default: mutual information backpropagation with closed-form critics at several depths.

:math:`I(Z;Y) - I(Z;C) = I(Z;Y|C) - I(Z;C|Y)`: the first term on the right is the task, adjusted by what the
attribute already says about the label (`LogitAdjustment`); the second is the penalty (`MIPenalty`).
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from ..attributes import Continuous
from ..logit_adjustment import LogitAdjustment
from ..networks import Classifier
from ..penalty import FeatureMap, MIPenalty
from ..protocols import Criterion
from .interface import Batch, Draw, Method, Precision, StepResult

__all__ = ["MutualInformation"]


class MutualInformation(Method):
    """Task adjusted by log p(y|c), penalty I(Z;C|Y) on both feature maps and on z, one encoder backward.

    Parameters
    ----------
    model, lr, precision
        See `Method`.
    mi_weight : float, default 3.0
        Length of the penalty's gradient over the task's, at each depth.
    criterion : {"separation", "independence"}
    critic_steps : int
        Only for estimators with a critic.
    estimator : str, default "gaussian"
    adjust : float, default 1.0
        Strength of the logit adjustment; 0 leaves the task loss as it is.
    seed : int
    """

    name: ClassVar[str] = "mib"

    def __init__(
        self,
        model: Classifier,
        *,
        lr: float | None = None,
        precision: Precision = "float32",
        mi_weight: float = 3.0,
        criterion: Criterion = "separation",
        critic_steps: int = 10,
        estimator: str = "gaussian",
        adjust: float = 1.0,
        n_classes: int = 10,
        attribute_dim: int = 3,
        seed: int = 0,
    ) -> None:
        super().__init__(model, lr=lr, precision=precision)
        attribute = Continuous(attribute_dim)
        self.adjustment = LogitAdjustment(attribute, n_classes, strength=adjust, seed=seed)
        self.penalty = MIPenalty(
            (FeatureMap(64), FeatureMap(64), 64),
            attribute,
            criterion=criterion,
            estimator=estimator,  # type: ignore[arg-type]
            mi_weight=mi_weight,
            critic_steps=critic_steps,
            seed=seed,
        )

    def prepare(self, levels: Tensor, colours: Tensor, y: Tensor) -> None:
        """Fit p(y|c) on the training set's labels and colours."""
        if self.adjustment.strength:
            self.adjustment.fit(colours, y)

    def step(self, batch: Batch, draw: Draw, lr: float) -> StepResult:
        """See `Method.step`."""
        self.set_lr(lr)
        with self.autocast():
            depths = self.model.depths(batch.x)
            logits = self.model.head(depths[-1])
        logits = logits.float()
        loss = nn.functional.cross_entropy(self.adjustment(logits, batch.colours), batch.y)
        self.optimizer.zero_grad()
        self.penalty.backward(loss, depths, batch.colours, batch.y)
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 10.0, error_if_nonfinite=True)
        self.optimizer.step()
        correct = int((logits.argmax(1) == batch.y).sum())
        return StepResult(float(loss.detach()), correct, tuple(self.penalty.estimates))
