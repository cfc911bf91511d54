"""Adversarial training through a gradient reversal layer."""

import math
from typing import ClassVar

import torch
from torch import Tensor, nn

from ..errors import InputError
from ..networks import build_perceptron
from ..networks.classifier import Classifier
from ..training.data import Batch, Problem
from ..training.method import Draw, Precision
from ..training.single_loss import SingleLoss
from ..training.step import StepResult
from .adversaries import ColumnClassifiers, reverse_gradient


class GradientReversal(SingleLoss):
    """An adversary learns the attribute from z; its gradient reaches the encoder with the sign turned.

    Domain-adversarial training with the attribute in the domain's place. The reversal weight rises as
    2 / (1 + exp(-10 p)) - 1 with the progress p from 0 to 1. Cross-entropy is averaged over columns, so
    that several weigh as much as the paper's one domain label.

    Parameters
    ----------
    model : Classifier
    problem, lr, precision, seed : optional
        See `Method`.
    hidden : int, default 100
        Width of the adversary's hidden layer; the paper's for MNIST.
    weight : float, default 1.0
        Where the reversal weight ends; the paper's.
    ramp_steps : int, default 300
        Steps until p = 1. Ours: in the paper p is the progress of the whole training, which a step does not know.
    adversary_lr : float, default 1e-3
        Of the adversary's own Adam; ours.

    Raises
    ------
    InputError
        ``ramp_steps`` below 1.

    References
    ----------
    Ganin, Ustinova, Ajakan, Germain, Larochelle, Laviolette, Marchand, Lempitsky, "Domain-Adversarial Training of
    Neural Networks", JMLR 17, 2016.
    """

    name: ClassVar[str] = "grl"

    def __init__(
        self,
        model: Classifier,
        problem: Problem | None = None,
        *,
        lr: float | None = None,
        precision: Precision = "float32",
        hidden: int = 100,
        weight: float = 1.0,
        ramp_steps: int = 300,
        adversary_lr: float = 1e-3,
        seed: int = 0,
    ) -> None:
        super().__init__(model, problem, lr=lr, precision=precision, seed=seed)
        if ramp_steps < 1:
            raise InputError(f"ramp_steps must be at least 1, got {ramp_steps}")
        self.weight, self.ramp_steps, self.done_steps = weight, ramp_steps, 0
        self.adversary = ColumnClassifiers(
            self.problem.level_sizes,
            lambda size: build_perceptron(model.dim, (hidden,), size, activation=nn.ReLU),
            seed=seed,
            device=self.device,
        )
        self.adversary_optimizer = torch.optim.Adam(self.adversary.parameters(), lr=adversary_lr)

    @property
    def reversal(self) -> float:
        """The reversal weight of the next step."""
        progress = min(1.0, self.done_steps / self.ramp_steps)
        return self.weight * (2 / (1 + math.exp(-10 * progress)) - 1)

    def objective(self, loss: Tensor, depths: tuple[Tensor, ...], logits: Tensor, batch: Batch) -> Tensor:
        """See `SingleLoss.objective`."""
        z = reverse_gradient(depths[-1].float(), self.reversal)
        return loss + self.adversary.cross_entropy(z, batch.levels) / len(self.problem.level_sizes)

    def step(self, batch: Batch, draw: Draw, lr: float) -> StepResult:
        """See `Method.step`. One backward pass serves the network and the adversary."""
        self.adversary_optimizer.zero_grad()
        result = super().step(batch, draw, lr)
        self.adversary_optimizer.step()
        self.done_steps += 1
        return result
