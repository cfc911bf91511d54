"""Categories of several columns joined to one, and groups of label and category."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from ..deferred_reads import refuse
from ..errors import InputError


def join_categories(levels: Tensor, sizes: Sequence[int]) -> Tensor:
    """Join the columns of levels (n, k) to one category per row, 0 .. prod(sizes) - 1.

    Examples
    --------
    >>> import torch
    >>> join_categories(torch.tensor([[0, 0], [0, 2], [1, 0]]), (2, 3))
    tensor([0, 2, 3])
    """
    if levels.ndim != 2 or levels.shape[1] != len(sizes):
        raise InputError(f"levels must have shape (n, {len(sizes)}), got {tuple(levels.shape)}")
    joint, outside = torch.zeros(2, len(levels), dtype=torch.long, device=levels.device)
    for column, size in zip(levels.long().unbind(1), sizes, strict=True):
        inside = column.clamp(0, size - 1)  # else a GPU would fail where something is looked up by them
        joint, outside = joint * size + inside, outside + (inside != column)
    message = f"levels must lie in 0 .. size - 1 for the level_sizes {tuple(sizes)}; none may be missing"
    refuse(outside.any(), InputError(message))
    return joint


class Groups:
    """Groups of equal label and joint category that occur in a training set, with the ``counts`` of their samples."""

    def __init__(self, levels: Tensor, y: Tensor, sizes: Sequence[int]) -> None:
        self.sizes = tuple(sizes)
        self._codes, self.counts = torch.unique(self._code(levels, y), return_counts=True)

    def __len__(self) -> int:
        return len(self.counts)

    def __call__(self, levels: Tensor, y: Tensor) -> Tensor:
        """Number the group of each row."""
        codes = self._code(levels, y)
        self._codes = self._codes.to(codes.device)
        numbers = torch.searchsorted(self._codes, codes).clamp(max=len(self) - 1)
        message = "the batch holds a pair of label and attribute category that the training set lacks"
        refuse((self._codes[numbers] != codes).any(), InputError(message))
        return numbers

    def _code(self, levels: Tensor, y: Tensor) -> Tensor:
        return y.long() * math.prod(self.sizes) + join_categories(levels, self.sizes)
