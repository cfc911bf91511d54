"""Mutual information backpropagation, by default with closed-form critics at several depths."""

from dataclasses import dataclass, field
from typing import ClassVar

from torch import Tensor

from ..arguments import check_kind
from ..errors import InputError
from ..penalty import Criterion, MIPenalty
from ..training.data import Batch
from ..training.logit_adjustment import LogitAdjustment
from ..training.method import Method
from ..training.step import ForwardPass, run_backward


@dataclass(eq=False, repr=False, kw_only=True)
class MIBackpropagation(Method):
    r"""Task adjusted by what c says of y, and a penalty on I(Z;C|Y) at the depths of the model.

    :math:`I(Z;Y) - I(Z;C) = I(Z;Y|C) - I(Z;C|Y)`: the first term on the right is the task, adjusted by what the
    attribute already says about the label (`LogitAdjustment`); the second is the penalty (`MIPenalty`). Both gradients
    go through the encoder in one backward pass. The paper's own recipe is `Reference`.

    Parameters
    ----------
    model, problem, lr, precision, seed : see `Method`
    gradient_ratio : float, default 3.0
        Length of the penalty's gradient over the task's, at each depth.
    max_mi : float, optional
        Budget in nats for the estimate at each depth, met by dual ascent on a multiplier of ``gradient_ratio``.
    criterion : {"separation", "independence"}
        Whether I(Z;C|Y) or I(Z;C) is penalised.
    critic_steps : int, default 10
        Only for estimators with a critic.
    estimator : str, default "gaussian"
        See `MIPenalty`.
    adjust : float, default 1.0
        Strength of the logit adjustment; 0 leaves the task loss as it is.
    rebalance : float, default 0.5
        Rows are drawn by p(y|c)/p(y) to the power of minus this; see `LogitAdjustment`. Where the attribute nearly
        always gives the label away, a batch drawn evenly holds hardly a row from which I(Z;C|Y) can be seen.
    depths : int, default all
        How many of ``model.depths(x)`` are penalised, from the last, at least 1. Use fewer where the first ones can
        hardly hide the attribute and penalising them costs the task.

    References
    ----------
    Ragonesi, Volpi, Cavazza, Murino, "Learning Unbiased Representations via Mutual Information Backpropagation", CVPR
    Workshops 2021, arXiv 2003.06430. Hong and Yang, NeurIPS 2021, for the adjustment: see `LogitAdjustment`.
    """

    name: ClassVar[str] = "mib"
    masks_missing: ClassVar[bool] = True
    divisible: ClassVar[bool] = True
    max_grad_norm: ClassVar[float | None] = 10.0
    penalty: MIPenalty = field(init=False)
    adjustment: LogitAdjustment = field(init=False)
    gradient_ratio: float = 3.0
    max_mi: float | None = None
    criterion: Criterion = "separation"
    critic_steps: int = 10
    estimator: str = "gaussian"
    adjust: float = 1.0
    rebalance: float = 0.5
    depths: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check_kind("depths", self.depths, int | None)
        shapes = self.model.shapes
        if self.depths is not None and not 1 <= self.depths <= len(shapes):
            raise InputError(f"depths must be from 1 to the model's {len(shapes)}, got {self.depths}")
        attribute, n_classes = self.problem.attribute, self.problem.n_classes
        self._weights: Tensor | None = None
        self.adjustment = LogitAdjustment(
            attribute, n_classes, strength=self.adjust, rebalance=self.rebalance, seed=self.seed
        )
        self.penalty = MIPenalty(
            shapes if self.depths is None else shapes[-self.depths :], attribute,
            criterion=self.criterion, estimator=self.estimator,  # type: ignore[arg-type]  # checked there
            gradient_ratio=self.gradient_ratio, max_mi=self.max_mi, critic_steps=self.critic_steps,
            n_groups=n_classes, seed=self.seed,
        )  # fmt: skip

    def prepare(self, levels: Tensor, c: Tensor, y: Tensor) -> None:
        """Fit p(y|c) on the training set's labels and attributes."""
        if self.adjustment.strength or self.adjustment.rebalance:
            self.adjustment.fit(c, y)
        self._weights = self.adjustment.sampling_weights(c, y) if self.adjustment.rebalance else None

    def sampling_weights(self, levels: Tensor, y: Tensor) -> Tensor | None:
        """Weights by p(y|c), which `prepare` has made for the rows of ``levels`` and ``y``."""
        return self._weights

    def _backpropagate(self, passed: ForwardPass, batch: Batch, scale: float | Tensor) -> None:
        """Backpropagate task and penalty in one pass, balanced by ``gradient_ratio``."""
        run_backward(passed, self.penalty, batch.y, batch.c, mi_weight=None, scale=scale)
        self.estimates = self.penalty.readings.unbind()
