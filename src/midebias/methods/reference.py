"""The recipe of the authors' released code, step for step. Not the default: see `MIBackpropagation`."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ..attributes import Categorical
from ..estimators import DonskerVaradhan
from ..training.data import Batch
from ..training.method import Draw, Method
from ..training.step import StepResult


@dataclass(eq=False, repr=False, kw_only=True)
class Reference(Method):
    """Two Adam optimisers on one encoder, and K critic steps that each encode a batch of their own.

    One step: Adam on g_task; then a second Adam, learning rate ``mi_lr_ratio * lr``, on g_mi after each tensor's g_mi
    is rescaled to ``min(|g_task|, |g_mi|)`` of that tensor. Then ``critic_steps`` critic updates on as many fresh
    batches. Before each epoch the critic has one epoch to itself. Everything in float32, constant rates.

    Parameters
    ----------
    model, problem, seed : see `Method`
        The critic reads ``levels``: Colored MNIST's three channels in 8 levels are 24 columns.
    lr : float, default 1e-4
        Of the task, and of the critic.
    precision : str
        Ignored: everything is in float32.
    mi_lr_ratio : float, default 1.0
        The learning rate of the step on g_mi over that of the task: the released code's λ.
    critic_steps : int, default 40
        Critic updates per step.
    hidden : sequence of int, default (64, 64, 64)
        Critic widths; faces take (512, 512, 512).

    References
    ----------
    Ragonesi, Volpi, Cavazza, Murino, arXiv 2003.06430, algorithm 1, and the code released with it.
    """

    name: ClassVar[str] = "reference"
    batch_size: ClassVar[int] = 128
    cosine: ClassVar[bool] = False
    lr: float = 1e-4
    mi_lr_ratio: float = 1.0
    critic_steps: int = 40
    hidden: Sequence[int] = (64, 64, 64)

    def __post_init__(self) -> None:
        self.precision = "float32"
        super().__post_init__()
        self.attribute = Categorical(self.problem.level_sizes)
        self.critic = DonskerVaradhan(
            self.model.dim, self.attribute.dim, hidden=self.hidden, standardize=False, seed=self.seed
        )
        head = {id(p) for p in self.model.head.parameters()}
        self.encoder_parameters = [p for p in self.model.parameters() if id(p) not in head]
        self.mi_optimizer = torch.optim.Adam(self.encoder_parameters, lr=self.mi_lr_ratio * self.lr)
        self.critic_optimizer = torch.optim.Adam(self.critic.parameters(), lr=self.lr)

    def begin_epoch(self, batches: Iterable[Batch]) -> None:
        """Update the critic alone, on ``batches``."""
        for batch in batches:
            self._update_critic(batch)

    def step(self, batch: Batch, draw: Draw, lr: float) -> StepResult:
        """See `Method.step`."""
        z = self.model.depths(batch.x)[-1]
        logits = self.model.head(z)
        loss = self.problem.task_loss(logits, batch.y)
        mi = self.critic(z, self.attribute.encode(batch.levels)[0])
        g_mi = torch.autograd.grad(mi, self.encoder_parameters, retain_graph=True)
        self.optimizer.zero_grad()
        loss.backward()
        clipped = [_clip(g, p.grad) for g, p in zip(g_mi, self.encoder_parameters, strict=True)]
        self.optimizer.step()
        if self.mi_lr_ratio:
            for parameter, gradient in zip(self.encoder_parameters, clipped, strict=True):
                parameter.grad = gradient
            self.mi_optimizer.step()
        for _ in range(self.critic_steps):
            self._update_critic(draw())
        return StepResult(loss, (logits.argmax(1) == batch.y).sum(), [mi])

    def _update_critic(self, batch: Batch) -> None:
        with torch.no_grad():
            z = self.model.depths(batch.x)[-1]
        loss = self.critic.learning_loss(z, self.attribute.encode(batch.levels)[0])
        self.critic_optimizer.zero_grad()
        loss.backward()
        self.critic_optimizer.step()


def _clip(g_mi: Tensor, g_task: Tensor | None) -> Tensor:
    """Rescale g_mi to the length min(|g_task|, |g_mi|)."""
    if g_task is None:
        return torch.zeros_like(g_mi)
    length = torch.linalg.vector_norm(g_mi)
    target = torch.minimum(length, torch.linalg.vector_norm(g_task))
    return g_mi * (target / length.clamp(min=1e-20))
