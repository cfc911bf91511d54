"""Adversarial training through a gradient reversal layer."""

import math
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from ..errors import InputError
from ..training.data import Batch
from ..training.method import Method
from .adversaries import build_classifiers, reverse_gradient


@dataclass(eq=False, repr=False, kw_only=True)
class GradientReversal(Method):
    """An adversary learns the attribute from z; its gradient reaches the encoder with the sign turned.

    Domain-adversarial training with the attribute in the domain's place. The reversal weight rises as
    2 / (1 + exp(-10 p)) - 1 with the progress p from 0 to 1. Cross-entropy is averaged over columns, so
    that several weigh as much as the paper's one domain label.

    Parameters
    ----------
    model, problem, lr, precision, seed : see `Method`
    hidden : int, default 100
        Width of the adversary's hidden layer; the paper's for MNIST.
    weight : float, default 1.0
        Where the reversal weight ends; the paper's.
    ramp_steps : int, default 300
        Steps until p = 1, at least 1. Ours: the paper's p is the progress of training, which a step does not know.
    adversary_lr : float, default 1e-3
        Of the adversary's own Adam; ours.

    References
    ----------
    Ganin, Ustinova, Ajakan, Germain, Larochelle, Laviolette, Marchand, Lempitsky, "Domain-Adversarial Training of
    Neural Networks", JMLR 17, 2016.
    """

    name: ClassVar[str] = "grl"
    hidden: int = 100
    weight: float = 1.0
    ramp_steps: int = 300
    adversary_lr: float = 1e-3

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.ramp_steps < 1:
            raise InputError(f"ramp_steps must be at least 1, got {self.ramp_steps}")
        self.done_steps = 0
        self.adversary, self.adversary_optimizer = build_classifiers(self, (self.hidden,), lr=self.adversary_lr)
        self.optimizers.append(self.adversary_optimizer)

    @property
    def reversal(self) -> float:
        """The reversal weight of the next step."""
        progress = min(1.0, self.done_steps / self.ramp_steps)
        return self.weight * (2 / (1 + math.exp(-10 * progress)) - 1)

    def objective(self, loss: Tensor, depths: tuple[Tensor, ...], logits: Tensor, batch: Batch) -> Tensor:
        """See `Method.objective`."""
        z = reverse_gradient(depths[-1].float(), self.reversal)
        self.done_steps += 1
        return loss + self.adversary.cross_entropy(z, batch.levels) / len(self.problem.level_sizes)
