"""Rows of a table as tensors."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from ..errors import InputError

__all__ = ["TabularRows"]


@dataclass(frozen=True)
class TabularRows:
    """Rows as tensors: x (n, p), y (n,) or (n, n_outputs), c (n, width) or None, weights (n,) or None."""

    x: Tensor
    y: Tensor
    c: Tensor | None = None
    weights: Tensor | None = None

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, rows: Tensor) -> TabularRows:
        chosen: Any = (None if v is None else v.index_select(0, rows) for v in vars(self).values())
        return TabularRows(*chosen)

    def cast(self, dtype: torch.dtype) -> TabularRows:
        """Convert x, y and weights to ``dtype``; labels and the attribute stay as they are."""
        y = self.y.to(dtype) if self.y.is_floating_point() else self.y
        return replace(self, x=self.x.to(dtype), y=y, weights=None if self.weights is None else self.weights.to(dtype))

    def split(self, fraction: float, generator: torch.Generator) -> tuple[TabularRows, TabularRows]:
        """Rows to train on, and a random ``fraction`` of the rows to hold out."""
        order, n_held = torch.randperm(len(self), generator=generator), round(fraction * len(self))
        if n_held < 2 or len(self) - n_held < 2:
            raise InputError(f"validation_fraction of {len(self)} rows leaves too few to train or to validate on")
        return self[order[n_held:]], self[order[:n_held]]
