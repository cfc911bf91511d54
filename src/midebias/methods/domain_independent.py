"""Domain-independent training: a head for each category of the attribute, which are averaged in the end."""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from ..errors import InputError
from ..randomness import seeded
from ..training.data import Batch
from ..training.method import Draw, Method
from ..training.step import StepResult
from .attribute_groups import join_categories


@dataclass(eq=False, repr=False, kw_only=True)
class DomainIndependent(Method):
    """Cross-entropy of the logits of a row's own domain, the joint category of all attribute columns.

    Predictions do not know the domain: logits are averaged over the domains of the training set, which for linear
    heads is one linear head, the model's own.

    Parameters
    ----------
    model, problem, lr, precision, seed : see `Method`

    Raises
    ------
    InputError
        A step before `prepare`.

    References
    ----------
    Wang, Qinami, Karakozis, Genova, Nair, Hata, Russakovsky, "Towards Fairness in Visual Recognition: Effective
    Strategies for Bias Mitigation", CVPR 2020, section 4.4, with the sum of logits of its equation 4.
    """

    name: ClassVar[str] = "domain_independent"

    def __post_init__(self) -> None:
        super().__post_init__()
        self.n_domains = math.prod(self.problem.level_sizes)
        with seeded(self.seed):
            self.heads = nn.Linear(self.model.dim, self.n_domains * self.problem.n_classes)
        self.heads.to(self.device)
        self.heads_optimizer = torch.optim.Adam(self.heads.parameters(), lr=self.lr)
        self.optimizers.append(self.heads_optimizer)
        self.present = torch.empty(0)

    def prepare(self, levels: Tensor, c: Tensor, y: Tensor) -> None:
        """Find the domains that occur."""
        domains = join_categories(levels, self.problem.level_sizes)
        self.present = (torch.bincount(domains, minlength=self.n_domains) > 0).to(self.heads.weight)

    def objective(self, loss: Tensor, depths: tuple[Tensor, ...], logits: Tensor, batch: Batch) -> Tensor:
        """See `Method.objective`."""
        if not len(self.present):
            raise InputError("DomainIndependent needs prepare(levels, c, y) on the training set before the first step")
        domains = join_categories(batch.levels, self.problem.level_sizes)
        every = self.heads(depths[-1].float()).reshape(len(domains), self.n_domains, -1)
        return self.problem.task_loss(every[torch.arange(len(domains), device=domains.device), domains], batch.y)

    def step(self, batch: Batch, draw: Draw, lr: float) -> StepResult:
        """See `Method.step`; the model's head becomes the average of all."""
        for group in self.heads_optimizer.param_groups:
            group["lr"] = lr
        result = super().step(batch, draw, lr)
        share = self.present / self.present.sum()
        with torch.no_grad():
            shape = (self.n_domains, self.problem.n_classes)
            self.model.head.weight.copy_(torch.einsum("d,dkz->kz", share, self.heads.weight.reshape(*shape, -1)))
            self.model.head.bias.copy_(share @ self.heads.bias.reshape(shape))
        return result
