"""Penalties of several attributes, each on the rows that have it."""

from collections.abc import Callable, Sequence
from typing import cast

import torch
from torch import Tensor, nn

from ..attributes import Attribute, split_attribute
from .penalty import TabularPenalty


def has_gaps(c: Tensor) -> bool:
    """Whether some row of c (n, width) has one attribute and misses another one."""
    missing = c.isnan()
    return bool((missing.any(dim=1) & ~missing.all(dim=1)).any())


class SeparatePenalties(nn.Module):
    """The sum of penalties of one attribute each: where rows that have all attributes are few, a joint one sees little.

    Parameters
    ----------
    attribute : Attribute
        The attributes side by side.
    build : callable
        Makes the penalty of one of them.
    """

    def __init__(self, attribute: Attribute, build: Callable[[Attribute], TabularPenalty]) -> None:
        super().__init__()
        parts = split_attribute(attribute)
        self.widths = [part.width for part in parts]
        self.penalties = nn.ModuleList(map(build, parts))
        self.shapes = self._list()[0].shapes

    def forward(self, representations: Sequence[Tensor], c: Tensor, y: Tensor | None = None) -> Tensor:
        """Weighted sum in nats, differentiable; see `TabularPenalty`."""
        columns = c.split(self.widths, dim=1)
        return torch.stack([p(representations, part, y) for p, part in zip(self._list(), columns, strict=True)]).sum()

    @property
    def readings(self) -> Tensor:
        """Latest estimates in nats, of one attribute after the other."""
        return torch.cat([penalty.readings for penalty in self._list()])

    def weigh_budgets(self) -> tuple[float, ...]:
        """What each estimate counts beside the others."""
        return tuple(weight for penalty in self._list() for weight in penalty.weigh_budgets())

    def _list(self) -> list[TabularPenalty]:
        return cast("list[TabularPenalty]", list(self.penalties))
