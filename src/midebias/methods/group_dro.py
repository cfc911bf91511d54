"""Group distributionally robust optimisation: the worst groups of label and attribute weigh most."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ..errors import InputError
from ..training.data import Batch
from ..training.method import Method
from .attribute_groups import Groups


@dataclass(eq=False, repr=False, kw_only=True)
class GroupDRO(Method):
    """Loss sum_g q_g * mean cross-entropy in group g, with q moved by exponentiated gradient ascent.

    Groups are the pairs of label and joint attribute category that occur in the training set; `prepare` finds them.
    A group that the batch lacks has loss 0 in it, as in the released code.

    Parameters
    ----------
    model, problem, lr, precision, seed : see `Method`
    step_size : float, default 0.01
        Of the ascent on q; the paper's.

    Raises
    ------
    InputError
        A step before `prepare`, or a group that the training set lacks.

    Notes
    -----
    Networks that can fit their training set need strong weight decay or early stopping besides, which are not here.

    References
    ----------
    Sagawa, Koh, Hashimoto, Liang, "Distributionally Robust Neural Networks for Group Shifts", ICLR 2020, algorithm 1,
    and the code released with it.
    """

    name: ClassVar[str] = "group_dro"
    step_size: float = 0.01

    def __post_init__(self) -> None:
        super().__post_init__()
        self.groups: Groups | None = None
        self.q = torch.empty(0)

    def prepare(self, levels: Tensor, c: Tensor, y: Tensor) -> None:
        """Find the groups that occur; q starts uniform."""
        self.groups = Groups(levels, y, self.problem.level_sizes)
        self.q = torch.full((len(self.groups),), 1 / len(self.groups), device=y.device)

    def objective(self, loss: Tensor, depths: tuple[Tensor, ...], logits: Tensor, batch: Batch) -> Tensor:
        """See `Method.objective`."""
        if self.groups is None:
            raise InputError("GroupDRO needs prepare(levels, c, y) on the training set before the first step")
        losses = self.problem.row_losses(logits, batch.y)
        means = compute_group_means(losses, self.groups(batch.levels, batch.y), len(self.groups))
        self.q = self.q * torch.exp(self.step_size * means.detach())
        self.q = self.q / self.q.sum()
        return self.q @ means


def compute_group_means(values: Tensor, groups: Tensor, n_groups: int) -> Tensor:
    """Mean of values (n,) in each group; 0 in groups without members."""
    sums = torch.zeros(n_groups, device=values.device).index_add(0, groups, values)
    return sums / torch.bincount(groups, minlength=n_groups).clamp(min=1)
