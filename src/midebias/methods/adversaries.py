"""What the compared methods share: classifiers of the attribute, gradient reversal, and categories joined to groups."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, cast

import torch
from torch import Tensor, nn

from ..errors import InputError
from ..randomness import seeded

__all__ = ["ColumnClassifiers", "Groups", "frozen", "joint_category", "reverse_gradient"]


class ColumnClassifiers(nn.Module):
    """One classifier per column of the attribute's categories.

    Parameters
    ----------
    sizes : sequence of int
        Categories of each column.
    build : callable
        Given a column's number of categories, returns the module that makes its logits.
    seed : int
        Of the initial weights.
    """

    def __init__(self, sizes: Sequence[int], build: Callable[[int], nn.Module], *, seed: int) -> None:
        super().__init__()
        with seeded(seed):
            self.columns = nn.ModuleList(build(size) for size in sizes)

    def forward(self, h: Tensor) -> list[Tensor]:
        """Logits of each column, (n, size)."""
        return [column(h) for column in self.columns]

    def cross_entropy(self, h: Tensor, levels: Tensor) -> Tensor:
        """Mean cross-entropy of levels (n, k) in nats, summed over columns."""
        columns = zip(self(h), levels.long().unbind(1), strict=True)
        return torch.stack([nn.functional.cross_entropy(logits, level) for logits, level in columns]).sum()


@contextmanager
def frozen(module: nn.Module) -> Iterator[None]:
    """Context in which the module's parameters count as constants; gradients still flow through to its input."""
    parameters = [p for p in module.parameters() if p.requires_grad]
    for parameter in parameters:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in parameters:
            parameter.requires_grad_(True)


class _ReverseGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, h: Tensor, weight: float) -> Tensor:
        ctx.weight = weight
        return h.view_as(h)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return -ctx.weight * gradients[0], None


def reverse_gradient(h: Tensor, weight: float) -> Tensor:
    """h itself; its gradient is multiplied by ``-weight`` (the gradient reversal layer).

    Examples
    --------
    >>> import torch
    >>> h = torch.ones(2, requires_grad=True)
    >>> reverse_gradient(h, 0.5).sum().backward()
    >>> h.grad
    tensor([-0.5000, -0.5000])
    """
    reversed_: Tensor = cast(Any, _ReverseGradient).apply(h, weight)
    return reversed_


def joint_category(levels: Tensor, sizes: Sequence[int]) -> Tensor:
    """The columns of levels (n, k) as one category per row, 0 .. prod(sizes) - 1.

    Examples
    --------
    >>> import torch
    >>> joint_category(torch.tensor([[0, 0], [0, 2], [1, 0]]), (2, 3))
    tensor([0, 2, 3])
    """
    if levels.ndim != 2 or levels.shape[1] != len(sizes):
        raise InputError(f"levels must have shape (n, {len(sizes)}), got {tuple(levels.shape)}")
    limits = torch.tensor(tuple(sizes), device=levels.device)
    if bool(((levels < 0) | (levels >= limits)).any()):
        raise InputError(f"levels must lie in 0 .. size - 1 for the level_sizes {tuple(sizes)}; none may be missing")
    joint = torch.zeros(len(levels), dtype=torch.long, device=levels.device)
    for column, size in zip(levels.long().unbind(1), sizes, strict=True):
        joint = joint * size + column
    return joint


class Groups:
    """Groups of equal label and equal joint category, numbered in the order of those that occur.

    Parameters
    ----------
    levels : integer Tensor of shape (n, k)
    y : integer Tensor of shape (n,)
        Both of the whole training set.
    sizes : sequence of int
        Categories of each column of ``levels``.

    Attributes
    ----------
    counts : Tensor of shape (n_groups,)
        Training samples in each group.
    """

    def __init__(self, levels: Tensor, y: Tensor, sizes: Sequence[int]) -> None:
        self.sizes = tuple(sizes)
        self._codes, self.counts = torch.unique(self._code(levels, y), return_counts=True)

    def __len__(self) -> int:
        return len(self.counts)

    def __call__(self, levels: Tensor, y: Tensor) -> Tensor:
        """Group number of each row."""
        codes = self._code(levels, y)
        found = torch.searchsorted(self._codes, codes).clamp(max=len(self) - 1)
        if bool((self._codes[found] != codes).any()):
            raise InputError("the batch holds a pair of label and attribute category that the training set has not")
        return found

    def _code(self, levels: Tensor, y: Tensor) -> Tensor:
        return y.long() * math.prod(self.sizes) + joint_category(levels, self.sizes)
